/**
 * The next step of handing a group's data from one running slot to the other. Pure. The same for both directions: what a
 * rollout does, what takes it back, and what goes on after either was killed.
 *
 *     the new slot stands by  →  the old one lets its calls end, keeps new ones waiting, lets go of the disk
 *     →  old → depot → new    →  mounted, started, serving  →  the old one passes its calls on, the address moves
 */
import type { FailureCode } from '../core/failures.ts'
import { otherSlot } from '../settings/site.ts'
import {
  decideActivation,
  keepsWaiting,
  notHealthyYet,
  otherRelease,
  tellsState,
  type ActivationSeen,
  type ActivationStep,
  type ActivationWanted,
} from './activate.ts'
import { dataKey } from './depot.ts'
import type { GuestStatus } from './guest.ts'
import { diskPlace, type Disk, type VmThere } from './observe.ts'
import { lockedIn, refusalOf } from './obstacles.ts'
import type { Decision } from './reconcile.ts'
import { fullRootDisk } from './room.ts'

export type HandoverStep =
  | ActivationStep
  /** Whether the disk can leave, before anything is stopped for it. */
  | { readonly do: 'ask'; readonly disk: Disk }
  /** What the old slot is asked, while it runs. */
  | { readonly do: 'let-go' }
  | { readonly do: 'loosen' }
  | { readonly do: 'detach' }
  /** It owns the detached disk still. */
  | { readonly do: 'fasten' }
  | { readonly do: 'give-back'; readonly disk: Disk; readonly key: string }
  | { readonly do: 'shutdown' }
  | { readonly do: 'forward' }
  | { readonly do: 'take-over' }
  | { readonly do: 'unprotect' }

export interface HandoverWanted extends ActivationWanted {
  /** An old slot that does not answer, or does not let go, is shut down. */
  readonly force: boolean
  /** The new slot has to have room on its own disk. @default false */
  readonly needsRoom?: boolean
}

/** The old slot, as far as it matters. */
export interface OldSlotSeen {
  /** Undefined: not asked, or it does not answer. */
  readonly guest: GuestStatus | undefined
  /** It has not answered for so long that nothing is to be expected of it. */
  readonly silent: boolean
  readonly vmid: number
  /** Whether Proxmox was asked, by this run. */
  readonly asked: boolean
  /** What it said to this run's question to let go. */
  readonly letGo: 'unasked' | 'done' | 'refused'
  /** Whether it still has the address, and clients who wait; an old slot may have dropped both when it let go. */
  readonly keeps: boolean
  /** Whether it passes its clients' calls on, and has left the address. */
  readonly forwards: 'unasked' | 'done' | 'refused'
}

export interface HandoverSeen extends ActivationSeen {
  readonly old: OldSlotSeen
}

type Next = Decision<HandoverStep>

const step = (what: HandoverStep, title: string): Next => ({ kind: 'step', step: what, title })
const refuse = (code: FailureCode, message: string, hint: string): Next => ({ kind: 'refuse', refusal: { code, message, hint } })

/** What to do next. Pure. */
export function decideHandover(wanted: HandoverWanted, seen: HandoverSeen): Next {
  const from = otherSlot(wanted.slot)
  const place = diskPlace(seen.group)
  const owner = seen.group.slots[from]
  if (place.at === from && owner.there === true) {
    const locked = lockedIn([
      ['the old slot', seen.old.vmid, owner],
      ['the new slot', seen.vmids?.slot, seen.group.slots[wanted.slot]],
      ['the depot', seen.vmids?.depot, seen.group.depot],
    ])
    return locked ?? standsBy(wanted, seen) ?? toldState(wanted, seen) ?? letsGo(wanted, seen, owner, place.disk)
  }
  return passesOn(wanted, seen) ?? decideActivation(wanted, seen)
}

/** Undefined: the new slot is ready. Nothing of the old one is touched before. Pure. */
export function standsBy(wanted: HandoverWanted, { group, guest, silent, obstacles, vmids }: ActivationSeen): Next | undefined {
  const { slot } = wanted
  const vm = group.slots[slot]
  if (vm.there !== true)
    return refuse(
      'slot-missing',
      `slot ${slot} of group ${wanted.group} has no VM`,
      `Run "npx golden rollout ${wanted.group}": it makes it.`,
    )
  const refusal = refusalOf(obstacles, 'Nothing was stopped.')
  if (refusal !== undefined) return { kind: 'refuse', refusal }
  if (vm.disks.length > 0)
    return refuse(
      'several-data-disks',
      `VM ${vmids?.slot ?? ''} of slot ${slot} has a disk that could be data: ${vm.disks.map(({ volume }) => volume).join(', ')}`,
      'Remove in Proxmox what does not belong there. Nothing was touched.',
    )
  if (!vm.running) return step({ do: 'start' }, 'start the VM')
  if (guest === undefined)
    return silent === true
      ? step({ do: 'reset' }, 'reset the VM')
      : step({ do: 'wait-agent', mayReset: true }, 'wait for the guest of the new slot')
  if (guest.release !== wanted.release) return otherRelease(wanted, guest) as Next
  const full = wanted.needsRoom === true ? fullRootDisk(wanted.group, slot, guest) : undefined
  if (full !== undefined) return { kind: 'refuse', refusal: full }
  if (!guest.healthy)
    return {
      kind: 'wait',
      for: `the new slot is not ready to take over: ${guest.problems.join('; ') || 'starting'}`,
      timeoutMs: wanted.healthTimeoutMs,
    }
  return vm.protected ? undefined : step({ do: 'protect' }, 'protect the VM of the new slot')
}

/** Before anything of the old slot is stopped. Pure. */
const toldState = (wanted: HandoverWanted, { guest }: HandoverSeen): Next | undefined =>
  guest === undefined ? undefined : tellsState(wanted, guest)

/** The disk leaves the old slot. Proxmox detaches none of a protected VM, and destroys no VM that runs (depot.ts). */
function letsGo({ force }: HandoverWanted, { old }: HandoverSeen, owner: VmThere, disk: Disk): Next {
  if (!owner.running)
    return step({ do: 'give-back', disk, key: disk.key === dataKey ? dataKey : 'unused0' }, 'put the data disk into the depot')
  if (disk.key !== dataKey)
    return owner.protected
      ? step({ do: 'give-back', disk, key: 'unused0' }, 'put the data disk into the depot')
      : step({ do: 'fasten' }, 'protect the old slot again')
  if (old.letGo === 'unasked') {
    if (old.guest === undefined)
      return force && old.silent
        ? step({ do: 'shutdown' }, 'shut the old slot down, which does not answer')
        : { kind: 'wait', for: 'the guest of the old slot does not answer', timeoutMs: 300_000 }
    if (!old.asked) return step({ do: 'ask', disk }, 'ask whether the data disk can leave')
    return step({ do: 'let-go' }, 'let calls end, and go of the data')
  }
  if (old.letGo === 'refused') return step({ do: 'shutdown' }, 'shut the old slot down, which does not let go')
  if (owner.protected) return step({ do: 'loosen' }, 'let the disk be detached')
  return step({ do: 'detach' }, 'detach the data disk')
}

/** From the moment when the new slot serves. Undefined: not yet. */
function passesOn(wanted: HandoverWanted, { group, guest, dataDisk, old }: HandoverSeen): Next | undefined {
  const { slot } = wanted
  const place = diskPlace(group)
  if (place.at !== slot || place.disk.key !== dataKey || guest?.release !== wanted.release) return undefined
  if (dataDisk !== 'made' || guest.dataDisk !== 'mounted' || !guest.active || !(guest.serves ?? guest.healthy)) return undefined
  if (keepsWaiting(guest)) return undefined
  const vm = group.slots[otherSlot(slot)]
  if (vm.there === true && vm.running && !guest.serviceAddress.held) {
    if (old.keeps && old.forwards === 'unasked') return step({ do: 'forward' }, 'let the old slot pass its calls on')
    if (old.forwards === 'refused') return step({ do: 'shutdown' }, 'shut the old slot down, which does not let go of the address')
    if (old.keeps) return step({ do: 'take-over' }, 'take the service address')
  }
  if (!guest.healthy) return { kind: 'wait', for: notHealthyYet(wanted, guest, 'the service address'), timeoutMs: wanted.healthTimeoutMs }
  if (vm.there === true && vm.protected) return step({ do: 'unprotect' }, 'take the protection off the old slot')
  return { kind: 'done' }
}
