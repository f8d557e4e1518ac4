/**
 * What passes by itself is waited for: connections that break, and an API that is away, as at each update of Proxmox,
 * which restarts its services. Everything that asks Proxmox goes through here, so that no loop has to think of it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { NoAnswer, type Answer } from './transport.ts'

export interface PatienceOptions {
  readonly url: string
  /** Gets a sentence when the API is away, and one when it is back. */
  readonly say?: ((text: string) => void) | undefined
  /** Once aborted nobody wants to wait for long any more. */
  readonly signal?: AbortSignal | undefined
  /** It is known that this API answers, so that it is waited for from the first request on. */
  readonly known?: boolean | undefined
  /** For an API that has answered before. */
  readonly waitMs: number
}

/** Of an API that never answered it is more likely that its address is wrong. */
const firstContactMs = 2000
const firstPauseMs = 250
const longestPauseMs = 2000
/** A wait that is shorter is not worth a word. */
const wordAfterMs = 1000

/** What connections say that may be better a moment later, as opposed to certificates and unknown names. */
const passingCodes: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ECONNREFUSED',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENETDOWN',
  'EAI_AGAIN',
])

/**
 * 502 to 504 come from a reverse proxy in front of Proxmox. The others are pveproxy's own for its way to pvedaemon or
 * another node (AnyEvent::HTTP, "DESCRIPTION": 595 no connection, 596 broken or timed out between the request and the
 * answer's head, 597 in the answer's body, 599 others, in PVE a kept connection that was closed).
 */
const passingStatuses: ReadonlySet<number> = new Set([502, 503, 504, 595, 596, 597, 599])

/** With this one pveproxy says that it could not hand the request on to anybody. */
const undelivered = 595

export const isPassingStatus = (status: number): boolean => passingStatuses.has(status)
const isPassing = ({ cause }: NoAnswer): boolean => passingCodes.has(cause.code ?? '')

/** Whether what was asked for may have been done, though there is no answer that says so. */
export const mayBeDone = (outcome: NoAnswer | number): boolean =>
  typeof outcome === 'number' ? isPassingStatus(outcome) && outcome !== undelivered : !outcome.unsent

export class Patience {
  readonly #options: PatienceOptions
  #known: boolean
  #away: { readonly since: number; told: boolean } | undefined
  #awayBefore = 0

  constructor(options: PatienceOptions) {
    this.#options = options
    this.#known = options.known ?? false
  }

  /** Milliseconds in which the API could be asked: what waits for something there counts these only. */
  clock(): number {
    const now = performance.now()
    return now - this.#awayBefore - (this.#away === undefined ? 0 : now - this.#away.since)
  }

  /**
   * Sends a request until it is answered. One that may have been read is sent again only if twice is as once.
   * @param repeatable twice is as once
   * @param signal ends the wait, not a request that is on its way
   */
  async send(attempt: () => Promise<Answer>, repeatable: boolean, signal?: AbortSignal): Promise<Answer> {
    // A stop of everything ends this wait; of one that begins later, for what is cleaned up then, it only makes less.
    const all = this.#options.signal?.aborted === true ? undefined : this.#options.signal
    const stop = AbortSignal.any([signal, all].filter((one) => one !== undefined))
    let began: number | undefined
    for (let pause = firstPauseMs; ; pause = Math.min(pause * 2, longestPauseMs)) {
      const outcome = await attempt().catch((error: unknown) => {
        if (error instanceof NoAnswer) return error
        throw error
      })
      const noAnswer = outcome instanceof NoAnswer
      if (!noAnswer || !outcome.unsent) this.#known = true
      const passing = noAnswer ? isPassing(outcome) : isPassingStatus(outcome.status)
      if (!noAnswer && !passing) this.#back()
      if (!passing || !(repeatable || !mayBeDone(noAnswer ? outcome : outcome.status))) return finish(outcome)
      // The server had closed a connection that we had kept: that says nothing of how it is now.
      if (noAnswer && outcome.reused && outcome.cause.code !== 'ETIMEDOUT') continue
      const now = performance.now()
      began ??= now
      this.#away ??= { since: now, told: false }
      if (now - began + pause > this.#bound()) return finish(outcome)
      if (now - this.#away.since + pause >= wordAfterMs && !this.#away.told) {
        this.#away.told = true
        this.#options.say?.(
          `Proxmox does not answer at ${this.#options.url} (${noAnswer ? outcome.message : `${outcome.status} ${outcome.reason}`}): waiting for it, up to ${Math.round(this.#bound() / 1000)} s`,
        )
      }
      await delay(pause, undefined, { signal: stop }).catch((error: unknown) => {
        throw all?.aborted === true ? all.reason : error
      })
    }
  }

  #bound(): number {
    return this.#known && this.#options.signal?.aborted !== true ? this.#options.waitMs : firstContactMs
  }

  #back(): void {
    if (this.#away === undefined) return
    const { since, told } = this.#away
    const took = performance.now() - since
    this.#away = undefined
    this.#awayBefore += took
    if (told) this.#options.say?.(`Proxmox answers again, after ${Math.round(took / 1000)} s`)
  }
}

function finish(outcome: NoAnswer | Answer): Answer {
  if (outcome instanceof NoAnswer) throw outcome
  return outcome
}
