/**
 * Asks Loki as its clients do: a line is pushed and found again. Loki that can't write answers /ready all the same. One that
 * is at its share of the disk (share.ts) takes no line and does the rest of its work: 429 is a limit, not a fault.
 */
import type { Machine } from './machine.ts'
import { BadStatus, fetchText, post } from './probe.ts'

/** A stream of its own, which no dashboard shows; Loki keeps it for a day. */
export const probeLabels = { job: 'golden-probe' } as const

/** Undefined when Loki works, else what is wrong. */
export async function lokiProblem(machine: Machine, base: string, now = machine.now()): Promise<string | undefined> {
  const line = `probe ${now}-${process.pid}`
  const stamp = `${now}000000`
  try {
    const taken = await post(
      machine,
      `${base}/loki/api/v1/push`,
      JSON.stringify({ streams: [{ stream: probeLabels, values: [[stamp, line]] }] }),
    ).then(() => true, ofLimits)
    const parameters = new URLSearchParams({
      query: `{job="${probeLabels.job}"} |= "${line}"`,
      start: stamp,
      end: String(BigInt(stamp) + 1_000_000n),
      limit: '1',
    })
    const found = await fetchText(machine, `${base}/loki/api/v1/query_range?${parameters}`, 10_000)
    return !taken || found.includes(line) ? undefined : 'a line that was pushed is not found'
  } catch (error) {
    return (error as Error).message
  }
}

function ofLimits(error: unknown): false {
  if (error instanceof BadStatus && error.status === 429) return false
  throw error
}
