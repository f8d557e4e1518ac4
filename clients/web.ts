/** HTTP as a client outside the VMs sees it: own CA, no following of redirects. */
import { Agent, fetch as undiciFetch, request } from 'undici'

export interface WebAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export interface WebRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Those that may have signed the server's certificate, in PEM. @default Node's own */
  readonly caPem?: string | readonly string[]
  /** How long the other side may be silent. @default 30000 */
  readonly timeoutMs?: number
}

/** One request, on a connection of its own; rejects when there is no HTTP answer. */
export async function ask(
  url: string,
  { method = 'GET', headers = {}, body, caPem, timeoutMs = 30_000 }: WebRequest = {},
): Promise<WebAnswer> {
  const dispatcher = new Agent({
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    connect: { timeout: timeoutMs, ...(caPem === undefined ? {} : { ca: [caPem].flat() }) },
  })
  try {
    const answer = await request(url, { method: method as 'GET', headers, body: body ?? null, dispatcher })
    return { status: answer.statusCode, headers: answer.headers, body: await answer.body.text() }
  } finally {
    await dispatcher.destroy()
  }
}

export interface TrustingFetchOptions {
  /** How long an answer may take to begin. @default 300000 */
  readonly headersTimeoutMs?: number
  /** How long a connection that nobody uses is kept for the next request. @default 4000 */
  readonly keepAliveMs?: number
}

/** A `fetch` that trusts these CAs and no others, for the official MCP clients. */
export function trustingFetch(
  caPem: string | readonly string[],
  { headersTimeoutMs = 300_000, keepAliveMs }: TrustingFetchOptions = {},
): { fetch: typeof fetch; close(): Promise<void> } {
  const dispatcher = new Agent({
    connect: { ca: [caPem].flat(), timeout: Math.min(headersTimeoutMs, 60_000) },
    bodyTimeout: 0,
    headersTimeout: headersTimeoutMs,
    ...(keepAliveMs === undefined ? {} : { keepAliveTimeout: keepAliveMs }),
  })
  const trusted = (input: unknown, init?: object) => undiciFetch(input as string, { ...init, dispatcher })
  return { fetch: trusted as unknown as typeof fetch, close: () => dispatcher.close() }
}
