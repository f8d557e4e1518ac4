/** HTTP to archives and to where cloud images are: conditional, by the caller's proxies, refused with the reason. */
import { request } from 'undici'
import { Failure } from '../../core/failure.ts'
import { WayOut } from '../../core/way-out.ts'
import type { Keeper } from './kept.ts'

export interface Fetched {
  readonly body: Buffer
  /** Where it came from in the end. */
  readonly url: string
}

export interface Fetcher {
  /**
   * @param options.keep ask the server whether what is kept is still the same, and keep what it sends
   * @throws Failure `archive-unreachable`, `archive-refused`
   */
  get(url: string, options?: { readonly keep?: boolean; readonly maxBytes?: number }): Promise<Fetched>
  /** The body piece by piece, for what is large. @throws as `get` */
  stream(url: string): Promise<AsyncIterable<Buffer>>
  close(): Promise<void>
}

export interface FetchOptions {
  readonly keeper: Keeper
  readonly signal?: AbortSignal | undefined
  readonly env?: NodeJS.ProcessEnv
}

const hops = 5
const timeoutMs = 60_000
/** Of what has no limit of its own; the largest index of Ubuntu has 20 MB. */
const most = 128 << 20

export function openFetcher({ keeper, signal, env = process.env }: FetchOptions): Fetcher {
  const dispatcher = new WayOut(env, { connectTimeoutMs: timeoutMs, headersTimeoutMs: timeoutMs, bodyTimeoutMs: timeoutMs })
  const unreachable = (url: string, cause: unknown): Failure =>
    new Failure(
      'archive-unreachable',
      `${new URL(url).host} does not answer: ${cause instanceof Error ? cause.message || cause.name : String(cause)}`,
      'Check the network and HTTP_PROXY or HTTPS_PROXY; image.archives in site.ts names other servers.',
      { cause },
    )
  const ask = async (first: string, headers: Record<string, string>) => {
    let url = first
    for (let hop = 0; hop < hops; hop++) {
      let answer
      try {
        answer = await request(url, { dispatcher, headers, ...(signal ? { signal } : {}) })
      } catch (cause) {
        if (signal?.aborted) throw cause
        throw unreachable(url, cause)
      }
      const location = one(answer.headers.location)
      if (![301, 302, 303, 307, 308].includes(answer.statusCode) || !URL.canParse(location, url)) {
        if (answer.statusCode === 200 || answer.statusCode === 304) return { answer, url }
        await answer.body.dump()
        throw new Failure(
          'archive-refused',
          `${url} is answered with ${answer.statusCode}`,
          'Correct image.archives or image.base in site.ts, or try again later.',
        )
      }
      await answer.body.dump()
      url = new URL(location, url).href
    }
    throw new Failure('archive-refused', `${first} is sent on more than ${hops} times`, 'Correct image.archives or image.base in site.ts.')
  }
  return {
    get: async (wanted, { keep = false, maxBytes = most } = {}) => {
      const kept = keep ? await keeper.find(wanted) : undefined
      const { answer, url } = await ask(wanted, {
        ...(kept?.etag ? { 'if-none-match': kept.etag } : {}),
        ...(kept?.lastModified ? { 'if-modified-since': kept.lastModified } : {}),
      })
      if (answer.statusCode === 304 && kept !== undefined) {
        await answer.body.dump()
        return { body: kept.body, url }
      }
      const parts: Buffer[] = []
      let size = 0
      try {
        for await (const part of answer.body as AsyncIterable<Buffer>) {
          size += part.length
          if (size > maxBytes)
            throw new Failure('archive-refused', `${url} is larger than it may be (${maxBytes} bytes)`, 'Try again later.')
          parts.push(part)
        }
      } catch (cause) {
        if (signal?.aborted || cause instanceof Failure) throw cause
        throw unreachable(url, cause)
      }
      const body = Buffer.concat(parts)
      if (keep) await keeper.keep(wanted, { etag: one(answer.headers.etag), lastModified: one(answer.headers['last-modified']), body })
      return { body, url }
    },
    stream: async (wanted) => {
      const { answer, url } = await ask(wanted, {})
      return (async function* () {
        try {
          yield* answer.body as AsyncIterable<Buffer>
        } catch (cause) {
          if (signal?.aborted) throw cause
          throw unreachable(url, cause)
        }
      })()
    },
    // Not what is asked for still: nobody waits for that any more.
    close: () => dispatcher.destroy(),
  }
}

const one = (value: string | string[] | undefined): string => (Array.isArray(value) ? value[0] : value) ?? ''
