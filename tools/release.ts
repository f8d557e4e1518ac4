import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fetch } from 'undici'
import { WayOut } from '../core/way-out.ts'
import { Failure } from '../core/failure.ts'
import type { Release } from './pins.ts'
import { unzipOne } from '../core/formats/unzip.ts'

/** No release is near this size. */
const MOST_BYTES = 500 * 1024 * 1024

export interface DownloadOptions {
  /** Called with the bytes that have arrived and, if the server said so, with how many there will be. */
  readonly onBytes?: (received: number, total: number | undefined) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * Downloads a release, checks its SHA-256 while it arrives, and puts the executable to `target`. Nothing of the archive is
 * unpacked before the digest is right, and the archive is removed in any case. HTTPS_PROXY and NO_PROXY are respected.
 * @throws Failure `release-unreachable`, `release-digest-mismatch` or `release-unreadable`
 */
export async function downloadRelease(release: Release, folder: string, target: string, options: DownloadOptions = {}): Promise<void> {
  const archive = join(folder, 'release.zip')
  try {
    const digest = await download(release.url, archive, options)
    if (digest !== release.sha256) {
      throw new Failure(
        'release-digest-mismatch',
        `${release.url} has SHA-256 ${digest}, but ${release.sha256} is pinned: the download is refused`,
        'Find out why before you use that file: a proxy may have changed it. Nothing was installed.',
      )
    }
    await unzipOne(archive, release.entry, target).catch((error: Error) => {
      throw new Failure('release-unreadable', `${release.url}: ${error.message}`, 'Correct `entry` in tools/pins.ts.', { cause: error })
    })
  } finally {
    await rm(archive, { force: true })
  }
}

async function download(url: string, target: string, options: DownloadOptions): Promise<string> {
  const dispatcher = new WayOut(process.env, { connectTimeoutMs: 10_000, headersTimeoutMs: 30_000, bodyTimeoutMs: 60_000 })
  try {
    const response = await fetch(url, { dispatcher, signal: options.signal ?? null })
    if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`)
    const length = Number(response.headers.get('content-length') ?? Number.NaN)
    const hash = createHash('sha256')
    let received = 0
    const meter = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        received += chunk.length
        hash.update(chunk)
        options.onBytes?.(received, Number.isNaN(length) ? undefined : length)
        done(received > MOST_BYTES ? new Error('the file is far too large') : null, chunk)
      },
    })
    await pipeline(Readable.fromWeb(response.body), meter, createWriteStream(target))
    return hash.digest('hex')
  } catch (error) {
    options.signal?.throwIfAborted()
    const { message, cause } = error as Error
    const why = cause instanceof Error && cause.message !== '' ? cause.message : message
    throw new Failure('release-unreachable', `${url}: ${why}`, "Check this computer's way to the internet, or HTTPS_PROXY.", {
      cause: error,
    })
  } finally {
    await dispatcher.destroy()
  }
}
