import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fetch } from 'undici'
import { Failure } from '../core/failure.ts'
import { WayOut } from '../core/way-out.ts'
import { addressOf, fileNameOf, inFolder, type Sources } from './sources.ts'

/** No release is near this size. */
const mostBytes = 500 * 1024 * 1024

export interface DownloadOptions {
  /** @default the servers themselves */
  readonly sources?: Sources
  /** Called with the bytes that have arrived and, if the server said so, with how many there will be. */
  readonly onBytes?: (received: number, total: number | undefined) => void
  readonly signal?: AbortSignal | undefined
  /** How long a server has to begin its answer, proxies and redirects included. @default 30 s */
  readonly patienceMs?: number
}

/**
 * Gets a file of a release into `target`: out of the offline folder, else from the mirror, else from its server.
 * HTTPS_PROXY and NO_PROXY are respected. A server that does not answer is given up after half a minute.
 * @returns its SHA-256, hex
 * @throws Failure `release-unreachable`
 */
export async function download(url: string, target: string, options: DownloadOptions = {}): Promise<string> {
  const { sources = {} } = options
  const brought = await inFolder(fileNameOf(url), sources)
  if (brought !== undefined) return receive(brought, createReadStream(brought), target, undefined, options)
  const address = addressOf(url, sources)
  const dispatcher = new WayOut(process.env, { connectTimeoutMs: 10_000, bodyTimeoutMs: 60_000 })
  const { patienceMs = 30_000 } = options
  // A clock of its own: undici waits for ever for a proxy that takes a connection and says nothing.
  const silent = new AbortController()
  const clock = setTimeout(() => silent.abort(new Error(`no answer in ${patienceMs / 1000} s`)), patienceMs)
  const signals = [silent.signal, ...(options.signal === undefined ? [] : [options.signal])]
  try {
    const response = await fetch(address, { dispatcher, signal: AbortSignal.any(signals) })
    clearTimeout(clock)
    if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`)
    const length = Number(response.headers.get('content-length') ?? Number.NaN)
    return await receive(address, Readable.fromWeb(response.body), target, Number.isNaN(length) ? undefined : length, options)
  } catch (error) {
    throw unreachable(address, error, options.signal)
  } finally {
    clearTimeout(clock)
    await dispatcher.destroy()
  }
}

async function receive(
  from: string,
  source: Readable,
  target: string,
  total: number | undefined,
  { onBytes, signal }: DownloadOptions,
): Promise<string> {
  const hash = createHash('sha256')
  let received = 0
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length
      hash.update(chunk)
      onBytes?.(received, total)
      done(received > mostBytes ? new Error('the file is far too large') : null, chunk)
    },
  })
  try {
    await pipeline(source, meter, createWriteStream(target), signal === undefined ? {} : { signal })
  } catch (error) {
    throw unreachable(from, error, signal)
  }
  return hash.digest('hex')
}

function unreachable(from: string, error: unknown, signal: AbortSignal | undefined): unknown {
  signal?.throwIfAborted()
  if (error instanceof Failure) return error
  const { message, cause } = error as Error
  const why = cause instanceof Error && cause.message !== '' ? cause.message : message
  return new Failure(
    'release-unreachable',
    `${from}: ${why}`,
    "Check this computer's way there: HTTPS_PROXY, GOLDEN_TOOLS_MIRROR, GOLDEN_TOOLS_FOLDER (tools/README.md).",
    { cause: error },
  )
}
