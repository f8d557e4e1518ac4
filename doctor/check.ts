/** What can be looked at, one thing at a time. */
import type { Facts } from './facts.ts'
import type { Outcome, Section } from './line.ts'

export interface Check {
  /** Stable, for scripts. */
  readonly id: string
  readonly section: Section
  /** For docs/doctor.md. */
  readonly looks: string
  readonly mends: string
  /** What has to be fine first, or at least not bad: without, there is nothing to be seen. */
  readonly needs?: readonly string[]
  /**
   * `api`: with all others of its kind in three seconds, which they end together. A number: so many milliseconds, for what
   * waits for something else than the API.
   */
  readonly limit: 'api' | number
  /** @returns several outcomes for what there are several of. What it throws becomes a line, too */
  run(facts: Facts): Promise<Outcome | readonly Outcome[]>
}
