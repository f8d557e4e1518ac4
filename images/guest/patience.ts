/** When a container that does not answer is restarted: pure. */

export interface Silence {
  /** When it last answered, or was restarted, or first seen; milliseconds of the caller's clock. */
  since: number
  everAnswered: boolean
  /** In a row, without an answer between them. */
  restarts: number
}

export type Patience = Map<string, Silence>

/** A start may take minutes on a busy host; who has answered once and goes silent is given less. */
export const startMs = 300_000
export const silentMs = 60_000
const longestMs = 1_800_000
/** Between two starts of a container that ends by itself; doubled each time. */
const crashMs = 10_000

export type Seen = 'answers' | 'silent' | 'ended'

/**
 * Notes what was seen of `name` at `now`, and says what to do. What has ended is started again at once; each restart
 * in a row doubles the time for the next.
 * @param slowness how many times as long as usual everything takes here, from 1: who is silent for want of a processor
 * would be even later after a restart
 */
export function decide(patience: Patience, name: string, seen: Seen, now: number, slowness = 1): 'wait' | 'restart' {
  const entry = patience.get(name) ?? { since: now, everAnswered: false, restarts: 0 }
  patience.set(name, entry)
  if (seen === 'answers') {
    patience.set(name, { since: now, everAnswered: true, restarts: 0 })
    return 'wait'
  }
  if (now - entry.since < limit(entry, seen, slowness)) return 'wait'
  patience.set(name, { since: now, everAnswered: false, restarts: entry.restarts + 1 })
  return 'restart'
}

/** @param tookMs what took `usualMs` at the most on a machine that has time for it. @returns 1 to 20 */
export const slownessOf = (tookMs: number, usualMs: number): number => Math.min(Math.max(tookMs / usualMs, 1), 20)

function limit(entry: Silence, seen: Seen, slowness: number): number {
  if (seen === 'ended') return entry.restarts === 0 ? 0 : Math.min(crashMs * 2 ** (entry.restarts - 1), longestMs)
  return Math.min((entry.everAnswered ? silentMs : startMs * 2 ** entry.restarts) * slowness, longestMs)
}

/** There is a known reason for its silence: the time for it begins when that is gone. */
export function hold(patience: Patience, name: string, now: number): void {
  patience.set(name, { since: now, everAnswered: true, restarts: patience.get(name)?.restarts ?? 0 })
}

/** Its container is not there: nothing to be patient about. */
export function forget(patience: Patience, name: string): void {
  patience.delete(name)
}
