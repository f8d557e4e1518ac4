/** HTTP as a client outside the VMs sees it: own CA, no following of redirects. */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Agent, fetch as undiciFetch } from 'undici'

export interface WebAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export interface WebRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly caPem?: string
  /** How long the other side may be silent. @default 30000 */
  readonly timeoutMs?: number
}

/** One request; rejects when there is no HTTP answer. */
export function ask(url: string, options: WebRequest = {}): Promise<WebAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<WebAnswer>()
  const send = url.startsWith('https:') ? httpsRequest : httpRequest
  const request = send(
    url,
    { method: options.method ?? 'GET', headers: { ...options.headers }, agent: false, ...(options.caPem ? { ca: options.caPem } : {}) },
    (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        body += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
      response.on('error', reject)
    },
  )
  request.setTimeout(options.timeoutMs ?? 30_000, () => request.destroy(new Error('no answer in time')))
  request.on('error', reject)
  request.end(options.body)
  return promise
}

/** A `fetch` that trusts one CA, for the official MCP client. */
export function trustingFetch(caPem: string): { fetch: typeof fetch; close(): Promise<void> } {
  const dispatcher = new Agent({ connect: { ca: caPem }, bodyTimeout: 0, headersTimeout: 300_000 })
  const trusted = (input: unknown, init?: object) => undiciFetch(input as string, { ...init, dispatcher })
  return { fetch: trusted as unknown as typeof fetch, close: () => dispatcher.close() }
}
