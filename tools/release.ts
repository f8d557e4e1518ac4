import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../core/failure.ts'
import { unzipOne } from '../core/formats/unzip.ts'
import { download, type DownloadOptions } from './download.ts'
import type { Release } from './pins.ts'
import { signedDigest, type Keys, type SignedDigest } from './signed-sums.ts'
import { fileNameOf } from './sources.ts'

/** What was accepted, and by whose word. */
export interface Vouched {
  readonly sha256: string
  /** `pinned`, `signed by hashicorp`, or both. */
  readonly by: string
}

/**
 * Downloads a release, checks it, and puts the executable to `target`. It has to be what is pinned, and what its publisher
 * has signed: as far as the one is known and the other can be checked, but one of them at least. Nothing of the archive is
 * unpacked before that, and it is removed in any case.
 * @throws Failure `release-unreachable`, `release-digest-mismatch`, `release-signature-wrong`, `release-unverified` or
 * `release-unreadable`
 */
export async function downloadRelease(
  release: Release,
  folder: string,
  target: string,
  keys: Keys,
  options: DownloadOptions = {},
): Promise<Vouched> {
  const archive = join(folder, 'release.zip')
  const stop = new AbortController()
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal])
  const file = fileNameOf(release.url)
  const aside = { signal, ...(options.sources === undefined ? {} : { sources: options.sources }) }
  const both = [
    download(release.url, archive, { ...options, signal }),
    release.signed === undefined
      ? Promise.resolve<SignedDigest>({ unknown: 'its publisher signs no list of digests' })
      : signedDigest(file, release.signed, folder, keys, aside),
  ] as const
  try {
    const [digest, signed] = await Promise.all(both)
    const vouched = vouch(release, digest, signed)
    await unzipOne(archive, release.entry, target).catch((error: Error) => {
      throw new Failure('release-unreadable', `${file}: ${error.message}`, 'Correct `entry` in tools/pins.ts.', { cause: error })
    })
    return vouched
  } finally {
    // Whichever failed first ends the other, which must not write any more.
    stop.abort()
    await Promise.allSettled(both)
    for (const name of ['release.zip', 'sums', 'signature']) await rm(join(folder, name), { force: true })
  }
}

/** Pure. @throws Failure when it is another file, or nobody's word is known */
export function vouch({ url, sha256, signed: sums }: Release, digest: string, signed: SignedDigest): Vouched {
  const file = fileNameOf(url)
  const other = (what: string): Failure =>
    new Failure(
      'release-digest-mismatch',
      `${file} has SHA-256 ${digest}, but ${what}: the download is refused`,
      'Find out why before you use that file: a proxy or a mirror may have changed it. Nothing was installed.',
    )
  if (sha256 !== undefined && digest !== sha256) throw other(`${sha256} is pinned`)
  if ('sha256' in signed && digest !== signed.sha256) throw other(`${sums?.by} has signed ${signed.sha256}`)
  if (sha256 === undefined && 'unknown' in signed)
    throw new Failure(
      'release-unverified',
      `nothing vouches for ${file}: no SHA-256 is pinned for it, and ${signed.unknown}`,
      'Install gpgv or sqv ("apt-get install gpgv"), which check signatures, and let this computer reach the signed list beside the file.',
    )
  const words = [...(sha256 === undefined ? [] : ['pinned']), ...('sha256' in signed ? [`signed by ${sums?.by}`] : [])]
  return { sha256: digest, by: words.join(' and ') }
}
