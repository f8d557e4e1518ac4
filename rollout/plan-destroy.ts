/** What `destroy` is going to do, from what there is: pure, printable, and what it then goes by. */
import { Failure } from '../core/failure.ts'
import type { GroupPins } from '../releases/deployment.ts'
import { slotNames, type SlotName } from '../settings/site.ts'
import { checkDepot, checkSlot, diskPlace, type DiskPlace, type GroupPlaces, type GroupSeen, isAstray } from './observe.ts'
import { refusalOf } from './obstacles.ts'
import type { Refusal } from './reconcile.ts'

export interface PlannedVm {
  readonly slot: SlotName
  readonly vmid: number
  readonly name: string
}

export interface GroupDestruction {
  readonly group: string
  /** Whether there is anything to end. */
  readonly exists: boolean
  /** VMs that go: drained, shut down, their data given back, deleted. */
  readonly vms: readonly PlannedVm[]
  /** VMIDs that somebody else uses by now: left alone. */
  readonly strangers: readonly PlannedVm[]
  /** Volumes that are deleted with the release. */
  readonly seeds: readonly string[]
  /** The data disk, which stays; undefined where there is none, or nobody can tell which it is. */
  readonly data?: { readonly volume: string; readonly at: 'depot' | SlotName; readonly depot: number }
}

export interface DestroySeen {
  readonly places: GroupPlaces
  readonly pins: GroupPins | undefined
  readonly seen: GroupSeen
  /** What would keep the data from going home. */
  readonly obstacles: readonly Refusal[]
  /** What to do about data that is in no place (missing.ts). */
  readonly missing: string
}

/** Whether a group's data is, or never was, in a place that is known. */
export const isDataMissing = (pins: GroupPins | undefined, place: DiskPlace): boolean =>
  pins?.dataDisk === 'made' && isAstray('made', place)

/**
 * @throws Failure for what is in the way: a depot that is not ours, a slot's VMID that is somebody else's and may have the
 * data, a snapshot and the like
 */
export function planDestroy({ places, pins, seen, obstacles, missing }: DestroySeen): GroupDestruction {
  checkDepot(places, seen)
  const refusal = refusalOf(obstacles, 'Nothing was changed.')
  if (refusal !== undefined) throw new Failure(refusal.code, refusal.message, refusal.hint)
  const place = diskPlace(seen)
  const strangers = slotNames.filter((slot) => isStranger(places, pins, seen, slot, missing))
  const own = slotNames.filter((slot) => !strangers.includes(slot))
  const vmOf = (slot: SlotName): PlannedVm => ({ slot, vmid: places.slots[slot].vmid, name: places.slots[slot].name })
  const there = own.filter((slot) => seen.slots[slot].there === true)
  const had = seedsInDrives(seen, own)
  return {
    group: places.group,
    exists: pins?.active !== undefined || there.length > 0,
    vms: there.map(vmOf),
    strangers: strangers.map(vmOf),
    seeds: [...new Set([...slotNames.flatMap((slot) => pins?.slots[slot]?.vm.seed ?? []), ...had])],
    ...('disk' in place && place.disk.gone !== true ? { data: { volume: place.disk.volume, at: place.at, depot: places.depot.vmid } } : {}),
  }
}

/** The seeds that these slots' VMs have in a drive, whatever is pinned. */
export const seedsInDrives = (seen: GroupSeen, slots: readonly SlotName[]): string[] =>
  slots.flatMap((slot) => {
    const vm = seen.slots[slot]
    return vm.there === true && vm.seed !== undefined ? [vm.seed] : []
  })

/** Nothing of somebody else's is ours to end. */
function isStranger(places: GroupPlaces, pins: GroupPins | undefined, seen: GroupSeen, slot: SlotName, missing: string): boolean {
  const vm = seen.slots[slot]
  const { vmid, name, pinned } = places.slots[slot]
  if (vm.there !== 'foreign' || vm.name === places.throwAway) {
    checkSlot(places, slot, vm)
    return false
  }
  if (!pinned || !isDataMissing(pins, diskPlace(seen))) return true
  throw new Failure(
    'vmid-taken',
    `VMID ${vmid} is not ${name} but ${vm.name === undefined ? 'a VM that the token may not see' : `VM "${vm.name}"`}, and the data disk of group ${places.group} is in no other place`,
    `That VM was not touched. If it is that slot's VM, give it its name and pool back in Proxmox. If it is not: ${missing}`,
  )
}

/** For people: a line each. */
export function destructionLines({ group, exists, vms, strangers, seeds, data }: GroupDestruction): string[] {
  if (!exists) return [`${group}: there is no VM`]
  return [
    `${group}:`,
    ...vms.map(({ vmid, name }) => `  remove VM ${vmid} (${name})`),
    ...strangers.map(({ vmid, slot }) => `  leave VMID ${vmid} of slot ${slot} alone: it is somebody else's VM`),
    ...seeds.map((seed) => `  delete the seed ${seed}`),
    data === undefined
      ? '  no data disk is there to keep'
      : data.at === 'depot'
        ? `  keep the data disk ${data.volume} in depot ${data.depot}`
        : `  give the data disk ${data.volume} back to depot ${data.depot}, which keeps it`,
    '  take the release out of deployment.json',
  ]
}
