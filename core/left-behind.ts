/** Programs that a killed run has left at work: told to end (guarded.ts), they clean up, and whoever comes next lets them. */
import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { isRunning, type ProcessIdentity } from './process-identity.ts'
import type { Progress } from './progress.ts'

export interface Patience {
  readonly progress: Progress
  readonly signal: AbortSignal
  /** For all of them, in milliseconds. @default five minutes: Packer stops and removes a VM */
  readonly longestMs?: number
}

/** They are no children of ours: nobody is told when they end. */
const lookMs = 200

/**
 * @param what they are, for who waits: `Packer`
 * @returns one that is still at work after that time; at once one of another computer, of which nobody here can know
 * @throws the signal's reason
 */
export async function untilGone(
  left: readonly ProcessIdentity[],
  what: string,
  { progress, signal, longestMs = 300_000 }: Patience,
): Promise<ProcessIdentity | undefined> {
  const until = performance.now() + longestMs
  for (const one of left) {
    if (!(await isRunning(one))) continue
    if (one.host !== hostname()) return one
    await progress.step(`wait for ${what} (process ${one.pid}) of a run that was killed: it is cleaning up`, async () => {
      while (performance.now() < until && (await isRunning(one))) await delay(lookMs, undefined, { signal })
    })
    if (await isRunning(one)) return one
  }
  return undefined
}

/** Of a note that was read back: what is not whole is no process. */
export function identitiesOf(left: unknown): ProcessIdentity[] {
  const isWhole = (one: Partial<ProcessIdentity> | null): one is ProcessIdentity =>
    typeof one?.pid === 'number' && typeof one.host === 'string' && typeof one.started === 'string'
  return Array.isArray(left) ? left.filter(isWhole) : []
}
