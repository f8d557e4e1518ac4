/** The loop that all changes to a running group go through: look, decide on one step, take it, look again. */
import { setTimeout as delay } from 'node:timers/promises'
import { pauseAfter } from '../images/guest/pace.ts'
import { Failure, isLost, type FailureFacts } from '../core/failure.ts'
import { isOutdated } from '../proxmox/conditions.ts'

export type Refusal = FailureFacts

/** `step`: do this next. `wait`: nothing to do but to look again. */
export type Decision<Step> =
  | { readonly kind: 'step'; readonly step: Step; readonly title: string }
  | { readonly kind: 'wait'; readonly for: string; readonly timeoutMs: number }
  | { readonly kind: 'refuse'; readonly refusal: Refusal }
  | { readonly kind: 'done' }

export interface Loop<Seen, Step> {
  look(): Promise<Seen>
  decide(seen: Seen): Decision<Step>
  /**
   * @param seen what the step rests on. Whatever deletes, unprotects, formats or reassigns passes the digests in it on,
   * so that Proxmox refuses when they are others by now; then it is looked at anew.
   */
  take(step: Step, seen: Seen): Promise<void>
  /** Waits for what a step has begun on the host: asked after one whose answer was lost, because only then does a look tell. */
  settle?(): Promise<void>
  /** What is going on, for people. */
  note(text: string): void
  readonly signal?: AbortSignal
  /** Between two looks while waiting, in milliseconds. @default 2000 */
  readonly pauseMs?: number
}

/** A step that changes nothing is tried this often, then it is a failure. */
const attempts = 3
/** So often in a row somebody else may be quicker. */
const outdatedAttempts = 20
const outdatedPauseMs = 250

/** Between two looks, where nothing else is said; and at the most, where a look takes long. */
const pauseMs = 2000
const longestPauseMs = 60_000

/** Waits until it is time for the next look at a guest. @param lookMs what the last one took */
export const untilNextLook = (lookMs: number, signal: AbortSignal | undefined, leastMs = pauseMs): Promise<void> =>
  delay(pauseAfter(lookMs, leastMs, longestPauseMs), undefined, { signal })

/**
 * A step of which nobody knows whether it was done: its answer was lost, or, when it was taken again after that, it was
 * refused, as what has been done before mostly is. The next look tells; only if that step is still the next one, it failed.
 */
interface OpenStep {
  readonly text: string
  readonly error: Failure
  readonly refused: boolean
}

/**
 * @returns what was seen at last
 * @throws Failure of a refusal, `no-progress`, `wait-timeout`, `changed-meanwhile`, or whatever a step throws
 */
export async function reconcile<Seen, Step>(loop: Loop<Seen, Step>): Promise<Seen> {
  let last = ''
  let repeated = 0
  let open: OpenStep | undefined
  let outdated = 0
  let waitingSince: { what: string; at: number } | undefined
  for (;;) {
    loop.signal?.throwIfAborted()
    const began = performance.now()
    const seen = await loop.look()
    const lookMs = performance.now() - began
    const decision = loop.decide(seen)
    switch (decision.kind) {
      case 'done':
        return seen
      case 'refuse':
        throw new Failure(decision.refusal.code, decision.refusal.message, decision.refusal.hint)
      case 'wait': {
        if (waitingSince === undefined || waitingSince.what !== kindOfWait(decision.for))
          waitingSince = { what: kindOfWait(decision.for), at: performance.now() }
        if (performance.now() - waitingSince.at > decision.timeoutMs) {
          throw new Failure(
            'wait-timeout',
            `waited ${Math.round(decision.timeoutMs / 1000)} s in vain: ${decision.for}`,
            'Look at the VM in Proxmox, then run the same command again: it goes on from there.',
          )
        }
        loop.note(decision.for)
        await untilNextLook(lookMs, loop.signal, loop.pauseMs)
        break
      }
      case 'step': {
        waitingSince = undefined
        const text = JSON.stringify(decision.step)
        repeated = text === last ? repeated + 1 : 0
        last = text
        if (open?.text === text && (open.refused || repeated >= attempts)) throw open.error
        if (repeated >= attempts)
          throw new Failure(
            'no-progress',
            `"${decision.title}" had no effect`,
            'Look at the task log in Proxmox, then run the same command again.',
          )
        loop.note(decision.title)
        try {
          await loop.take(decision.step, seen)
          open = undefined
          outdated = 0
        } catch (error) {
          if (isOutdated(error) && !isLost(error)) {
            last = ''
            outdated += 1
            if (outdated >= outdatedAttempts)
              throw new Failure(
                'changed-meanwhile',
                `"${decision.title}" was not done: each time somebody else had changed the VMs meanwhile (${(error as Failure).message})`,
                "See in Proxmox's task log who is at them. When that has ended, run the same command again: it goes on from there.",
                { cause: error },
              )
            loop.note(`${decision.title}: somebody else has changed something meanwhile; looking again`)
            await delay(Math.min(loop.pauseMs ?? outdatedPauseMs, outdatedPauseMs), undefined, { signal: loop.signal })
            break
          }
          const again = open?.text === text
          if (!(error instanceof Failure) || !(isLost(error) || again)) throw error
          open = { text, error, refused: !isLost(error) }
          loop.note(`${decision.title}: looking what became of it: ${error.message}`)
          await delay(loop.pauseMs ?? 2000, undefined, { signal: loop.signal })
          await loop.settle?.()
        }
      }
    }
  }
}

/** The details after a colon change while it is the same wait. */
const kindOfWait = (text: string): string => text.split(':')[0] ?? text
