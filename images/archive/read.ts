/** Reads what archives have: versions of each package, from indexes that the archive's key vouches for. */
import { gunzip } from 'node:zlib'
import { promisify } from 'node:util'
import { sha256 } from '../../core/canonical.ts'
import { failureOf, starter } from '../../core/child.ts'
import { childEnvironment } from '../../core/environment.ts'
import { Failure } from '../../core/failure.ts'
import type { LockedArchive } from '../lock.ts'
import { addressOf, type Archive } from './archives.ts'
import { offersOf, type Offers } from './candidate.ts'
import type { Fetcher } from './fetch.ts'
import type { Keeper } from './kept.ts'
import { noXz } from './programs.ts'
import { parsePackages, parseRelease, type Release } from './release.ts'
import { splitCleartext } from './cleartext.ts'
import { signatureProblem } from '../../core/openpgp.ts'

/** What archives had at one time. */
export interface ArchiveState {
  readonly archives: readonly LockedArchive[]
  /** All suites and archives together. */
  readonly offers: Offers
}

export interface ReadArchives {
  readonly archives: readonly Archive[]
  readonly fetcher: Fetcher
  /** For indexes, which are large and change seldom. */
  readonly keeper: Keeper
  readonly now: Date
  /** Of archives with a snapshot service: the state of that time. @default every archive as it is now */
  readonly at?: string
}

/**
 * All suites of all archives side by side.
 * @throws Failure `archive-unreachable`, `archive-refused`, `archive-signature`, `archive-expired`, `archive-key-unusable`,
 * `archive-program-missing`
 */
export async function readArchives({ archives, at, ...how }: ReadArchives): Promise<ArchiveState> {
  const read = await Promise.all(
    archives.map(async (archive) => {
      const snapshot = at === undefined || archive.snapshots === undefined ? undefined : { service: archive.snapshots, at }
      const suites = await Promise.all(archive.suites.map((suite) => readSuite(archive, suite, snapshot, how)))
      // A service may have the state of a somewhat earlier time, and says so by where it sends people.
      const resolved = suites[0]?.at
      const locked: LockedArchive = {
        url: archive.url,
        components: [...archive.components],
        suites: Object.fromEntries(archive.suites.map((suite, index) => [suite, suites[index]?.release.date ?? ''])),
        ...(snapshot === undefined ? {} : { snapshot: { ...snapshot, at: resolved ?? snapshot.at } }),
      }
      return { locked, suites }
    }),
  )
  const indexes = read.flatMap(({ suites }) =>
    suites.flatMap(({ release: { priority }, indexes }) => indexes.map((index) => ({ priority, index }))),
  )
  return { archives: read.map(({ locked }) => locked), offers: offersOf(indexes) }
}

type How = Pick<ReadArchives, 'fetcher' | 'keeper' | 'now'>
type Snapshot = LockedArchive['snapshot']

interface Suite {
  readonly release: Release
  readonly indexes: readonly ReadonlyMap<string, string>[]
  /** Which state it was, if its address says so. */
  readonly at: string | undefined
}

const nameOf = (...words: readonly string[]): string => words.join(' ')

const tries = 2

async function readSuite(archive: Archive, suite: string, snapshot: Snapshot, how: How): Promise<Suite> {
  const folder = `${addressOf({ url: archive.url, snapshot })}/dists/${suite}`
  for (let attempt = 1; ; attempt++) {
    const { release, url } = await readRelease(`${folder}/InRelease`, archive, suite, snapshot, how)
    try {
      const indexes = await Promise.all(
        archive.components.map((component) =>
          readIndex(
            {
              folder,
              component,
              release,
              names: [nameOf(snapshot?.service ?? archive.url, suite, component), nameOf(archive.url, suite, component)],
            },
            how,
          ),
        ),
      )
      return { release, indexes, at: snapshot === undefined ? undefined : /\/(\d{8}T\d{6}Z)\//.exec(url)?.[1] }
    } catch (error) {
      // An archive that keeps no index by its digest may have been renewed in between.
      if (!(error instanceof Failure && error.code === 'archive-refused') || attempt === tries) throw error
    }
  }
}

async function readRelease(file: string, archive: Archive, suite: string, snapshot: Snapshot, { fetcher, now }: How) {
  // The address of a snapshot is another one each time.
  const { body, url } = await fetcher.get(file, { keep: snapshot === undefined, maxBytes: 16 << 20 })
  const refuse = (problem: string): Failure =>
    new Failure(
      'archive-signature',
      `${file} is not what ${archive.url} has signed: ${problem}`,
      'Somebody may have altered it on the way, or the archive has a new key. Nothing is taken from there: find out which, and name the key with keyFile in image.archives of site.ts if it is the latter.',
    )
  // One byte a character: what is checked is what was sent.
  const parts = splitCleartext(body.toString('latin1'))
  if (parts === undefined) throw refuse('it is no signed file, or there is something beside what is signed')
  const data = Buffer.from(parts.text, 'latin1')
  const problem = await signatureProblem({ data, signature: parts.signature }, archive.keys)
  if (problem !== undefined) throw refuse(problem)
  const release = parseRelease(data.toString('utf8'))
  if (release === undefined)
    throw new Failure(
      'archive-refused',
      `${file} has no date or no SHA-256 of its indexes`,
      'Use another archive in image.archives of site.ts.',
    )
  // Signed as well, but of another suite.
  if (release.names.length > 0 && !release.names.includes(suite)) throw refuse(`it is of ${release.names.join(' or ')}, not of ${suite}`)
  if (snapshot === undefined && release.validUntil !== undefined && release.validUntil < now.getTime())
    throw new Failure(
      'archive-expired',
      `${file} was valid until ${new Date(release.validUntil).toISOString()}: the archive is not kept up to date, or this computer's clock is wrong`,
      'Set the clock, or name a mirror that is kept up to date in image.archives of site.ts.',
    )
  return { release, url }
}

interface Index {
  /** Address of the suite. */
  readonly folder: string
  readonly component: string
  readonly release: Release
  /** By which it is kept, the first for this one: the same for each state of it. A snapshot mostly has what the archive has. */
  readonly names: readonly [string, ...string[]]
}

async function readIndex({ folder, component, release, names }: Index, { fetcher, keeper }: How): Promise<ReadonlyMap<string, string>> {
  const place = `${component}/binary-amd64`
  const found = forms.map((form) => ({ ...form, is: release.files.get(`${place}/${form.file}`) })).find(({ is }) => is !== undefined)
  if (found?.is === undefined)
    throw new Failure(
      'archive-refused',
      `${folder} has no index ${place}/Packages.xz`,
      'Correct suites and components in image.archives of site.ts.',
    )
  const { sha256: wanted, size } = found.is
  for (const name of names) {
    const kept = await keeper.find(name)
    if (kept?.etag === wanted) return fromLines(kept.body.toString('utf8'))
  }
  const path = release.byHash ? `${place}/by-hash/SHA256/${wanted}` : `${place}/${found.file}`
  const { body } = await fetcher.get(`${folder}/${path}`, { maxBytes: Math.max(size, 1) })
  if (sha256(body) !== wanted)
    throw new Failure(
      'archive-refused',
      `${folder}/${place}/${found.file} is not what the archive's signed list says`,
      'The archive may be in the middle of being renewed: run the same command again. If it stays, do not use it.',
    )
  const packages = parsePackages((await found.open(body)).toString('utf8'))
  await keeper.keep(names[0], { etag: wanted, lastModified: '', body: Buffer.from(toLines(packages)) })
  return packages
}

/** What is checked is the compressed file, by the archive's signed list. Debian's smaller suites have .xz alone. */
const forms: readonly { readonly file: string; readonly open: (body: Buffer) => Promise<Buffer> }[] = [
  { file: 'Packages.gz', open: promisify<Buffer, Buffer>(gunzip) },
  { file: 'Packages.xz', open: unxz },
  { file: 'Packages', open: async (body) => body },
]

async function unxz(body: Buffer): Promise<Buffer> {
  const start = await starter()
  const ended = await start('xz', ['--decompress', '--stdout'], {
    env: childEnvironment(process.env),
    input: body,
    encoding: 'buffer',
    maxBuffer: 1 << 30,
  })
  if (ended.code === 'ENOENT') throw noXz()
  if (ended.failed) throw failureOf('xz', ended)
  return Buffer.from(ended.stdout)
}

const toLines = (packages: ReadonlyMap<string, string>): string => [...packages].map(([name, version]) => `${name} ${version}\n`).join('')
const fromLines = (text: string): Map<string, string> =>
  new Map(
    text.split('\n').flatMap((line) => {
      const blank = line.indexOf(' ')
      return blank < 0 ? [] : [[line.slice(0, blank), line.slice(blank + 1)] as const]
    }),
  )
