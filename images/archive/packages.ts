/**
 * Whether there is anything new among the packages, and what the lock says of them then. Nothing is solved here: what apt
 * installs is told by a bake, and until then the lock has what can be said without it.
 */
import { Failure } from '../../core/failure.ts'
import type { LockedPackages } from '../lock.ts'
import type { Archive } from './archives.ts'
import { candidateOf, type Offer, type Offers } from './candidate.ts'
import type { ArchiveState } from './read.ts'
import { compareVersions } from './version-order.ts'

type Versions = LockedPackages['versions']

export interface NewerPackage {
  readonly name: string
  readonly from: string
  readonly to: string
}

/**
 * What apt would upgrade if just this was installed. What the archives do not have, have only in an older version, or in a
 * newer one that is not to be taken by itself, stays as it is. Pure.
 */
export const newerPackages = (known: Versions, offers: Offers): NewerPackage[] =>
  Object.entries(known).flatMap(([name, from]) => {
    const to = candidateOf(offers.get(name) ?? [], from) ?? from
    return compareVersions(from, to) < 0 ? [{ name, from, to }] : []
  })

/**
 * What an image is to have as far as it is known without apt. Pure.
 * @param known of the image before; what no archive has any more is only said again with the same base and archives
 * @throws Failure `package-unknown`
 */
export function expectedVersions(known: Versions, asked: readonly string[], offers: Offers, sameGround: boolean): Versions {
  const missing = asked.filter((name) => !offers.has(name))
  if (missing.length > 0)
    throw new Failure(
      'package-unknown',
      `none of the archives has ${missing.join(', ')}`,
      'Correct suites and components in image.archives of site.ts, or image.base.os.',
    )
  const versions: Record<string, string> = {}
  for (const [name, version] of Object.entries(known)) {
    const found = expectedVersion(version, offers.get(name) ?? [], sameGround)
    if (found !== undefined) versions[name] = found
  }
  for (const name of asked) versions[name] ??= candidateOf(offers.get(name) ?? []) ?? ''
  return versions
}

/** @param known of the image before. @returns undefined where it hangs on what the base has, which is apt's to say */
function expectedVersion(known: string, offers: readonly Offer[], sameGround: boolean): string | undefined {
  const [fresh, upgraded] = [candidateOf(offers), candidateOf(offers, known)]
  if (fresh === undefined) return sameGround ? known : undefined
  // What was newer than apt's choice was the base's, and only the same base surely has it.
  if (compareVersions(fresh, known) < 0) return sameGround ? upgraded : upgraded === known ? fresh : undefined
  // What is in no suite that upgrades are taken from comes from there, but not where the base has it.
  return upgraded === fresh ? fresh : undefined
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
  const newer = newerPackages(known, live.offers)
  if (before !== undefined && !afresh && newer.length === 0) return { packages: before, notYet: [] }
  // As long as no bake has said so, what is asked for may have come from an older idea of what apt would take.
  const guessed = again && before?.complete === false ? before.asked : []
  const said = Object.fromEntries(Object.entries(known).filter(([name]) => !guessed.includes(name)))
  const hasSnapshots = archives.some(({ snapshots }) => snapshots !== undefined)
  const state = hasSnapshots ? await read(stamp(now)) : live
  // A snapshot service is hours behind at times.
  if (before !== undefined && !afresh && newerPackages(known, state.offers).length === 0) return { packages: before, notYet: newer }
  return {
    packages: {
      archives: [...state.archives],
      asked: [...asked].sort(),
      complete: false,
      versions: expectedVersions(said, asked, state.offers, !otherArchives && !isOtherBase),
    },
    notYet: newer.filter(({ name, from, to }) => compareVersions(candidateOf(state.offers.get(name) ?? [], from) ?? from, to) < 0),
  }
}

/** How snapshot services write a time. */
const stamp = (time: Date): string => time.toISOString().replaceAll(/[-:]|\.\d+/g, '')
