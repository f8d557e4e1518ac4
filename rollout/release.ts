/**
 * Ends a slot's ownership: the guest lets go of the data disk, the VM is shut down, and the disk goes home to its
 * depot while the VM is still protected; only then may the VM be deleted. Run again, it goes on.
 */
import { ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { Failure, isLost } from '../core/failure.ts'
import { isOutdated } from '../proxmox/conditions.ts'
import type { Progress } from '../core/progress.ts'
import type { SlotName } from '../settings/site.ts'
import { askToReassign, dataKey, reassign, seenVm, settleGroup, shutdown, start, unprotect } from './depot.ts'
import { guestOf, isOfGuest, type GuestStatus } from './guest.ts'
import { checkDepot, checkSlot, diskPlace, observeGroup, type Disk, type DiskPlace, type GroupPlaces, type GroupSeen } from './observe.ts'
import { missingHint, strayVolumes } from './missing.ts'
import { findObstacles, lockedIn, refusalOf } from './obstacles.ts'
import { reconcile, type Decision, type Refusal } from './reconcile.ts'

export type ReleaseStep =
  /** Whether the disk can go home, before anything is stopped for it. */
  | { readonly do: 'ask'; readonly disk: Disk }
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
  /** Whether Proxmox was asked already. */
  readonly asked?: boolean
  /** For messages. */
  readonly vmids?: { readonly slot: number; readonly depot: number }
  /** What is in the way of giving the disk back. */
  readonly obstacles?: readonly Refusal[]
  /** What to do about a volume that is not there. */
  readonly missing?: string
}

/** What to do next. Pure. */
export function decideRelease(group: string, slot: SlotName, seen: ReleaseSeen): Decision<ReleaseStep> {
  const vm = seen.group.slots[slot]
  if (vm.there !== true) return { kind: 'done' }
  const { depot } = seen.group
  const locked = lockedIn([
    ['the slot', seen.vmids?.slot, vm],
    ['the depot', seen.vmids?.depot, depot],
  ])
  if (locked !== undefined) return locked
  const place = diskPlace(seen.group)
  if (place.at === 'several') {
    return {
      kind: 'refuse',
      refusal: {
        code: 'several-data-disks',
        message: `group ${group} has more than one disk that could be its data: ${place.list.join(', ')}`,
        hint: 'Remove in Proxmox what does not belong there. Nothing was touched.',
      },
    }
  }
  if (place.at !== slot)
    return vm.protected ? { kind: 'step', step: { do: 'unprotect' }, title: 'take the protection off the VM' } : { kind: 'done' }
  if (place.disk.gone === true) {
    return {
      kind: 'refuse',
      refusal: {
        code: 'data-disk-missing',
        message: `slot ${slot} of group ${group} names the data disk ${place.disk.volume}, which is not on its storage`,
        hint: seen.missing ?? 'Restore it from a backup.',
      },
    }
  }
  const refusal = refusalOf(seen.obstacles, vm.running ? 'Nothing was stopped.' : 'Nothing was changed.')
  if (refusal !== undefined && !seen.yielded) return { kind: 'refuse', refusal }
  if (vm.running) {
    if (seen.asked === false && !seen.drained && place.disk.key === dataKey)
      return { kind: 'step', step: { do: 'ask', disk: place.disk }, title: 'ask whether the data disk can go home' }
    const mounted = seen.guest?.dataDisk === 'mounted'
    if (mounted && !seen.drained) return { kind: 'step', step: { do: 'drain' }, title: 'let requests in progress end' }
    if (mounted && !seen.yielded) return { kind: 'step', step: { do: 'yield' }, title: 'stop what uses the data disk' }
    return { kind: 'step', step: { do: 'shutdown' }, title: 'shut the VM down' }
  }
  return {
    kind: 'step',
    step: { do: 'give-back', disk: place.disk, key: place.disk.key === dataKey ? dataKey : 'unused0' },
    title: 'put the data disk into the depot',
  }
}

export interface ReleaseContext {
  readonly proxmox: Proxmox
  readonly places: GroupPlaces
  readonly progress: Progress
  readonly signal?: AbortSignal
  readonly pauseMs?: number
}

/** A guest that refuses is warned of. Whether one was asked at all has to be known: the next look tells. */
const unlessUnknown =
  (warn: (text: string) => void) =>
  (error: unknown): void => {
    if (isLost(error) || !isOfGuest(error)) throw error
    warn((error as Failure).message)
  }

const refused: ReadonlySet<string> = new Set(['proxmox-refused', 'task-failed', 'vm-missing'])

/** By Proxmox, for a reason that another look does not do away with. */
const isRefused = (error: unknown): boolean => error instanceof ProxmoxError && !error.lost && !isOutdated(error) && refused.has(error.code)

const explainRefusal =
  ({ group, depot }: GroupPlaces, state: string) =>
  (error: unknown): never => {
    if (!isRefused(error)) throw error
    throw new Failure(
      'handover-refused',
      `Proxmox does not put the data disk of group ${group} back into depot ${depot.vmid}: ${(error as Error).message}`,
      `Mend what it complains about, then run the same command again. ${state}`,
      { cause: error },
    )
  }

/** Time for a guest to shut down before its power is cut, in seconds. */
const shutdownSeconds = 180

/** @returns where the data disk is now: the depot, unless there never was one */
export async function release({ proxmox, places, progress, signal, pauseMs }: ReleaseContext, slot: SlotName): Promise<DiskPlace> {
  const vmid = places.slots[slot].vmid
  const guest = guestOf(proxmox, places.node, vmid, signal)
  let drained = false
  let yielded = false
  let asked = false
  let stopped = false
  await settleGroup(proxmox, places, signal)
  const last = await progress.step(`release slot ${slot} of group ${places.group}`, (note) =>
    reconcile<ReleaseSeen, ReleaseStep>({
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
        const place = diskPlace(group)
        const owns = place.at === slot
        return {
          group,
          drained,
          yielded,
          asked,
          guest: ask ? await guest.status() : undefined,
          obstacles: owns ? await findObstacles(proxmox, places, group, 'depot') : [],
          vmids: { slot: vmid, depot: places.depot.vmid },
          ...(owns && place.disk.gone === true ? { missing: missingHint(places, await strayVolumes(proxmox, places)) } : {}),
        }
      },
      decide: (seen) => decideRelease(places.group, slot, seen),
      async take(next, { group }) {
        const own = seenVm(vmid, group.slots[slot])
        switch (next.do) {
          case 'ask':
            // Once is enough: where the answer is lost it goes on without.
            asked = true
            return askToReassign(proxmox, places, next.disk, own, seenVm(places.depot.vmid, group.depot), dataKey, signal).catch(
              (error: unknown) => {
                asked = !isOutdated(error)
                return explainRefusal(places, 'Nothing was stopped.')(error)
              },
            )
          case 'drain':
            await guest.call('drain').catch(unlessUnknown((text) => progress.warn(`${text}; it goes on without`)))
            drained = true
            return
          case 'yield':
            await guest.call('yield').catch(unlessUnknown((text) => progress.warn(`${text}; the VM is shut down all the same`)))
            yielded = true
            return
          case 'shutdown':
            await shutdown(proxmox, places, vmid, shutdownSeconds, signal)
            stopped = true
            return
          case 'give-back':
            return reassign(proxmox, places, next.disk, own, seenVm(places.depot.vmid, group.depot), next.key, signal).catch(
              async (error: unknown) => {
                if (!stopped || !isRefused(error)) throw error
                // It serves on as long as it can't be ended: what is in the way came after everything was asked.
                progress.warn(`the data disk can't go home: ${(error as Error).message}; VM ${vmid} is started again`)
                await start(proxmox, places, vmid, signal).catch((failed: Error) => progress.warn(failed.message))
                return explainRefusal(places, `VM ${vmid} was started again, with its data.`)(error)
              },
            )
          case 'unprotect':
            return unprotect(proxmox, places, own)
        }
      },
    }),
  )
  return diskPlace(last.group)
}
