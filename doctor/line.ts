/** What a look at one thing has come to, and the line that tells of it. */
import { Failure } from '../core/failure.ts'
import type { FailureCode } from '../core/failures.ts'
import { systemFailure } from '../core/system-failure.ts'

/**
 * `warn`: the verbs go on, or it is what has not been done yet; `bad`: some verb would refuse, or what runs is not well;
 * `unknown`: it was not looked at, or nobody here can tell.
 */
export type State = 'fine' | 'warn' | 'bad' | 'unknown'

export interface Outcome {
  readonly state: State
  /** What was found, or the cause. */
  readonly note: string
  /** The command or setting that mends it, or how to find out. */
  readonly mend?: string | undefined
  readonly code?: FailureCode | undefined
  /** Which of several, such as a group. */
  readonly of?: string | undefined
}

export const sections = ['this computer', 'site', 'Proxmox', 'what runs', 'outside'] as const
export type Section = (typeof sections)[number]

export interface Line extends Outcome {
  readonly section: Section
  readonly id: string
  /** Which lines have to be mended first: it was not looked at because of them. */
  readonly waits?: readonly string[] | undefined
}

export const fine = (note: string, of?: string): Outcome => ({ state: 'fine', note, of })
export const warn = (note: string, mend: string, of?: string): Outcome => ({ state: 'warn', note, mend, of })
export const bad = (note: string, mend: string, of?: string): Outcome => ({ state: 'bad', note, mend, of })
export const unknown = (note: string, mend?: string, of?: string): Outcome => ({ state: 'unknown', note, mend, of })

/** Whatever was thrown, as a line; what nobody expects, too. */
export function ofError(error: unknown, of?: string): Outcome {
  const { message, hint, code } = failureIn(error)
  return { state: 'bad', note: message, mend: hint, code, of }
}

/** The same, where the verbs go on all the same. */
export const warnOf = (error: unknown, of?: string): Outcome => ({ ...ofError(error, of), state: 'warn' })

export const failureIn = (error: unknown): Failure =>
  error instanceof Failure
    ? error
    : (systemFailure(error) ??
      new Failure(
        'bug',
        error instanceof Error ? error.message : String(error),
        'This is a mistake in serena-golden: please report it with this line.',
      ))
