/** MCP over HTTPS, as far as tests need it: every request on a connection of its own unless an agent is given. */
import { type Agent, request } from 'node:https'

export interface Reply {
  readonly status: number
  readonly session: string | null
  readonly allow: string | null
  readonly connection: string | null
  readonly retryAfter: string | null
  readonly body: string
  readonly ms: number
}

export interface Asked {
  readonly method?: string
  readonly path?: string
  readonly body?: object
  readonly session?: string
  /** Whose password is sent; '': none. @default 'me' */
  readonly user?: string
  readonly headers?: Readonly<Record<string, string>>
  /** The client's own address. @default 127.0.0.1: nginx counts those of each */
  readonly from?: string
  /** @default 127.0.0.1 */
  readonly to?: string
  /** @default 443 */
  readonly port?: number
  /** The name over TLS; '': none. @default the host */
  readonly name?: string
  /** The header. @default the host */
  readonly host?: string
  readonly agent?: Agent
  readonly tls?: { readonly cert: string; readonly key: string }
  readonly signal?: AbortSignal
}

/** @param host the site's public name */
export function askAt(host: string, asked: Asked): Promise<Reply> {
  const { method = 'POST', path = '/mcp', body, session, user = 'me', headers = {}, from = '127.0.0.1', to = '127.0.0.1' } = asked
  const began = performance.now()
  const text = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const sent = request({
      host: to,
      port: asked.port ?? 443,
      localAddress: from,
      servername: asked.name ?? host,
      rejectUnauthorized: false,
      agent: asked.agent ?? false,
      method,
      path,
      ...asked.tls,
      ...(asked.signal === undefined ? {} : { signal: asked.signal }),
      headers: {
        host: asked.host ?? host,
        ...(user === '' ? {} : { authorization: basic(user) }),
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        // So that it is nginx's decision.
        connection: 'keep-alive',
        ...(session === undefined ? {} : { 'mcp-session-id': session }),
        ...(text === undefined ? {} : { 'content-length': Buffer.byteLength(text) }),
        ...headers,
      },
    })
    sent.on('error', reject)
    sent.on('response', (answer) => {
      const header = (name: string): string | null => (answer.headers[name] as string | undefined) ?? null
      let said = ''
      answer.setEncoding('utf8')
      answer.on('data', (part: string) => (said += part))
      answer.on('error', reject)
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          session: header('mcp-session-id'),
          allow: header('allow'),
          connection: header('connection'),
          retryAfter: header('retry-after'),
          body: said,
          ms: performance.now() - began,
        }),
      )
    })
    sent.end(text)
  })
}

export const basic = (user: string): string => `Basic ${Buffer.from(`${user}:right`).toString('base64')}`

export const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: { roots: {} }, clientInfo: { name: 'test', version: '1' } },
}

export const call = (name: string, args: object = {}, id = 2): object => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args },
})
