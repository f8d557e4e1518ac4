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

/** Notes whether `name` answered at `now`, and says what to do. Each restart in a row doubles the time for the next. */
export function decide(patience: Patience, name: string, answered: boolean, now: number): 'wait' | 'restart' {
  const entry = patience.get(name)
  if (!entry || answered) {
    patience.set(name, { since: now, everAnswered: answered, restarts: 0 })
    return 'wait'
  }
  const limit = entry.everAnswered ? silentMs : Math.min(startMs * 2 ** entry.restarts, longestMs)
  if (now - entry.since < limit) return 'wait'
  patience.set(name, { since: now, everAnswered: false, restarts: entry.restarts + 1 })
  return 'restart'
}

/** Its container is not there: nothing to be patient about. */
export function forget(patience: Patience, name: string): void {
  patience.delete(name)
}
