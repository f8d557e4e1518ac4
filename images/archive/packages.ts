/**
 * Whether there is anything new among the packages, and what the lock says of them then. Nothing is solved here: what apt
 * installs is told by a bake, and until then the lock has what can be said without it.
 */
import { Failure } from '../../core/failure.ts'
import type { LockedPackages } from '../lock.ts'
import type { Archive } from './archives.ts'
import type { ArchiveState } from './read.ts'
import { compareVersions } from './version-order.ts'

type Versions = LockedPackages['versions']

export interface NewerPackage {
  readonly name: string
  readonly from: string
  readonly to: string
}

/** What the archives have in a newer version. What they do not have, or only an older one of, stays as it is. Pure. */
export const newerPackages = (known: Versions, newest: ReadonlyMap<string, string>): NewerPackage[] =>
  Object.entries(known).flatMap(([name, from]) => {
    const to = newest.get(name)
    return to !== undefined && compareVersions(from, to) < 0 ? [{ name, from, to }] : []
  })

/**
 * What an image is to have as far as it is known without apt. Pure.
 * @param known of the image before; what no archive has any more is only said again with the same base and archives
 * @throws Failure `package-unknown`
 */
export function expectedVersions(
  known: Versions,
  asked: readonly string[],
  newest: ReadonlyMap<string, string>,
  sameGround: boolean,
): Versions {
  const missing = asked.filter((name) => !newest.has(name))
  if (missing.length > 0)
    throw new Failure(
      'package-unknown',
      `none of the archives has ${missing.join(', ')}`,
      'Correct suites and components in image.archives of site.ts, or image.base.os.',
    )
  const versions: Record<string, string> = {}
  for (const [name, version] of Object.entries(known)) {
    const found = newest.get(name)
    if (found === undefined) {
      if (sameGround) versions[name] = version
    } else versions[name] = sameGround && compareVersions(found, version) < 0 ? version : found
  }
  for (const name of asked) versions[name] ??= newest.get(name) ?? ''
  return versions
}

/** Whether the lock was made with these archives. Pure. */
export const sameArchives = (locked: LockedPackages['archives'], archives: readonly Archive[]): boolean =>
  JSON.stringify(locked.map(({ url, components, suites, snapshot }) => [url, components, Object.keys(suites), snapshot?.service])) ===
  JSON.stringify(archives.map(({ url, components, suites, snapshots }) => [url, components, suites, snapshots]))

export const sameNames = (a: readonly string[], b: readonly string[]): boolean =>
  JSON.stringify([...a].sort()) === JSON.stringify([...b].sort())

export interface ResolvePackages {
  readonly before: LockedPackages | undefined
  /** Whether the base is another than that of `before`. */
  readonly otherBase: Promise<boolean>
  /** The user wants the next bake to say anew what there is. */
  readonly again: boolean
  readonly asked: readonly string[]
  readonly archives: readonly Archive[]
  /** @param at of a snapshot; undefined: as it is now */
  readonly read: (at?: string) => Promise<ArchiveState>
  readonly now: Date
}

export interface ResolvedPackages {
  readonly packages: LockedPackages
  /** What the archives have in newer versions that their snapshot service does not have yet. */
  readonly notYet: readonly NewerPackage[]
}

/** @returns what was locked before, where nothing is new. @throws Failure as `readArchives` and `expectedVersions` */
export async function resolvePackages({
  before,
  otherBase,
  again,
  asked,
  archives,
  read,
  now,
}: ResolvePackages): Promise<ResolvedPackages> {
  const known = before?.versions ?? {}
  const otherArchives = before === undefined || !sameArchives(before.archives, archives)
  const [live, isOtherBase] = await Promise.all([read(), otherBase])
  const afresh = otherArchives || isOtherBase || again || !sameNames(before.asked, asked)
  const newer = newerPackages(known, live.newest)
  if (before !== undefined && !afresh && newer.length === 0) return { packages: before, notYet: [] }
  const hasSnapshots = archives.some(({ snapshots }) => snapshots !== undefined)
  const state = hasSnapshots ? await read(stamp(now)) : live
  // A snapshot service is hours behind at times.
  if (before !== undefined && !afresh && newerPackages(known, state.newest).length === 0) return { packages: before, notYet: newer }
  return {
    packages: {
      archives: [...state.archives],
      asked: [...asked].sort(),
      complete: false,
      versions: expectedVersions(known, asked, state.newest, !otherArchives && !isOtherBase),
    },
    notYet: newer.filter(({ name, to }) => compareVersions(state.newest.get(name) ?? '', to) < 0),
  }
}

/** How snapshot services write a time. */
const stamp = (time: Date): string => time.toISOString().replaceAll(/[-:]|\.\d+/g, '')
