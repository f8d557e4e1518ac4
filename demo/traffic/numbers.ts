/** Whether what was logged is in Loki, each line once. */
import { eventually } from '../checks.ts'
import { slotctl, type Guest } from '../survive.ts'
import type { KeptConnection } from './kept-connection.ts'

/** The log agent tries again at growing intervals, and an emulated Loki takes its time. */
const timeoutMs = 600_000
/** What Loki gives in one answer by its defaults; a line every three seconds takes four hours to be more. */
const mostLines = 5000

/** How often each number is in these lines. */
export function countNumbers(lines: readonly string[], kept: Pick<KeptConnection, 'path'>): Map<number, number> {
  const pattern = new RegExp(
    kept
      .path(0)
      .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
      .replace('/0\\.', '/(\\d+)\\.'),
    'g',
  )
  const counts = new Map<number, number>()
  for (const line of lines)
    for (const [, digits] of line.matchAll(pattern)) counts.set(Number(digits), (counts.get(Number(digits)) ?? 0) + 1)
  return counts
}

/** @returns what is wrong, if anything is. What was never answered may be there or not, but not twice. */
export function wrongNumbers(answered: readonly number[], counts: ReadonlyMap<number, number>): string | undefined {
  const shown = (numbers: readonly number[]): string =>
    `${numbers.length} (${numbers.slice(0, 10).join(', ')}${numbers.length > 10 ? ', …' : ''})`
  const missing = answered.filter((number) => !counts.has(number))
  const twice = [...counts].filter(([, count]) => count > 1).map(([number]) => number)
  const wrong = [
    ...(missing.length === 0 ? [] : [`missing: ${shown(missing)}`]),
    ...(twice.length === 0 ? [] : [`more than once: ${shown(twice)}`]),
  ]
  return wrong.length === 0 ? undefined : `of ${answered.length} numbered lines ${wrong.join('; ')}`
}

/**
 * Waits until all that was answered by now is there.
 * @param logging the slot that has Loki now
 * @param since milliseconds since 1970
 * @returns how many
 */
export async function expectNumbers(kept: KeptConnection, logging: Guest, since: number): Promise<number> {
  const answered = [...kept.answered]
  const query = `{container_name="nginx_proxy"} |= "${kept.path(0).replace('0.', '')}"`
  await eventually(
    async () => {
      const minutes = Math.ceil((Date.now() - since) / 60_000) + 5
      const answer = await slotctl(logging, 'logs', query, String(minutes), String(mostLines))
      if (!Array.isArray(answer.streams)) throw new Error(`Loki does not answer: ${JSON.stringify(answer).slice(0, 300)}`)
      const lines = (answer.streams as { entries: [string, string][] }[]).flatMap(({ entries }) => entries.map(([, line]) => line))
      const wrong = wrongNumbers(answered, countNumbers(lines, kept))
      if (wrong !== undefined) throw new Error(wrong)
    },
    { timeoutMs, everyMs: 5000, signal: logging.signal },
  )
  return answered.length
}
