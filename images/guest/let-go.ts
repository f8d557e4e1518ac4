/** Before a slot's services stop for a handover: what is running comes to its end, what comes is kept waiting. */
import { handoverState, readCarry, setHandoverState } from './keeper-control.ts'
import type { Machine } from './machine.ts'
import { carryFile } from './places.ts'

export interface LetEnd {
  /** Whether nothing was cut off. */
  readonly drained: boolean
  /** Calls and pushes that were still running. */
  readonly requests: number
  /** How long new calls have been waiting by now, in milliseconds. */
  readonly parkedMs: number
}

/** Calls that are younger than this end by themselves while new ones wait. */
const shortMs = 400
/** For those, and at the very end for all that have been waited for already. */
const graceMs = 5000
const lookMs = 100

/**
 * First waits, clients noticing nothing, for a moment in which no long call runs and nobody transfers files over SSH; then
 * parks what comes, and waits for the rest.
 * @param seconds for both together; what runs then is cut off
 */
export async function letEnd(machine: Machine, seconds: number): Promise<LetEnd> {
  const until = machine.uptime() + seconds * 1000
  for (;;) {
    const { busy, oldestMs } = await handoverState(machine)
    if ((busy === 0 || oldestMs < shortMs) && !(await isTransferring(machine))) break
    if (machine.uptime() >= until) break
    await machine.pause(lookMs)
  }
  await setHandoverState(machine, 'park')
  const parked = machine.uptime()
  for (;;) {
    const { busy } = await handoverState(machine)
    const parkedMs = Math.round(machine.uptime() - parked)
    if (busy === 0 || machine.uptime() >= Math.max(until, parked + graceMs)) return { drained: busy === 0, requests: busy, parkedMs }
    await machine.pause(lookMs)
  }
}

/** Whether people are at the projects: git push, SFTP, rsync. */
const isTransferring = async (machine: Machine): Promise<boolean> => (await machine.run('pgrep', ['-u', 'projects'])).status === 0

/** What the other slot has to know goes with the data. Nothing depends on it but that clients need not say it again. */
export async function leaveCarry(machine: Machine): Promise<void> {
  try {
    machine.files.write(carryFile, JSON.stringify(await readCarry(machine)), 0o600)
  } catch (error) {
    machine.complain(`what nginx knows of its sessions is not handed on: ${(error as Error).message}`)
  }
}
