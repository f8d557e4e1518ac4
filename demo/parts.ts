/**
 * Parts of the demo for which there may be no time. How long one takes here is told from what this machine has needed to
 * deploy both VMs, which no other part can do without; what would not end in time is left out by its name.
 */
import { duration } from '../scripts/render.ts'
import type { Checks } from './checks.ts'

export interface Part {
  readonly name: string
  readonly expectedMs: number
  /** @returns whether it held, so that what comes after it makes sense */
  run(): Promise<boolean>
}

const minute = 60_000

/**
 * In terms of deploying both VMs side by side: what of a part is work of the guests; what waits for time to pass is the
 * same everywhere. Idle, with one thread a guest, deploying them takes six to seven minutes.
 */
const takes = (deployMs: number, share: number, minutes: number): number => deployMs * share + minutes * minute

export const expected = {
  /** One VM boots beside one that is kept busy, and with another's company; Serena starts; a minute of watching. */
  rollout: (deployMs: number) => takes(deployMs, 1.3, 3),
  /** The old slot still runs. A call of 30 s is let end. */
  rollback: (deployMs: number) => takes(deployMs, 0.4, 3),
  /** The smaller VM boots, is handed the data, and hands it back. */
  logging: (deployMs: number) => takes(deployMs, 1.3, 5),
  /** What comes after them and is not left out. */
  destroy: (deployMs: number) => takes(deployMs, 0.3, 1),
} as const

/**
 * In order, each needing those before it: after one that failed or is left out the others are left out, too.
 * @param leftMs how long the demo may still take
 * @param keepMs how much of that is needed afterwards
 */
export async function inTurn(checks: Pick<Checks, 'skip'>, parts: readonly Part[], leftMs: () => number, keepMs: number): Promise<void> {
  let stopped: string | undefined
  for (const { name, expectedMs, run } of parts) {
    const left = leftMs() - keepMs
    if (stopped === undefined && left < expectedMs)
      stopped = `it takes about ${duration(expectedMs)} here, and would not end within the time that --minutes gives`
    if (stopped !== undefined) checks.skip(name, stopped)
    else if (!(await run())) stopped = `"${name}" did not hold`
  }
}
