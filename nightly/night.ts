/**
 * One night: what goes in is looked up, then steps are done until nothing is left, and all of it is written down. A step that
 * fails ends the night: what runs stays as it is. Killed anywhere and run again it goes on from what there is.
 */
import { Failure, type FailureFacts } from '../core/failure.ts'
import type { FailureCode } from '../core/failures.ts'
import type { Progress } from '../core/progress.ts'
import { decideNight, keyOf, type NightImage, type NightNote, type NightRules, type NightSeen, type NightStep } from './decide-night.ts'

export const stepNames = ['lock', 'bake', 'verify', 'promote', 'wait', 'rollout', 'prune', 'deliver'] as const
export type StepName = (typeof stepNames)[number]

/** Something that goes into the image and is another one by now. */
export interface News {
  /** e.g. `container`, `package`, `base`, `file` */
  readonly what: string
  readonly name: string
  /** Null: it is new. */
  readonly from: string | null
  /** Null: it is gone. */
  readonly to: string | null
}

export interface ImageName {
  readonly vmid: number
  readonly name: string
}

export interface Check {
  readonly name: string
  readonly ok: boolean
  /** What was found, for people. */
  readonly detail?: string
}

export interface RolledOut {
  readonly group: string
  /** Images. */
  readonly from: string
  readonly to: string
  readonly ms: number
}

export interface Removed {
  /** e.g. `image`, `base`, `seed` */
  readonly what: string
  readonly name: string
  /** Null: nobody knows. */
  readonly bytes: number | null
}

export interface Delivered {
  readonly to: 'commit' | 'branch' | 'pull-request'
  readonly branch: string
  readonly commit: string
  readonly pushed: boolean
  /** Of a pull request: whether it was asked for now. What is added to one that is open belongs to it. */
  readonly asked?: boolean
}

/** What is told of the host besides what was done. */
export interface Survey {
  /** What the image that was made tonight has other than the one before it; null: none was made, or nobody can tell. */
  readonly differences: {
    readonly from: string
    readonly to: string
    readonly news: readonly News[]
    readonly unknown: readonly string[]
  } | null
  readonly certificates: readonly {
    readonly group: string
    readonly name: string
    /** Null: the slot that has it does not say. */
    readonly ends: string | null
    readonly daysLeft: number | null
    /** Somebody has to see to it. */
    readonly due: boolean
  }[]
  /** The site's images, the newest first. */
  readonly images: readonly {
    readonly name: string
    readonly vmid: number
    readonly built: string
    readonly channel: string | null
    readonly verification: 'passed' | 'failed' | 'none'
    readonly revoked: boolean
    readonly bytes: number | null
    readonly usedBy: readonly string[]
  }[]
  /** Of the disks; null: Proxmox does not say. */
  readonly storage: { readonly name: string; readonly usedBytes: number; readonly totalBytes: number } | null
  readonly warnings: readonly string[]
}

/** What a night is made of. Each may be asked again after it was stopped anywhere. */
export interface NightSteps {
  /** Looks, before anything is changed, whether the night could be ended as the site wants it. @throws Failure `git-impossible` */
  ready(): Promise<void>
  /** Writes the lock. @returns what is new since it was last written */
  lock(): Promise<readonly News[]>
  look(): Promise<NightSeen>
  bake(): Promise<ImageName>
  /** Keeps with the image how it went. */
  verify(image: NightImage): Promise<{ readonly passed: boolean; readonly checks: readonly Check[] }>
  promote(image: NightImage): Promise<void>
  /** @throws Failure `rollout-failed` when what is new did not serve and was taken back */
  rollout(image: ImageName, groups: readonly string[]): Promise<readonly RolledOut[]>
  /** Marks an image as one that is not to be tried again. */
  refuse(image: ImageName, reason: string): Promise<void>
  prune(): Promise<readonly Removed[]>
  /** Puts what has changed in the site folder where the site wants it. @returns undefined: nothing has */
  deliver(): Promise<Delivered | undefined>
  /** @param made the image that this night has made or verified */
  survey(made: ImageName | undefined): Promise<Survey>
}

/** Everything that can be told of a night; its JSON is the report for machines. */
export interface NightRecord {
  readonly schema: 1
  readonly site: string
  /** USER@COMPUTER. */
  readonly by: string
  readonly began: string
  readonly ended: string
  /** `stopped`: by somebody. */
  readonly outcome: 'nothing' | 'new' | 'failed' | 'stopped'
  /** In their order; the time that a computer sleeps does not count. */
  readonly steps: readonly { readonly step: StepName; readonly ms: number; readonly ok: boolean }[]
  readonly news: readonly News[]
  readonly baked: ImageName | null
  readonly verified: { readonly image: ImageName; readonly passed: boolean; readonly checks: readonly Check[] } | null
  readonly promoted: readonly ImageName[]
  readonly rolledOut: readonly RolledOut[]
  readonly refused: { readonly image: ImageName; readonly reason: string } | null
  readonly removed: readonly Removed[]
  readonly delivered: Delivered | null
  /** What ended it early. */
  readonly failure: FailureFacts | null
  /** What is wrong though every step went well. */
  readonly complaints: readonly FailureFacts[]
  readonly notes: readonly NightNote[]
  readonly warnings: readonly string[]
  /** Null: it could not be looked up. */
  readonly survey: Survey | null
}

export interface NightClock {
  now(): Date
  /** Milliseconds that only ever grow, and stand still while the computer sleeps. */
  elapsed(): number
  /** Waits for that time of the wall clock. */
  until(time: Date, signal: AbortSignal): Promise<void>
}

export interface NightOptions {
  readonly site: string
  readonly by: string
  readonly rules: NightRules
  readonly clock: NightClock
  readonly progress: Progress
  readonly signal: AbortSignal
  /** Told before each step, so that the next run knows where one that was killed has been. */
  readonly at?: (step: StepName) => Promise<void>
}

/** More steps than any night has: whoever gets there goes in a circle. */
const mostSteps = 50

/** What failures say while the way to what goes in is not there. Whatever else they say is so in a minute, too. */
const awayCodes: ReadonlySet<FailureCode> = new Set(['archive-unreachable', 'registry-unreachable'])
/** How long they are asked again, as Proxmox is. */
const awayMs = 120_000
const pauseMs = 15_000

/** Never throws for what goes wrong in a step: that is in the record. */
export async function runNight(steps: NightSteps, options: NightOptions): Promise<NightRecord> {
  const night = new Night(steps, options)
  await night.run()
  return night.record()
}

class Night {
  readonly #steps: NightSteps
  readonly #options: NightOptions
  readonly #began: Date
  readonly #timed: { step: StepName; ms: number; ok: boolean }[] = []
  readonly #promoted: ImageName[] = []
  readonly #rolledOut: RolledOut[] = []
  readonly #warnings: string[] = []
  #news: readonly News[] = []
  #baked: ImageName | null = null
  #verified: NightRecord['verified'] = null
  #refused: NightRecord['refused'] = null
  #removed: readonly Removed[] = []
  #delivered: Delivered | null = null
  #failure: FailureFacts | null = null
  #complaints: readonly FailureFacts[] = []
  #notes: readonly NightNote[] = []
  #survey: Survey | null = null
  #stopped = false

  constructor(steps: NightSteps, options: NightOptions) {
    this.#steps = steps
    this.#options = options
    this.#began = options.clock.now()
  }

  async run(): Promise<void> {
    const isSound = await this.#untilDone()
    if (isSound && !this.#stopped) await this.#attempt(() => this.#deliver())
    if (this.#stopped) return
    try {
      this.#survey = await this.#steps.survey(this.#verified?.image ?? this.#baked ?? undefined)
    } catch (error) {
      this.#warn(`what there is could not be looked up for the report: ${messageOf(error)}`)
    }
  }

  /** @returns whether what the lock says has become an image that is verified: only that is handed on */
  async #untilDone(): Promise<boolean> {
    let isSound = false
    await this.#attempt(async () => {
      // Told at once, and not after an hour; as everything that fails, so that people hear of it.
      await this.#deliverStep(() => this.#steps.ready())
      this.#news = await this.#timedStep('lock', 'look up what goes in', (note) => this.#lock(note))
      const done = new Set<string>()
      for (let count = 0; ; count++) {
        if (count === mostSteps) throw new Error(`the night goes in a circle: ${[...done].join(', ')}`)
        this.#options.signal.throwIfAborted()
        const seen = await this.#steps.look()
        isSound = isVerified(seen)
        const step = decideNight(this.#options.rules, seen, done)
        if (step.do === 'end') {
          this.#notes = step.notes
          this.#complaints = step.complaints
          return
        }
        done.add(keyOf(step))
        await this.#carryOut(step)
      }
    })
    return isSound
  }

  /** A computer that has just woken up, and begins the night that it slept through, has no network yet. */
  async #lock(note: (text: string) => void): Promise<readonly News[]> {
    const { clock, signal } = this.#options
    const began = clock.elapsed()
    for (;;) {
      try {
        return await this.#steps.lock()
      } catch (error) {
        const passes = error instanceof Failure && awayCodes.has(error.code) && !signal.aborted
        if (!passes || clock.elapsed() - began >= awayMs) throw error
        note(`${error.message.split('\n')[0] ?? ''}; asked again every ${pauseMs / 1000} s, for two minutes`)
        await clock.until(new Date(clock.now().getTime() + pauseMs), signal)
      }
    }
  }

  async #carryOut(step: Exclude<NightStep, { do: 'end' }>): Promise<void> {
    const { clock, signal } = this.#options
    switch (step.do) {
      case 'bake':
        this.#baked = await this.#timedStep('bake', 'bake', () => this.#steps.bake())
        return
      case 'verify': {
        const image = nameOf(step.image)
        this.#verified = { image, ...(await this.#timedStep('verify', `verify ${image.name}`, () => this.#steps.verify(step.image))) }
        return
      }
      case 'promote':
        await this.#timedStep('promote', `promote ${step.image.name}`, () => this.#steps.promote(step.image))
        this.#promoted.push(nameOf(step.image))
        return
      case 'wait':
        await this.#timedStep('wait', `wait for the window of rollouts, which opens at ${step.opens.toISOString()}`, () =>
          // By this computer's clock, which need not be that of Proxmox.
          clock.until(new Date(clock.now().getTime() + step.ms), signal),
        )
        return
      case 'rollout':
        await this.#rollout(step)
        return
      case 'prune':
        this.#removed = await this.#timedStep('prune', 'remove what nobody needs', () => this.#steps.prune())
    }
  }

  async #rollout({ image, groups, finishes }: NightStep & { do: 'rollout' }): Promise<void> {
    const title = `${finishes ? 'finish the rollout of' : 'roll out'} ${image.name}`
    try {
      this.#rolledOut.push(...(await this.#timedStep('rollout', title, () => this.#steps.rollout(nameOf(image), groups))))
    } catch (error) {
      // Whatever else went wrong says nothing about the image.
      if (error instanceof Failure && error.code === 'rollout-failed') {
        const reason = error.message.split('\n')[0] ?? ''
        await this.#steps.refuse(nameOf(image), reason).then(
          () => {
            this.#refused = { image: nameOf(image), reason }
          },
          (cause: unknown) =>
            this.#warn(`image ${image.name} could not be marked as one that is not to be tried again: ${messageOf(cause)}`),
        )
      }
      throw error
    }
  }

  async #deliver(): Promise<void> {
    await this.#deliverStep(async () => {
      this.#delivered = (await this.#steps.deliver()) ?? null
    })
  }

  /** A night without anything to hand on has no such step, unless it fails. */
  async #deliverStep(work: () => Promise<void>): Promise<void> {
    const { at, clock } = this.#options
    await at?.('deliver')
    const began = clock.elapsed()
    let ok = false
    try {
      await work()
      ok = true
    } finally {
      if (this.#delivered !== null || !ok) this.#timed.push({ step: 'deliver', ms: Math.round(clock.elapsed() - began), ok })
    }
  }

  async #timedStep<T>(step: StepName, title: string, work: (note: (text: string) => void) => Promise<T>): Promise<T> {
    const { at, clock, progress } = this.#options
    await at?.(step)
    const began = clock.elapsed()
    let ok = false
    try {
      const value = await progress.step(title, work)
      ok = true
      return value
    } finally {
      const ms = Math.round(clock.elapsed() - began)
      const last = this.#timed.at(-1)
      // A wait has many looks.
      if (step === 'wait' && last?.step === 'wait') this.#timed.splice(-1, 1, { step, ms: last.ms + ms, ok })
      else this.#timed.push({ step, ms, ok })
    }
  }

  /** The first thing that went wrong is what the night failed for. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      const { signal } = this.#options
      if (signal.aborted) this.#stopped = true
      const facts = factsOf(signal.aborted && !(error instanceof Failure) ? signal.reason : error)
      if (this.#failure === null) this.#failure = facts
      else this.#warn(`${facts.message} ${facts.hint}`)
    }
  }

  #warn(text: string): void {
    this.#warnings.push(text)
    this.#options.progress.warn(text)
  }

  record(): NightRecord {
    const isNew = this.#baked !== null || this.#verified !== null || this.#promoted.length > 0 || this.#rolledOut.length > 0
    const hasFailed = this.#failure !== null || this.#complaints.length > 0
    return {
      schema: 1,
      site: this.#options.site,
      by: this.#options.by,
      began: this.#began.toISOString(),
      ended: this.#options.clock.now().toISOString(),
      outcome: this.#stopped ? 'stopped' : hasFailed ? 'failed' : isNew ? 'new' : 'nothing',
      steps: this.#timed,
      news: this.#news,
      baked: this.#baked,
      verified: this.#verified,
      promoted: this.#promoted,
      rolledOut: this.#rolledOut,
      refused: this.#refused,
      removed: this.#removed,
      delivered: this.#delivered,
      failure: this.#failure,
      complaints: this.#complaints,
      notes: this.#notes,
      warnings: this.#warnings,
      survey: this.#survey,
    }
  }
}

const nameOf = ({ vmid, name }: ImageName): ImageName => ({ vmid, name })

const isVerified = ({ inputs, images }: NightSeen): boolean =>
  inputs.bake === 'unchanged' &&
  images.some(({ fingerprint, usable, verified }) => usable && fingerprint === inputs.fingerprint && verified?.passed === true)

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

function factsOf(error: unknown): FailureFacts {
  if (error instanceof Failure) return error.toJSON()
  return {
    code: 'bug',
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    hint: 'This is a mistake in serena-golden: please report it with these lines.',
  }
}

/** What the verb ends with. */
export const exitCodes = { nothing: 0, new: 10, failed: 1, stopped: 130 } as const satisfies Readonly<
  Record<NightRecord['outcome'], number>
>
