/** Carries out looks: those that do not wait for others side by side, and none for longer than its time. */
import type { Check } from './check.ts'
import type { Facts } from './facts.ts'
import { ofError, unknown, type Line, type Outcome } from './line.ts'

export interface Pace {
  /** All looks at the API together, in milliseconds. */
  readonly apiMs: number
  /** Looks at once. */
  readonly atOnce: number
}

/** Three seconds, with what it takes to begin and to tell. */
export const usualPace: Pace = { apiMs: 2600, atOnce: 16 }

/**
 * @returns a line for each, or for each of what there are several of, in the order of the checks. Whatever goes wrong is in
 * the lines
 * @throws the facts' signal's reason, once it is aborted
 */
export async function examine(checks: readonly Check[], facts: Facts, { apiMs, atOnce }: Pace = usualPace): Promise<Line[]> {
  /** When the first of those at the API begins: whatever comes before takes its own time. */
  let until: number | undefined
  const turn = turns(atOnce)
  const results = new Map<string, Promise<Line[]>>()
  /** The first that were not fine: what waits for one that waits, waits for the same. A check that is not among these has nothing against it. */
  const waitsOf = async ({ needs = [] }: Check): Promise<string[]> => {
    const lines = (await Promise.all(needs.map((id) => results.get(id) ?? []))).flat()
    const wrong = lines.filter(({ state }) => state === 'bad' || state === 'unknown')
    return [...new Set(wrong.flatMap(({ id, waits }) => waits ?? [id]))]
  }
  const look = async (check: Check): Promise<Line[]> => {
    const waits = await waitsOf(check)
    const line = (outcome: Outcome): Line => ({ section: check.section, id: check.id, ...outcome })
    if (waits.length > 0) return [{ ...line(unknown(`not looked at: needs ${waits.join(', ')}`)), waits }]
    const outcomes = await turn(() => {
      facts.signal.throwIfAborted()
      if (check.limit !== 'api') return inTime(check.run(facts), check.limit, facts.signal)
      until ??= performance.now() + apiMs
      return inTime(check.run(facts), until - performance.now(), facts.signal)
    })
    return [outcomes].flat().map(line)
  }
  for (const check of checks)
    results.set(
      check.id,
      later(() => look(check)),
    )
  return (await Promise.all(results.values())).flat()
}

/** Once all are known: whom a check waits for may stand behind it. */
const later = async <T>(work: () => Promise<T>): Promise<T> => {
  await Promise.resolve()
  return work()
}

/** @throws the signal's reason */
async function inTime(work: Promise<Outcome | readonly Outcome[]>, ms: number, signal: AbortSignal): Promise<Outcome | readonly Outcome[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
  const stop = (): void => reject(signal.reason)
  const tooLong = (): void =>
    resolve(
      unknown(`no answer within ${(Math.max(ms, 0) / 1000).toFixed(1)} s`, 'Run the same command again; the verbs themselves wait longer.'),
    )
  const timer = Number.isFinite(ms) ? setTimeout(tooLong, Math.max(ms, 0)) : undefined
  signal.addEventListener('abort', stop)
  if (signal.aborted) stop()
  try {
    return await Promise.race([work.catch((error: unknown) => (signal.aborted ? Promise.reject(signal.reason) : ofError(error))), promise])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

/** So many at once, the others in their order. */
function turns(atOnce: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = atOnce
  const waiting: (() => void)[] = []
  return async (work) => {
    if (free === 0) await new Promise<void>((go) => waiting.push(go))
    else free -= 1
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free += 1
      else next()
    }
  }
}
