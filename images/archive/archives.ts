/** The archives of packages that a site bakes from: its own, or its distribution's. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Failure } from '../../core/failure.ts'
import { plainText } from '../../core/plain-text.ts'
import type { Site } from '../../settings/site.ts'
import type { LockedArchive } from '../lock.ts'

export interface Archive {
  readonly url: string
  readonly suites: readonly string[]
  readonly components: readonly string[]
  /** See `image.archives` in settings/site.ts. */
  readonly snapshots?: string | undefined
  /** Public keys, in OpenPGP's text form. */
  readonly keys: string
}

type Known = Omit<Archive, 'keys'>

/** The updates of Debian's point releases and its security updates are suites of their own; so are Ubuntu's. */
const distributions: Readonly<Record<Site['image']['base']['os'], readonly Known[]>> = {
  'debian-13': [
    {
      url: 'http://deb.debian.org/debian',
      suites: ['trixie', 'trixie-updates'],
      components: ['main'],
      snapshots: 'https://snapshot.debian.org/archive/debian',
    },
    {
      url: 'http://deb.debian.org/debian-security',
      suites: ['trixie-security'],
      components: ['main'],
      snapshots: 'https://snapshot.debian.org/archive/debian-security',
    },
  ],
  'ubuntu-24.04': [
    {
      url: 'http://archive.ubuntu.com/ubuntu',
      suites: ['noble', 'noble-updates', 'noble-security'],
      components: ['main', 'universe'],
      snapshots: 'https://snapshot.ubuntu.com/ubuntu',
    },
  ],
}

/** The distribution's own keys (images/keys: each from its keyring package). */
export const distributionKeys = (os: Site['image']['base']['os']): Promise<string> => readKeys(`${os}.asc`)
export const readKeys = (name: string): Promise<string> => readFile(join(import.meta.dirname, '../keys', name), 'utf8')

/** @throws Failure `archive-key-unusable` */
export async function archivesOf(site: Site, folder: string): Promise<Archive[]> {
  const { base, archives } = site.image
  const usual = await distributionKeys(base.os)
  if (archives === undefined) return distributions[base.os].map((one) => ({ ...one, keys: usual }))
  return Promise.all(
    archives.map(async ({ keyFile, ...one }) => ({
      ...one,
      keys: keyFile === undefined ? usual : await ownKeys(resolve(folder, keyFile)),
    })),
  )
}

async function ownKeys(file: string): Promise<string> {
  const hint = 'Correct image.archives in site.ts; "gpg --armor --export" makes such a file.'
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new Failure('archive-key-unusable', `the key ${file} can't be read`, hint, { cause })
  })
  const read = plainText(bytes, 'pem')
  if (!read.ok || !read.text.includes('-----BEGIN PGP PUBLIC KEY BLOCK-----'))
    throw new Failure('archive-key-unusable', `${file} is no OpenPGP public key in its text form`, hint)
  return read.text
}

/** Where a state of an archive is read from. */
export const addressOf = ({ url, snapshot }: Pick<LockedArchive, 'url' | 'snapshot'>): string =>
  snapshot === undefined ? url : `${snapshot.service}/${snapshot.at}`

/**
 * Sources for apt (its sources.list(5), the form with fields) that lead to these states and to nothing else. The keys are in
 * them: they are what the lock was checked with, whatever the base has.
 * @param archives those of the lock, in its order (`sameArchives`)
 */
export function aptSources(locked: readonly LockedArchive[], archives: readonly Archive[]): string {
  return locked
    .map((one, index) => {
      const keys = archives[index]?.keys ?? ''
      return [
        'Types: deb',
        `URIs: ${addressOf(one)}`,
        `Suites: ${Object.keys(one.suites).join(' ')}`,
        `Components: ${one.components.join(' ')}`,
        'Architectures: amd64',
        // A state of some time ago is what is wanted.
        ...(one.snapshot === undefined ? [] : ['Check-Valid-Until: no']),
        `Signed-By:\n${keys
          .trimEnd()
          .split('\n')
          .map((line) => ` ${line.trim() === '' ? '.' : line.trimEnd()}`)
          .join('\n')}`,
        '',
      ].join('\n')
    })
    .join('\n')
}
