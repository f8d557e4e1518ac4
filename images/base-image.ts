/**
 * The cloud image that everything begins with. A site pins one itself, or leaves it to the lock: then `golden lock` finds the
 * distribution's newest build and its SHA-256, out of the checksum file that the distribution signs. Debian signs none for its
 * cloud images, and lists SHA-512 only: there the server's certificate has to do, and the image is read once.
 */
import { createHash } from 'node:crypto'
import { Failure } from '../core/failure.ts'
import type { Site } from '../settings/site.ts'
import { readKeys } from './archive/archives.ts'
import type { Fetcher } from './archive/fetch.ts'
import { signatureProblem } from '../core/openpgp.ts'
import { compareVersions } from './archive/version-order.ts'
import type { Lock, LockedBase } from './lock.ts'

type Os = Site['image']['base']['os']

/** The base of a bake: all that there is to know. */
export interface KnownBase {
  readonly os: Os
  readonly url?: string | undefined
  readonly file?: string | undefined
  readonly sha256: string
}

export const isPinned = ({ image }: Site): boolean => image.base.sha256 !== ''

/** The site with what the lock says of its base, if the site says nothing itself. */
export function withLockedBase(site: Site, lock: Lock | undefined): Site {
  const { base } = site.image
  const locked = lock?.base
  if (isPinned(site) || locked?.url === undefined || locked.os !== base.os) return site
  return { ...site, image: { ...site.image, base: { ...base, url: locked.url, sha256: locked.sha256 } } }
}

/** @throws Failure `base-not-locked` */
export function baseOf(site: Site): KnownBase {
  const { os, url, file, sha256 } = site.image.base
  if (sha256 === '')
    throw new Failure(
      'base-not-locked',
      `site.ts leaves the ${os} image to the lock, and images.lock.json has none`,
      'Run "npx golden lock": it finds the newest one.',
    )
  return { os, url, file, sha256 }
}

interface Builds {
  /** A folder with a folder for each build. */
  readonly address: string
  /** In the list of that folder: the name of a build's folder, with the build in it. */
  readonly folder: RegExp
  readonly image: (serial: string) => string
  readonly sums: string
  /** Beside the list; undefined: it is not signed. */
  readonly signature?: string
  readonly keys?: string
}

const builds: Readonly<Record<Os, Builds>> = {
  'ubuntu-24.04': {
    address: 'https://cloud-images.ubuntu.com/releases/noble',
    folder: /\brelease-(\d{8}(?:\.\d+)?)\//g,
    image: () => 'ubuntu-24.04-server-cloudimg-amd64.img',
    sums: 'SHA256SUMS',
    signature: 'SHA256SUMS.gpg',
    keys: 'ubuntu-cloud-images.asc',
  },
  'debian-13': {
    address: 'https://cloud.debian.org/images/cloud/trixie',
    folder: /\b(\d{8}-\d+)\//g,
    image: (serial) => `debian-13-genericcloud-amd64-${serial}.qcow2`,
    sums: 'SHA512SUMS',
  },
}

export interface FindBase {
  readonly site: Site
  readonly fetcher: Fetcher
  readonly note: (text: string) => void
  /** Public keys for the signature. @default the distribution's */
  readonly keys?: string
}

/**
 * The newest build.
 * @param known what is locked: an older one than that is never taken, and of the same nothing is asked
 * @throws Failure `base-unknown`, `base-signature`, `base-checksum`, `archive-unreachable`, `archive-refused`
 */
export async function newestBase({ site, fetcher, note, keys }: FindBase, known?: LockedBase): Promise<LockedBase> {
  const { os, builds: mirror } = site.image.base
  const from = builds[os]
  const address = mirror ?? from.address
  const { body } = await fetcher.get(`${address}/`, { keep: true, maxBytes: 4 << 20 })
  const found = [...body.toString('latin1').matchAll(from.folder)].map(([folder = '', serial = '']) => ({ folder, serial }))
  const newest = found.sort((a, b) => compareVersions(b.serial, a.serial))[0]
  if (newest === undefined)
    throw new Failure(
      'base-unknown',
      `${address}/ lists no build of ${os}`,
      'Correct image.base.builds in site.ts, or pin an image with url and sha256.',
    )
  const { serial } = newest
  if (known?.serial !== undefined && known.os === os && compareVersions(serial, known.serial) <= 0) return known
  const folder = `${address}/${newest.folder}`
  const name = from.image(serial)
  const url = `${folder}${name}`
  const sums = (await fetcher.get(`${folder}${from.sums}`, { maxBytes: 4 << 20 })).body
  if (from.signature !== undefined) {
    const { body: signature } = await fetcher.get(`${folder}${from.signature}`, { maxBytes: 1 << 20 })
    const problem = await signatureProblem({ data: sums, signature }, keys ?? (await readKeys(from.keys ?? '')))
    if (problem !== undefined)
      throw new Failure(
        'base-signature',
        `${folder}${from.sums} is not what the distribution has signed: ${problem}`,
        'Somebody may have altered it. Nothing was written; do not use this server until you know.',
      )
  }
  const sum = sums
    .toString('utf8')
    .split('\n')
    .map((line) => /^([0-9a-f]{64,128}) [ *](\S+)$/.exec(line))
    .find((parts) => parts?.[2] === name)?.[1]
  if (sum === undefined)
    throw new Failure('base-unknown', `${folder}${from.sums} has no ${name}`, 'Try again later: the build may not be complete.')
  const sha256 = sum.length === 64 ? sum : await sha256Of(fetcher, url, sum, note)
  return { os, serial, url, sha256, vouched: from.signature === undefined ? 'tls' : 'signature' }
}

/** Reads the image for its SHA-256, which Proxmox takes and the distribution does not list. @param sha512 what it lists */
async function sha256Of(fetcher: Fetcher, url: string, sha512: string, note: (text: string) => void): Promise<string> {
  const wanted = createHash('sha512')
  const hash = createHash('sha256')
  let size = 0
  for await (const part of await fetcher.stream(url)) {
    wanted.update(part)
    hash.update(part)
    size += part.length
    note(`reading ${url.split('/').at(-1)} for its SHA-256: ${Math.floor(size / 1e6)} MB`)
  }
  if (wanted.digest('hex') !== sha512)
    throw new Failure(
      'base-checksum',
      `${url} does not have the SHA-512 that the list beside it says`,
      'Run the same command again: the download may have been cut short. If it stays, do not use this server.',
    )
  return hash.digest('hex')
}
