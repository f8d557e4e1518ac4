/**
 * Makes a slot its group's owner: the data disk goes from the depot to the slot, and the guest starts what needs
 * it. Observe, decide (pure), act; killed anywhere and run again it goes on.
 */
import type { Proxmox } from '../proxmox/client.ts'
import { Failure } from '../core/failure.ts'
import type { FailureCode } from '../core/failures.ts'
import type { Progress } from '../core/progress.ts'
import type { SlotName } from '../settings/site.ts'
import { statusSchema } from '../images/contract/status.ts'
import { attach, createDataDisk, dataKey, protect, reassign, reset, seenVm, settleGroup, start } from './depot.ts'
import { guestOf, type Guest, type GuestStatus } from './guest.ts'
import { diskPlace, type Disk, type GroupPlaces, type GroupSeen, isAstray } from './observe.ts'
import { missingHint, strayVolumes } from './missing.ts'
import { findObstacles, lockedIn, refusalOf } from './obstacles.ts'
import { reconcileGroup } from './reconcile-group.ts'
import { untilNextLook, type Decision, type Refusal } from './reconcile.ts'

export type ActivationStep =
  | { readonly do: 'mark-new' }
  | { readonly do: 'create-disk' }
  | { readonly do: 'start' }
  | { readonly do: 'protect' }
  /** What the slot is to take the services' state as, before it has the data. */
  | { readonly do: 'tell-state'; readonly state: 'now' | 'before' }
  | { readonly do: 'take'; readonly disk: Disk }
  | { readonly do: 'attach'; readonly disk: Disk }
  /** `mayReset`: nothing would be lost by it. */
  | { readonly do: 'wait-agent'; readonly mayReset: boolean }
  | { readonly do: 'reset' }
  | { readonly do: 'format' }
  | { readonly do: 'activate' }
  | { readonly do: 'mark-made' }

export interface ActivationSeen {
  readonly group: GroupSeen
  /** What deployment.json says of the data disk. */
  readonly dataDisk: 'new' | 'made' | undefined
  /** What it says, or has said before the disk came. Undefined: not asked, or it does not answer. */
  readonly guest: GuestStatus | undefined
  /** Whether this run has told the guest already. */
  readonly activated: boolean
  /** This run has just attached the disk of a guest that looks for itself what is on it: clients wait for every question. */
  readonly attached?: boolean
  /** It has not answered for so long that a reset is due, and has not been reset yet. */
  readonly silent?: boolean
  /** For messages. */
  readonly vmids?: { readonly slot: number; readonly depot: number }
  /** What is in the way of taking the disk out of the depot. */
  readonly obstacles?: readonly Refusal[]
  /** What to do about a disk that is in no place, or not on its storage. */
  readonly missing?: string
}

export interface ActivationWanted {
  readonly group: string
  readonly slot: SlotName
  readonly release: string
  readonly healthTimeoutMs: number
  /** That is as short as it is because clients wait meanwhile. @default false */
  readonly clientsWait?: boolean
  /** The services' state as it is, or as the slot's own image had left it. @default now */
  readonly state?: 'now' | 'before'
}

const step = (what: ActivationStep, title: string): Decision<ActivationStep> => ({ kind: 'step', step: what, title })
const refuse = (code: FailureCode, message: string, hint: string): Decision<ActivationStep> => ({
  kind: 'refuse',
  refusal: { code, message, hint } satisfies Refusal,
})

export const otherRelease = ({ group, slot, release }: ActivationWanted, guest: GuestStatus): Decision<ActivationStep> =>
  refuse(
    'other-release',
    `slot ${slot} of group ${group} runs release ${guest.release}, not ${release}`,
    `End it with "npx golden destroy ${group}", then deploy again. The data is kept.`,
  )

/**
 * Undefined: the slot knows what to take the state as. What an earlier run has told it may be something else, so that it is
 * told before each time that the data comes. Pure.
 */
export function tellsState({ group, slot, state = 'now' }: ActivationWanted, guest: GuestStatus): Decision<ActivationStep> | undefined {
  if (guest.state === state || (guest.state === undefined && state === 'now')) return undefined
  if (guest.state === undefined)
    return refuse(
      'restore-point-missing',
      `the image of slot ${slot} of group ${group} is of before there were restore points: it can't put one back`,
      `"npx golden rollback ${group}" goes back with the state as it is.`,
    )
  return step({ do: 'tell-state', state }, state === 'before' ? 'let the state of before be put back' : 'let the state be taken as it is')
}

/** What to do next. Pure. */
export function decideActivation(wanted: ActivationWanted, seen: ActivationSeen): Decision<ActivationStep> {
  const { group, slot } = wanted
  const vm = seen.group.slots[slot]
  if (vm.there !== true) return refuse('slot-missing', `slot ${slot} of group ${group} has no VM`, 'Run "npx golden deploy".')
  const { depot } = seen.group
  const locked = lockedIn([
    ['the slot', seen.vmids?.slot, vm],
    ['the depot', seen.vmids?.depot, depot],
  ])
  if (locked !== undefined) return locked
  const place = diskPlace(seen.group)
  if (place.at === 'several')
    return refuse(
      'several-data-disks',
      `group ${group} has more than one disk that could be its data: ${place.list.join(', ')}`,
      'Remove in Proxmox what does not belong there. Nothing was touched.',
    )
  if (place.at === 'nowhere') {
    if (seen.dataDisk === 'made')
      return refuse(
        'data-disk-missing',
        `the data disk of group ${group} is neither in its depot nor in a slot`,
        seen.missing ?? 'Restore it into the depot from a backup.',
      )
    return seen.dataDisk === 'new'
      ? step({ do: 'create-disk' }, 'make the data disk')
      : step({ do: 'mark-new' }, 'note that the data disk is new')
  }
  if (place.at !== 'depot' && place.at !== slot)
    return refuse(
      'data-disk-in-use',
      `slot ${place.at} of group ${group} owns the data disk`,
      `"npx golden rollout ${group}" goes on with a rollout that was interrupted, "npx golden rollback ${group}" goes back.`,
    )
  if (place.disk.gone === true)
    return refuse(
      'data-disk-missing',
      `the data disk ${place.disk.volume} that ${place.at === 'depot' ? 'the depot' : `slot ${place.at}`} of group ${group} names is not on its storage`,
      seen.missing ?? 'Restore it from a backup.',
    )
  const refusal = place.at === 'depot' ? refusalOf(seen.obstacles, 'The data is in its depot.') : undefined
  if (refusal !== undefined) return { kind: 'refuse', refusal }
  if (!vm.running) return step({ do: 'start' }, 'start the VM')
  if (place.at === 'depot') {
    // A guest that never comes up, or is another release's, gets no data.
    if (seen.guest === undefined)
      return seen.silent === true ? step({ do: 'reset' }, 'reset the VM') : step({ do: 'wait-agent', mayReset: true }, 'wait for the guest')
    if (seen.guest.release !== wanted.release) return otherRelease(wanted, seen.guest)
  }
  // Until the disk is attached.
  if (place.at === 'depot' || place.disk.key !== dataKey) {
    if (seen.guest === undefined && wanted.state === 'before') return step({ do: 'wait-agent', mayReset: false }, 'wait for the guest')
    const tell = seen.guest === undefined ? undefined : tellsState(wanted, seen.guest)
    if (tell !== undefined) return tell
  }
  // Before the disk comes: whoever owns it can't be deleted.
  if (!vm.protected) return step({ do: 'protect' }, 'protect the VM')
  if (place.at === 'depot') return step({ do: 'take', disk: place.disk }, 'take the data disk out of the depot')
  if (place.disk.key !== dataKey) return step({ do: 'attach', disk: place.disk }, 'attach the data disk')
  return decideGuest(wanted, seen)
}

/** A slot that had begun to let go of the data and has it still: its clients wait until it is activated again. */
export const keepsWaiting = ({ handover = 'none' }: GuestStatus): boolean => handover !== 'none'

/** What a slot with the data is waited for. Pure. */
export const notHealthyYet = ({ clientsWait }: ActivationWanted, { problems }: GuestStatus, otherwise: string): string =>
  `not healthy yet: ${problems.join('; ') || otherwise}${clientsWait === true ? ' (calls wait no longer than serena.parking.seconds)' : ''}`

/** The same, once the disk is attached. */
function decideGuest(wanted: ActivationWanted, { guest, dataDisk, activated, attached }: ActivationSeen): Decision<ActivationStep> {
  const { group } = wanted
  if (guest === undefined) return step({ do: 'wait-agent', mayReset: false }, 'wait for the guest')
  if (guest.release !== wanted.release) return otherRelease(wanted, guest)
  if (attached === true && dataDisk === 'made' && !activated) return step({ do: 'activate' }, 'start what needs the data disk')
  switch (guest.dataDisk) {
    case 'absent':
      return { kind: 'wait', for: 'the guest does not see the data disk yet', timeoutMs: 300_000 }
    case 'foreign':
      return refuse(
        'data-disk-foreign',
        `the data disk of group ${group} holds something that is not this project's file system`,
        'Nothing was written. Look at it from the slot; restore the right disk from a backup.',
      )
    case 'blank':
      if (dataDisk === 'new') return step({ do: 'format' }, 'make a file system on the new data disk')
      return refuse(
        'data-disk-blank',
        `the data disk of group ${group} is empty, and deployment.json does not say that it is new`,
        `Nothing was written. If it may start empty: "npx golden destroy ${group}", "npx golden delete-data ${group}", then deploy.`,
      )
    case 'ready':
      return activated
        ? { kind: 'wait', for: 'the data disk is being mounted', timeoutMs: 120_000 }
        : step({ do: 'activate' }, 'start what needs the data disk')
    case 'mounted':
      if (dataDisk !== 'made') return step({ do: 'mark-made' }, 'note that the data disk is in use')
      if (guest.healthy && guest.active && !keepsWaiting(guest)) return { kind: 'done' }
      if (!activated) return step({ do: 'activate' }, 'start what needs the data disk')
      return { kind: 'wait', for: notHealthyYet(wanted, guest, 'starting'), timeoutMs: wanted.healthTimeoutMs }
  }
}

/** How long a guest may be silent. */
export interface Silence {
  /** Until its VM is reset, if that can't hurt. @default 300000 */
  readonly resetAfterMs?: number
  /** An old slot's, until it is shut down, by whoever may. @default 60000 */
  readonly shutdownAfterMs?: number
  /** Any other, until it is given up. @default 900000 */
  readonly giveUpAfterMs?: number
}

export interface ActivationContext extends Silence {
  readonly proxmox: Proxmox
  readonly places: GroupPlaces
  readonly progress: Progress
  readonly signal?: AbortSignal
  /** What deployment.json says of the data disk; read anew each time. */
  readDataDisk(): Promise<'new' | 'made' | undefined>
  writeDataDisk(state: 'new' | 'made'): Promise<void>
  readonly pauseMs?: number
}

/** What an activation looks at and does beside the loop: a handover goes by it, too. */
export interface Activation {
  see(group: GroupSeen): Promise<ActivationSeen>
  take(step: ActivationStep, group: GroupSeen, note: (text: string) => void): Promise<void>
}

export interface ActivationManner {
  /** Ask a guest again that was not healthy, before it has data, too. @default false */
  readonly untilWell?: boolean
  /** The guest itself waits so long until it serves, and tells at once: clients wait for it. @default not at all */
  readonly serveSeconds?: number
}

/** @param slot whose turn it is to own the data */
export function activationOf(
  context: ActivationContext,
  slot: SlotName,
  { untilWell = false, serveSeconds = 0 }: ActivationManner = {},
): Activation {
  const { proxmox, places, progress, signal } = context
  const vmid = places.slots[slot].vmid
  const guest = guestOf(proxmox, places.node, vmid, signal)
  let activated = false
  let known: GuestStatus | undefined
  let silence: 'none' | 'reset-due' | 'reset' = 'none'
  let justAttached = false
  // What it has just said need not be asked.
  let fresh = false
  return {
    async see(group) {
      const place = diskPlace(group)
      const vm = group.slots[slot]
      const attached = place.at === slot && place.disk.key === dataKey
      const isDue = (attached && !justAttached) || known === undefined || (untilWell && !known.healthy)
      if (vm.there === true && vm.running && isDue && !fresh) known = await guest.status()
      fresh = false
      const dataDisk = await context.readDataDisk()
      return {
        group,
        dataDisk,
        activated,
        attached: justAttached,
        guest: known,
        silent: silence === 'reset-due',
        obstacles: place.at === 'depot' ? await findObstacles(proxmox, places, group, slot) : [],
        vmids: { slot: vmid, depot: places.depot.vmid },
        ...(isAstray(dataDisk, place) ? { missing: missingHint(places, await strayVolumes(proxmox, places)) } : {}),
      }
    },
    async take(next, group, note) {
      const own = seenVm(vmid, group.slots[slot])
      const depot = seenVm(places.depot.vmid, group.depot)
      switch (next.do) {
        case 'mark-new':
          return context.writeDataDisk('new')
        case 'mark-made':
          return context.writeDataDisk('made')
        case 'create-disk':
          return createDataDisk(proxmox, places, depot, signal)
        case 'start':
          return start(proxmox, places, vmid, signal)
        case 'protect':
          return protect(proxmox, places, own)
        case 'take':
          return reassign(proxmox, places, next.disk, depot, own, 'unused0', signal)
        case 'attach':
          await attach(proxmox, places, own, next.disk)
          justAttached = serveSeconds > 0
          return
        case 'wait-agent':
          if (next.mayReset && silence === 'none' && !(await answersWithin(guest, context.resetAfterMs ?? resetAfterMs, note))) {
            // In minutes of waiting another run may have given it the data: looked at again first.
            silence = 'reset-due'
            return
          }
          known = await waitForStatus(guest, note, signal, context.giveUpAfterMs)
          return
        case 'reset':
          silence = 'reset'
          progress.warn(`VM ${vmid} does not answer since it was started: resetting it, once; it has no data yet`)
          return reset(proxmox, places, vmid, signal)
        case 'tell-state':
          known = statusSchema.safeParse(await guest.call('state', next.state)).data
          fresh = known !== undefined
          return
        case 'format':
          await guest.call('format')
          return
        case 'activate': {
          justAttached = false
          const said = statusSchema.safeParse(await guest.call('activate', ...(serveSeconds > 0 ? [String(serveSeconds)] : []))).data
          fresh = said !== undefined
          known = said ?? known
          activated = true
        }
      }
    },
  }
}

/** @throws Failure with the reason; run again, it goes on from there */
export async function activate(context: ActivationContext, slot: SlotName, release: string, healthTimeoutMs = 1_800_000): Promise<void> {
  const { proxmox, places, signal } = context
  const wanted: ActivationWanted = { group: places.group, slot, release, healthTimeoutMs }
  const activation = activationOf(context, slot)
  await settleGroup(proxmox, places, signal)
  await reconcileGroup<ActivationSeen, ActivationStep>(context, `activate slot ${slot} of group ${places.group}`, {
    see: (group) => activation.see(group),
    decide: (seen) => decideActivation(wanted, seen),
    take: (next, { group }, note) => activation.take(next, group, note),
  })
}

/** Many times what a boot takes, without hardware help too; the engine has waited before. */
const resetAfterMs = 300_000

const waiting =
  (note: (text: string) => void) =>
  (elapsedMs: number): void =>
    note(`wait for the guest: ${Math.round(elapsedMs / 1000)} s`)

async function answersWithin(guest: Guest, timeoutMs: number, note: (text: string) => void): Promise<boolean> {
  try {
    await guest.wait(waiting(note), timeoutMs)
    return true
  } catch (error) {
    if (error instanceof Failure && error.code === 'agent-timeout') return false
    throw error
  }
}

/** Time for a guest to read its seed once its agent answers. */
const seedTimeoutMs = 600_000

async function waitForStatus(
  guest: Guest,
  note: (text: string) => void,
  signal: AbortSignal | undefined,
  patienceMs: number | undefined,
): Promise<GuestStatus> {
  await guest.wait(waiting(note), patienceMs)
  const until = performance.now() + seedTimeoutMs
  for (;;) {
    const asked = performance.now()
    const status = await guest.status()
    if (status !== undefined) return status
    if (performance.now() > until)
      throw new Failure(
        'slot-silent',
        "the guest's agent answers, but slotctl does not",
        "Look at the VM's console in Proxmox, then run the same command again.",
      )
    note('the guest is still booting')
    await untilNextLook(performance.now() - asked, signal)
  }
}
