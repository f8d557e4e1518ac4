/** One night at a time in a site folder, and a note of where one that was killed has been. */
import { join } from 'node:path'
import { z } from 'zod'
import { claimFile } from '../core/claim.ts'
import { stepNames, type StepName } from './night.ts'
import type { NightEntry } from './nights.ts'

const noteSchema = z.object({ by: z.string(), began: z.iso.datetime(), step: z.enum(stepNames).nullable() })
type Note = z.infer<typeof noteSchema>

export interface NightClaim {
  /** The night before, if it has not come to its end. */
  readonly killed: NightEntry | undefined
  /** Written down for the next run, should this one be killed. */
  at(step: StepName): Promise<void>
  release(): Promise<void>
}

/** @throws Failure `night-in-progress` */
export async function claimNight(folder: string, by: string, began: Date): Promise<NightClaim> {
  let left: Note | undefined
  const own = (step: StepName | null): Note => ({ by, began: began.toISOString(), step })
  const claim = await claimFile(join(folder, 'state', 'nightly.json'), {
    note: (before) => {
      left = noteSchema.safeParse(before).data
      return own(null)
    },
    busy: { code: 'night-in-progress', message: 'a nightly run of this site is already under way' },
  })
  return {
    killed: left && {
      schema: 1,
      by: left.by,
      began: left.began,
      ended: began.toISOString(),
      outcome: 'killed',
      steps: left.step === null ? [] : [{ step: left.step, ms: 0 }],
      baked: null,
      promoted: null,
      rolledOut: null,
      code: null,
      usedBytes: null,
    },
    at: (step) => claim.note(own(step)),
    release: () => claim.release(),
  }
}
