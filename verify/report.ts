/** What the checks of a verification have shown. */
import { Failure } from '../core/failure.ts'
import type { FailureCode } from '../core/failures.ts'
import type { Progress } from '../core/progress.ts'
import { isAgentRefusal, isVmOff, missesAnswer } from '../proxmox/conditions.ts'
import { checks, type CheckName } from './plan.ts'

export interface CheckResult {
  /** The group whose clone it is about. */
  readonly clone: string
  readonly name: CheckName
  readonly ok: boolean
  /** What was seen instead; of what was not tried, why. */
  readonly detail?: string
  /** It says nothing of the image: it could not be made here, or what it rests on has failed. */
  readonly skipped?: true
  readonly ms: number
}

/** The image is not as it should be: nothing is wrong with this program or with Proxmox. */
export class Unfit extends Error {}

/** Failures of a guest, as opposed to those of Proxmox or of the way to it, which say nothing of the image. */
const ofGuest: readonly FailureCode[] = ['agent-timeout', 'agent-exec-timeout', 'slot-refused', 'slot-silent']

/** Whether it is the image that is wrong. */
export const isUnfit = (error: unknown): error is Error =>
  error instanceof Unfit ||
  missesAnswer(error) ||
  (error instanceof Failure && ofGuest.includes(error.code)) ||
  isVmOff(error) ||
  isAgentRefusal(error)

export interface Report {
  readonly results: readonly CheckResult[]
  /** Makes a check. What it finds wrong with the image is noted; anything else ends the verification. @returns whether it held */
  check(clone: string, name: CheckName, work: (note: (text: string) => void) => Promise<void>): Promise<boolean>
  /** Notes what was seen in another way. */
  add(result: CheckResult): void
  skip(clone: string, name: CheckName, why: string): void
}

export function newReport(progress: Progress, signal: AbortSignal): Report {
  const results: CheckResult[] = []
  const add = (result: CheckResult): void => {
    results.push(result)
    if (result.skipped) progress.info(`- ${result.clone}: ${checks[result.name]}: not tried: ${result.detail}`)
    else if (!result.ok) progress.warn(`${result.clone}: ${result.name}: ${result.detail}`)
  }
  return {
    results,
    add,
    skip: (clone, name, why) => add({ clone, name, ok: true, detail: why, skipped: true, ms: 0 }),
    async check(clone, name, work) {
      signal.throwIfAborted()
      const began = performance.now()
      const ms = (): number => Math.round(performance.now() - began)
      try {
        await progress.step(`${clone}: ${checks[name]}`, work)
        add({ clone, name, ok: true, ms: ms() })
        return true
      } catch (error) {
        signal.throwIfAborted()
        if (!isUnfit(error)) throw error
        add({ clone, name, ok: false, detail: error.message, ms: ms() })
        return false
      }
    },
  }
}

/** Whether the image is fit for use. */
export const hasPassed = (results: readonly CheckResult[]): boolean => results.length > 0 && results.every(({ ok }) => ok)

/** By name what has failed: `serena/tools`. */
export const failedChecks = (results: readonly CheckResult[]): string[] =>
  results.filter(({ ok }) => !ok).map(({ clone, name }) => `${clone}/${name}`)

/** For people: how many held, what failed, what was not tried. */
export function resultLines(results: readonly CheckResult[]): string[] {
  const tried = results.filter(({ skipped }) => skipped !== true)
  return [
    `${tried.filter(({ ok }) => ok).length} of ${tried.length} checks hold.`,
    ...tried.flatMap(({ clone, name, ok, detail }) => (ok ? [] : [`failed     ${clone}/${name}: ${detail}`])),
    ...results.flatMap(({ clone, name, skipped, detail }) => (skipped ? [`not tried  ${clone}/${name}: ${detail}`] : [])),
  ]
}
