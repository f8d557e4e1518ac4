/** Releases as their publishers make them: a zip file, a list of digests, and a real signature of that. */
import { createHash } from 'node:crypto'
import type { ArchiveKey } from '../../lab/debian/archive.ts'
import type { Pin, Release } from '../../tools/pins.ts'
import { fileNameOf } from '../../tools/sources.ts'
import type { Internet } from './internet.ts'

export const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')

/** The list as `sha256sum` writes it. */
export const sumsOf = (files: Readonly<Record<string, Buffer>>): string =>
  Object.entries(files)
    .map(([name, content]) => `${sha256(content)}  ${name}\n`)
    .join('')

/** A signature as publishers put it beside their lists: without its text form. */
export async function signatureOf(key: ArchiveKey, text: string): Promise<Buffer> {
  const [, body = ''] = /\n\n([\s\S]*?)\n(?:=.*\n)?-----END/.exec(await key.detach(text)) ?? []
  return Buffer.from(body, 'base64')
}

/** Puts the archive where the release is, and beside it the signed list, if it has one. */
export async function publish(net: Internet, release: Release, archive: Buffer, key: ArchiveKey): Promise<void> {
  await net.put(release.url, archive)
  if (release.signed === undefined) return
  const sums = sumsOf({ 'other.zip': Buffer.from('other'), [fileNameOf(release.url)]: archive })
  await net.put(release.signed.sums, sums)
  await net.put(release.signed.signature, await signatureOf(key, sums))
}

/** The pin with this one release of it, changed, for the platform that the tests are run on in their minds. */
export const withRelease = (pin: Pin, change: Partial<Release> & { readonly sha256?: string | undefined }): Pin => {
  const { sha256: _, ...rest } = pin.releases.linux_amd64!
  return { ...pin, releases: { linux_amd64: { ...rest, ...(change as Partial<Release>) } } }
}
