/**
 * One slot takes over from the other, or nothing has changed: what does not serve in time, or gets ill while it is
 * watched, gives the data back. What is meant stands in deployment.json first, so that whoever comes after a run that was
 * killed knows which slot to help.
 */
import { Failure, isLost } from '../core/failure.ts'
import { parkingDefaults } from '../settings/parking.ts'
import { otherSlot, type SlotName } from '../settings/site.ts'
import { readPins, updatePins, withRollout } from '../releases/pins.ts'
import type { Release, RolloutNote } from '../releases/deployment.ts'
import { complaintsOf, quoted } from './complaints.ts'
import { contextOf, type GroupWork } from './context.ts'
import { handOver, type HandoverPart } from './handover.ts'
import { soak } from './soak.ts'

export interface SwitchOptions {
  /** The old slot knows the new one as its peer, at the same service address. */
  readonly mayKeep: boolean
  /** An old slot that does not answer is shut down. */
  readonly force: boolean
  /** The services' state as it is, or as the new slot's image had left it. @default now */
  readonly state?: 'now' | 'before'
}

const minute = 60_000

/** That a slot does not do what it should; not a stop, nor an API that is not heard: then nobody knows. */
export const isVerdict = (error: unknown, signal: AbortSignal): error is Failure =>
  error instanceof Failure && !signal.aborted && !isLost(error)

/** The slot that is to own the data, and what is under way. */
export async function mean(
  { folder }: GroupWork,
  group: string,
  active: SlotName,
  rollout: Omit<RolloutNote, 'since'> | undefined,
): Promise<void> {
  await updatePins(folder, group, (pins) =>
    withRollout({ ...pins, active }, rollout === undefined ? undefined : { ...rollout, since: new Date().toISOString() }),
  )
}

/** Whoever gets the data next, the slot that it is taken back to as well, has the state that its own image has left. */
async function meantState({ folder }: GroupWork, group: string): Promise<Pick<RolloutNote, 'state'>> {
  const state = (await readPins(folder)).groups[group]?.rollout?.state
  return state === undefined ? {} : { state }
}

export interface ConvergeOptions extends Omit<SwitchOptions, 'state'> {
  /** There is no slot to go back to: it takes as long as it takes. @default false */
  readonly patient?: boolean
}

/** What calls wait for at the most, at a slot that hands over. */
function callsWait(from: Release | undefined): { readonly callsWaitMs?: number } {
  const serena = from?.seed.serena
  if (serena?.transports.includes('streamable-http') !== true) return {}
  return { callsWaitMs: (serena.parking ?? parkingDefaults).seconds * 1000 }
}

/** Hands over to the slot that deployment.json says is the active one. */
export async function converge(
  work: GroupWork,
  group: string,
  { mayKeep, force, patient = false }: ConvergeOptions,
): Promise<readonly HandoverPart[]> {
  const pins = (await readPins(work.folder)).groups[group]
  const release = pins?.active === undefined ? undefined : pins.slots[pins.active]
  if (pins?.active === undefined || release === undefined) throw new Error(`group ${group} has no pin`)
  const { healthMinutes, drainSeconds } = work.site.rollout
  return handOver(await contextOf(work, group), pins.active, {
    release: release.id,
    healthTimeoutMs: healthMinutes * minute,
    drainSeconds,
    mayKeep,
    force,
    ...(mayKeep && !patient ? callsWait(pins.slots[otherSlot(pins.active)]) : {}),
    // As it was meant, by a run that is gone, too.
    ...(pins.rollout?.state === undefined ? {} : { state: pins.rollout.state }),
  })
}

/**
 * @param to the slot that takes over; it stands by
 * @returns what was done, and how long each step took
 * @throws Failure `rollout-failed` when the data is back where it was; anything else when nobody can tell yet: run again
 */
export async function switchTo(work: GroupWork, group: string, to: SlotName, options: SwitchOptions): Promise<readonly HandoverPart[]> {
  await mean(work, group, to, { to, phase: 'hand-over', ...(options.state === 'before' ? { state: options.state } : {}) })
  try {
    const parts = await converge(work, group, options)
    await watchOver(work, group, to)
    return parts
  } catch (error) {
    // Asked to stop, or no longer heard: whoever runs this again finds what was meant, and goes on.
    if (!isVerdict(error, work.signal)) throw error
    return await takeBack(work, group, to, error)
  }
}

/** The last part of taking over. @throws Failure `rollout-failed` */
export async function watchOver(work: GroupWork, group: string, slot: SlotName): Promise<void> {
  await mean(work, group, slot, { to: slot, phase: 'watch', ...(await meantState(work, group)) })
  await soak(await contextOf(work, group), slot, work.site.rollout.soakMinutes * minute)
  await mean(work, group, slot, undefined)
}

/** What the slot says, for below a message. */
export async function linesOf(work: GroupWork, group: string, slot: SlotName): Promise<string> {
  const { places } = await contextOf(work, group)
  return quoted(await complaintsOf(work.proxmox, places.node, places.slots[slot].vmid, work.signal))
}

/** @throws Failure always: what became of it */
export async function takeBack(work: GroupWork, group: string, failed: SlotName, reason: Failure): Promise<never> {
  const back = otherSlot(failed)
  work.progress.warn(`slot ${failed} of group ${group} does not serve: ${reason.message}; slot ${back} gets the data back`)
  const note = { to: failed, reason: reason.message }
  const state = await meantState(work, group)
  // Before it lets go of anything, or is shut down.
  const lines = await linesOf(work, group, failed)
  await mean(work, group, back, { ...note, ...state, phase: 'take-back' })
  try {
    await converge(work, group, { mayKeep: true, force: true, patient: true })
    await mean(work, group, back, { ...note, phase: 'failed' })
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw new Failure(
      error.code,
      `slot ${failed} of group ${group} does not serve (${reason.message}), and slot ${back} has not got the data back yet: ${error.message}`,
      `${error.hint}\n"npx golden rollback ${group}" goes on with bringing slot ${back} back.`,
      { cause: reason },
    )
  }
  throw new Failure(
    'rollout-failed',
    `slot ${failed} of group ${group} does not serve: ${reason.message}. Slot ${back} serves again, with the data${lines}`,
    `The VM of slot ${failed} is left for a look. ${reason.hint}`,
    { cause: reason },
  )
}
