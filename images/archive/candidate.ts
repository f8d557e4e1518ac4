/**
 * Which version of a package apt takes where nobody has told it anything else ("APT's Default Priority Assignments" in
 * apt_preferences(5)): never an older one than is installed, of the others one with the highest priority, of these the most
 * recent. Pure.
 */
import { compareVersions } from './version-order.ts'

/** That of what is installed, and of suites that are for upgrades of what somebody has taken from there, such as Debian's backports. */
const installedPriority = 100

/** By what a suite says of itself: `NotAutomatic`, such as Debian's experimental, and `ButAutomaticUpgrades` besides. */
export const priorityOf = (notAutomatic: boolean, butAutomaticUpgrades: boolean): number =>
  notAutomatic ? (butAutomaticUpgrades ? installedPriority : 1) : 500

/** A version that can be had. */
export interface Offer {
  readonly version: string
  readonly priority: number
}

/** What is offered of each package: the most recent version of each priority. */
export type Offers = ReadonlyMap<string, readonly Offer[]>

/** @param suites each with its priority and the most recent version of each of its packages */
export function offersOf(suites: readonly { readonly priority: number; readonly index: ReadonlyMap<string, string> }[]): Offers {
  const offers = new Map<string, readonly Offer[]>()
  for (const { priority, index } of suites)
    for (const [name, version] of index) {
      const known = offers.get(name) ?? []
      const same = known.find((one) => one.priority === priority)
      if (same === undefined || compareVersions(same.version, version) < 0)
        offers.set(name, [...known.filter((one) => one !== same), { version, priority }])
    }
  return offers
}

/** @param installed undefined: no version is. @returns undefined where there is none at all */
export function candidateOf(offers: readonly Offer[], installed?: string): string | undefined {
  let best: Offer | undefined = installed === undefined ? undefined : { version: installed, priority: installedPriority }
  for (const offer of offers) {
    if (installed !== undefined && compareVersions(offer.version, installed) < 0) continue
    if (best === undefined || best.priority < offer.priority || (best.priority === offer.priority && isNewer(offer, best))) best = offer
  }
  return best?.version
}

const isNewer = (a: Offer, b: Offer): boolean => compareVersions(b.version, a.version) < 0
