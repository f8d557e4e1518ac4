/**
 * Ends a slot's ownership: the guest lets go of the data disk, the VM is shut down, and the disk goes home to its
 * depot while the VM is still protected; only then may the VM be deleted. Run again, it goes on.
 */
import type { Proxmox } from '../proxmox/client.ts'
import { isLost, type Failure } from '../proxmox/failure.ts'
import type { Progress } from '../proxmox/progress.ts'
import type { SlotName } from '../stacks/site.ts'
import { dataKey, reassign, seenVm, settleGroup, shutdown, unprotect } from './depot.ts'
import { guestOf, isOfGuest, type GuestStatus } from './guest.ts'
import { checkDepot, checkSlot, diskPlace, observeGroup, type Disk, type DiskPlace, type GroupPlaces, type GroupSeen } from './observe.ts'
import { reconcile, type Decision } from './reconcile.ts'

export type ReleaseStep =
  | { readonly do: 'drain' }
  | { readonly do: 'yield' }
  | { readonly do: 'shutdown' }
  | { readonly do: 'give-back'; readonly disk: Disk; readonly key: string }
  | { readonly do: 'unprotect' }

export interface ReleaseSeen {
  readonly group: GroupSeen
  /** Undefined: it does not answer, or there was no reason to ask. */
  readonly guest: GuestStatus | undefined
  /** What this run has asked the guest for already: neither is tried twice, the VM is shut down anyway. */
  readonly drained: boolean
  readonly yielded: boolean
}

/** What to do next. Pure. */
export function decideRelease(group: string, slot: SlotName, seen: ReleaseSeen): Decision<ReleaseStep> {
  const vm = seen.group.slots[slot]
  if (vm.there !== true) return { kind: 'done' }
  const { depot } = seen.group
  for (const [name, one] of [['the slot', vm], ['the depot', depot]] as const) {
    if (one.there === true && one.lock !== undefined) return { kind: 'wait', for: `${name} is locked: ${one.lock}`, timeoutMs: 3_600_000 }
  }
  const place = diskPlace(seen.group)
  if (place.at === 'several') {
    return { kind: 'refuse', refusal: { code: 'several-data-disks', message: `group ${group} has more than one disk that could be its data: ${place.list.join(', ')}`, hint: 'Remove in Proxmox what does not belong there. Nothing was touched.' } }
  }
  if (place.at !== slot) return vm.protected ? { kind: 'step', step: { do: 'unprotect' }, title: 'take the protection off the VM' } : { kind: 'done' }
  if (vm.running) {
    const mounted = seen.guest?.dataDisk === 'mounted'
    if (mounted && !seen.drained) return { kind: 'step', step: { do: 'drain' }, title: 'let requests in progress end' }
    if (mounted && !seen.yielded) return { kind: 'step', step: { do: 'yield' }, title: 'stop what uses the data disk' }
    return { kind: 'step', step: { do: 'shutdown' }, title: 'shut the VM down' }
  }
  return { kind: 'step', step: { do: 'give-back', disk: place.disk, key: place.disk.key === dataKey ? dataKey : 'unused0' }, title: 'put the data disk into the depot' }
}

export interface ReleaseContext {
  readonly proxmox: Proxmox
  readonly places: GroupPlaces
  readonly progress: Progress
  readonly signal?: AbortSignal
  readonly pauseMs?: number
}

/** A guest that refuses is warned of. Whether one was asked at all has to be known: the next look tells. */
const unlessUnknown = (warn: (text: string) => void) => (error: unknown): void => {
  if (isLost(error) || !isOfGuest(error)) throw error
  warn((error as Failure).message)
}

/** Time for a guest to shut down before its power is cut, in seconds. */
const shutdownSeconds = 180

/** @returns where the data disk is now: the depot, unless there never was one */
export async function release({ proxmox, places, progress, signal, pauseMs }: ReleaseContext, slot: SlotName): Promise<DiskPlace> {
  const vmid = places.slots[slot].vmid
  const guest = guestOf(proxmox, places.node, vmid, signal)
  let drained = false
  let yielded = false
  await settleGroup(proxmox, places, signal)
  const last = await progress.step(`release slot ${slot} of group ${places.group}`, (note) => reconcile<ReleaseSeen, ReleaseStep>({
    note,
    ...(signal === undefined ? {} : { signal }),
    ...(pauseMs === undefined ? {} : { pauseMs }),
    settle: () => settleGroup(proxmox, places, signal),
    async look() {
      const group = await observeGroup(proxmox, places)
      checkDepot(places, group)
      checkSlot(places, slot, group.slots[slot])
      const vm = group.slots[slot]
      const ask = diskPlace(group).at === slot && vm.there === true && vm.running && vm.lock === undefined
      return { group, guest: ask ? await guest.status() : undefined, drained, yielded }
    },
    decide: (seen) => decideRelease(places.group, slot, seen),
    async take(next, { group }) {
      const own = seenVm(vmid, group.slots[slot])
      switch (next.do) {
        case 'drain':
          await guest.call('drain').catch(unlessUnknown((text) => progress.warn(`${text}; it goes on without`)))
          drained = true
          return
        case 'yield':
          await guest.call('yield').catch(unlessUnknown((text) => progress.warn(`${text}; the VM is shut down all the same`)))
          yielded = true
          return
        case 'shutdown':
          return shutdown(proxmox, places, vmid, shutdownSeconds, signal)
        case 'give-back':
          return reassign(proxmox, places, next.disk, own, seenVm(places.depot.vmid, group.depot), next.key, signal)
        case 'unprotect':
          return unprotect(proxmox, places, own)
      }
    }
  }))
  return diskPlace(last.group)
}
