/** Before a slot's services stop for a handover: what is running comes to its end, what comes is kept waiting. */
import type { Seed } from '../contract/seed.ts'
import { handoverState, setHandoverState, type Handover } from './keeper-control.ts'
import type { Machine } from './machine.ts'
import { holdSsh } from './ssh-hold.ts'
import { transfers } from './transfers.ts'

export interface LetEnd {
  /** Whether nothing was cut off. */
  readonly drained: boolean
  /** Calls and pushes of logs that were still running. */
  readonly requests: number
  /** People's sessions over SSH that were still in a transfer. */
  readonly transfers: number
  /** How long new calls have been waiting by now, in milliseconds. */
  readonly parkedMs: number
}

/** Calls that are younger than this end by themselves while new ones wait. */
const shortMs = 400
/** For those, and at the very end for all that have been waited for already. */
const graceMs = 5000
const lookMs = 100
/** Until the other slot has the service address, or this one has the data back; what takes longer is no handover. */
const afterwardsSeconds = 300

/**
 * First waits, clients noticing nothing, for a moment in which no long call runs and nobody transfers files over SSH; then
 * parks what comes, and waits for the rest. New SSH connections are held from that moment on, or from half of the time:
 * whoever comes again and again keeps the slot no longer than that.
 * @param seconds for all of it; what runs then is cut off
 */
export async function letEnd(machine: Machine, seed: Seed, seconds: number): Promise<LetEnd> {
  const began = machine.uptime()
  const until = began + seconds * 1000
  const look = seed.roles.includes('serena') ? transfers(machine) : async () => 0
  let holds = !seed.roles.includes('serena')
  let left: number
  for (;;) {
    const { busy, oldestMs } = await lookAt(machine)
    left = await look()
    const isCalm = (busy === 0 || oldestMs < shortMs) && left === 0
    const now = machine.uptime()
    if (!holds && (isCalm || now >= began + seconds * 500)) {
      await holdSsh(machine, seed, seconds + afterwardsSeconds)
      holds = true
      // Somebody may have come in between.
      continue
    }
    if (isCalm || now >= until) break
    await machine.pause(lookMs)
  }
  await setHandoverState(machine, 'park').catch(ifThere(undefined))
  const parked = machine.uptime()
  for (;;) {
    const { busy } = await lookAt(machine)
    const parkedMs = Math.round(machine.uptime() - parked)
    if (busy === 0 || machine.uptime() >= Math.max(until, parked + graceMs))
      return { drained: busy === 0 && left === 0, requests: busy, transfers: left, parkedMs }
    await machine.pause(lookMs)
  }
}

/** An nginx that has ended has no clients, and keeps nobody waiting. */
const lookAt = (machine: Machine): Promise<Pick<Handover, 'busy' | 'oldestMs'>> =>
  handoverState(machine).catch(ifThere({ busy: 0, oldestMs: 0 }))

const ifThere =
  <T>(instead: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code !== 'ECONNREFUSED') throw error
    return instead
  }
