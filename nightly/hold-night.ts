/** The night with what belongs to it: one at a time, remembered by later ones, reported, told to people. */
import type { Progress } from '../core/progress.ts'
import { claimNight } from './claim-night.ts'
import { runNight, type NightOptions, type NightRecord, type NightSteps } from './night.ts'
import { addNight, entryOf, readNights, type NightEntry } from './nights.ts'

export interface HeldNight {
  readonly record: NightRecord
  /** Those before it, the newest last. */
  readonly before: readonly NightEntry[]
}

export interface HoldOptions extends Omit<NightOptions, 'at'> {
  /** The site folder. */
  readonly folder: string
  /** Writes the report and tells whom the site names; what goes wrong with that is a warning. */
  readonly report: (night: HeldNight) => Promise<void>
}

/** @throws Failure `night-in-progress`: then nothing was done, and nobody is told */
export async function holdNight(steps: NightSteps, options: HoldOptions): Promise<HeldNight> {
  const { folder, by, clock, progress, report } = options
  const claim = await claimNight(folder, by, clock.now())
  try {
    if (claim.killed !== undefined) {
      const { began, steps: passed } = claim.killed
      progress.warn(
        `the night of ${began} was ended from outside${passed[0] === undefined ? '' : `, at ${passed[0].step}`}: this one goes on from there`,
      )
      await orWarn(progress, 'nights.jsonl could not be written', () => addNight(folder, claim.killed as NightEntry))
    }
    const before = await readNights(folder)
    const record = await runNight(steps, { ...options, at: (step) => claim.at(step) })
    const night = { record, before }
    await orWarn(progress, 'nights.jsonl could not be written', () => addNight(folder, entryOf(record)))
    await orWarn(progress, 'the report could not be made', () => report(night))
    return night
  } finally {
    await claim.release()
  }
}

async function orWarn(progress: Progress, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    progress.warn(`${what}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
