/** What it takes to try a clone out, and the course that its checks take. */
import type { Site } from '../settings/site.ts'
import type { Clone } from './clones.ts'
import type { Place } from './inside.ts'
import type { Here } from './outside.ts'
import { checks, checksOf, type CheckName } from './plan.ts'
import type { Report } from './report.ts'
import type { TrialSecrets } from './secrets.ts'

/** How long what is waited for may take. */
export interface Patience {
  /** For an agent that answers, and for a slot that serves. */
  readonly bootMs: number
  readonly healthMs: number
  /** For a line to be found in Loki. */
  readonly logsMs: number
  /** What Proxmox gives a guest to reboot and to shut down. */
  readonly rebootSeconds: number
  readonly shutdownSeconds: number
  /** Between two looks. */
  readonly pauseMs: number
}

/** A clone with what it takes to try it out. */
export interface Trying extends Place {
  /** The user's, and that of the clones. */
  readonly site: Site
  readonly trial: Site
  readonly clone: Clone
  readonly secrets: TrialSecrets
  readonly patience: Patience
  readonly report: Report
  readonly here: Here
  /** It is of a version that can't be verified. */
  refuse(): never
}

/** Runs checks in turn; once one has failed that the rest needs, the rest is noted as not tried. */
export class Course {
  readonly #trying: Trying
  readonly #mine: ReadonlySet<CheckName>
  #stopped: CheckName | undefined

  constructor(trying: Trying) {
    this.#trying = trying
    const { clone } = trying
    this.#mine = new Set(checksOf(clone.roles, clone.release.seed.loki !== undefined))
  }

  /** Nothing more can be shown. */
  get isOver(): boolean {
    return this.#stopped !== undefined
  }

  /** Whether it is to be made. Of one that is not, because the course is over, that is noted. */
  has(name: CheckName): boolean {
    if (!this.#mine.has(name)) return false
    if (this.#stopped === undefined) return true
    this.skip(name, `"${checks[this.#stopped]}" does not hold`)
    return false
  }

  skip(name: CheckName, why: string): void {
    this.#trying.report.skip(this.#trying.clone.group, name, why)
  }

  async check(name: CheckName, work: (note: (text: string) => void) => Promise<void>): Promise<boolean> {
    return this.has(name) && this.#trying.report.check(this.#trying.clone.group, name, work)
  }

  /** Without which nothing else can be shown. */
  async must(name: CheckName, work: (note: (text: string) => void) => Promise<void>): Promise<void> {
    if (this.has(name) && !(await this.#trying.report.check(this.#trying.clone.group, name, work))) this.#stopped = name
  }
}

export interface Trial {
  readonly trying: Trying
  readonly course: Course
}

export const begin = (trying: Trying): Trial => ({ trying, course: new Course(trying) })
