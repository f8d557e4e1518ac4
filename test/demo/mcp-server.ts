/** A server over HTTPS with as much of MCP's streamable HTTP as a client with a session needs, and with faults to order. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'

/** What becomes of the next tool call. */
type Fate = 'answer' | 'tool-error' | '500' | 'reset' | 'other-data' | 'forgotten' | Promise<void>

export interface McpServer {
  readonly port: number
  readonly url: string
  readonly caPem: string
  /** Fates of the next tool calls, in order; a promise: the answer waits for it. After them all are answered. */
  readonly fates: Fate[]
  /** The connections that are open: what TLS has, and what is below it. */
  readonly sockets: ReadonlySet<Socket>
  readonly raw: ReadonlySet<Socket>
  /** Whether answers to what is no MCP end their connection. */
  closesAfterAnswer: boolean
  /** Passwords that let in, by user; nobody is asked for one where there are none. */
  passwords: Readonly<Record<string, string>> | undefined
  /** What `tools/list` tells. */
  offered: readonly object[]
  /** What every request to MCP is answered with, if anything. */
  status: number | undefined
  /** Paths that were asked for besides MCP's, in order. */
  readonly paths: string[]
  /** Names of the tools that were called. */
  readonly tools: string[]
  /** Resolves when a tool call has arrived. */
  nextCall(): Promise<void>
  close(): Promise<void>
}

export interface McpServerOptions {
  /** What its certificate is for. @default localhost */
  readonly name?: string
  /** When its certificate was made. @default now */
  readonly made?: Date
}

export async function startMcpServer(
  content: string,
  { name = 'localhost', made = new Date() }: McpServerOptions = {},
): Promise<McpServer> {
  const authority = await makeAuthority('test', new Date(), [name])
  const { certificate, key } = await makeServerCertificate(authority, [name], made)
  const fates: Fate[] = []
  const [sockets, raw] = [new Set<Socket>(), new Set<Socket>()]
  const arrivals: (() => void)[] = []
  const [paths, tools]: [string[], string[]] = [[], []]
  const control: Pick<McpServer, 'closesAfterAnswer' | 'passwords' | 'offered' | 'status'> = {
    closesAfterAnswer: false,
    passwords: undefined,
    offered: [],
    status: undefined,
  }
  const letsIn = (header: string | undefined): boolean =>
    control.passwords === undefined ||
    Object.entries(control.passwords).some((pair) => header === `Basic ${Buffer.from(pair.join(':')).toString('base64')}`)
  let sessions = 0
  const server: Server = createServer({ cert: certificate, key, keepAliveTimeout: 0 }, (asked, answer) => {
    if (asked.url !== '/mcp') {
      paths.push(asked.url ?? '')
      if (control.closesAfterAnswer) answer.setHeader('Connection', 'close')
      answer.writeHead(404, { 'Content-Length': 3 }).end('no\n')
      return
    }
    if (!letsIn(asked.headers.authorization)) return void answer.writeHead(401).end()
    if (control.status !== undefined) return void answer.writeHead(control.status).end('no\n')
    if (asked.method !== 'POST') return void answer.writeHead(405).end()
    let text = ''
    asked.on('data', (part: Buffer) => (text += part.toString()))
    asked.on('end', () => {
      const { id, method, params } = JSON.parse(text) as {
        id?: number
        method: string
        params: { protocolVersion?: string; name?: string }
      }
      const say = (result: object): void => {
        answer.writeHead(200, {
          'Content-Type': 'application/json',
          ...(method === 'initialize' ? { 'Mcp-Session-Id': `s${++sessions}` } : {}),
        })
        // By whom it is from, and that it is all: what revision 2026-07-28 asks for, and others take no notice of.
        const _meta = { 'io.modelcontextprotocol/serverInfo': { name: 'test', version: '1' } }
        answer.end(
          JSON.stringify({ jsonrpc: '2.0', id, result: { resultType: 'complete', ttlMs: 0, cacheScope: 'private', _meta, ...result } }),
        )
      }
      if (id === undefined) return void answer.writeHead(202).end()
      if (method === 'initialize')
        return say({ protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'test', version: '1' } })
      if (method === 'server/discover') return say({ supportedVersions: ['2026-07-28'], capabilities: { tools: {} } })
      if (method === 'tools/list') return say({ tools: control.offered })
      tools.push(params.name ?? '')
      const fate = fates.shift() ?? 'answer'
      for (const arrived of arrivals.splice(0)) arrived()
      const texts = (said: string, isError = false): void => say({ content: [{ type: 'text', text: said }], isError })
      if (fate === 'reset') return void asked.socket.destroy()
      if (fate === '500') return void answer.writeHead(500).end('out of order')
      if (fate === 'forgotten') return void answer.writeHead(404).end('Session not found')
      if (fate === 'tool-error') return texts('no such file', true)
      if (fate === 'other-data') return texts('something else')
      if (fate === 'answer') return texts(content)
      void fate.then(() => texts(content))
    })
  })
  for (const [event, set] of [
    ['secureConnection', sockets],
    ['connection', raw],
  ] as const)
    server.on(event, (socket: Socket) => {
      set.add(socket)
      socket.on('close', () => set.delete(socket))
      socket.on('error', () => {})
    })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `https://localhost:${port}/mcp`,
    caPem: authority.certificate,
    fates,
    sockets,
    raw,
    get closesAfterAnswer() {
      return control.closesAfterAnswer
    },
    set closesAfterAnswer(on) {
      control.closesAfterAnswer = on
    },
    get passwords() {
      return control.passwords
    },
    set passwords(those) {
      control.passwords = those
    },
    get offered() {
      return control.offered
    },
    set offered(those) {
      control.offered = those
    },
    get status() {
      return control.status
    },
    set status(one) {
      control.status = one
    },
    paths,
    tools,
    nextCall: () => new Promise((arrived) => arrivals.push(arrived)),
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
