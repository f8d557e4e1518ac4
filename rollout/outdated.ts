/**
 * deployment.json that is not of what runs: from before a rollout, out of a backup or an older checkout. What a slot's VM
 * was made for it says itself, by the seed in its drive. Pure.
 */
import { Failure } from '../core/failure.ts'
import type { GroupPins } from '../releases/deployment.ts'
import { diskPlace, type GroupPlaces, type GroupSeen, type VmSeen } from './observe.ts'

/** The release that a VM was made for; undefined: nobody can tell. */
export const madeFor = (vm: VmSeen): string | undefined =>
  vm.there === true ? /\/seed-\d+-([0-9a-f]{12})[^/]*$/.exec(vm.seed ?? '')?.[1] : undefined

/**
 * Only of who has the data: everything else is made anew without a loss.
 * @throws Failure `deployment-outdated`: by such pins a rollout would go back to a slot of before, and take the VM that serves for a former one
 */
export function checkPins({ group, slots }: GroupPlaces, pins: GroupPins | undefined, seen: GroupSeen): void {
  const { at } = diskPlace(seen)
  if (pins?.active === undefined || (at !== 'blue' && at !== 'green')) return
  const runs = madeFor(seen.slots[at])
  const pinned = pins.slots[at]?.id
  if (runs === undefined || runs === pinned) return
  throw new Failure(
    'deployment-outdated',
    `slot ${at} of group ${group}, VM ${slots[at].vmid}, has the data and is of release ${runs}; deployment.json has ${pinned === undefined ? 'none' : `release ${pinned}`} for that slot: it is from before a rollout`,
    `Put the newer deployment.json back: in git "git log -S ${runs} -- deployment.json" finds it, else whoever rolled out has it in the site folder. If it is lost, "npx golden destroy ${group}", then "npx golden deploy", makes a slot of site.ts as it is now; the data is kept. Nothing was changed.`,
  )
}
