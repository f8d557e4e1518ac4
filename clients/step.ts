/** What each step of a check has come to. */

export const stepNames = [
  'name',
  'connection',
  'certificate',
  'plain HTTP',
  'wrong password',
  'password',
  'initialize',
  'tools',
  'call',
  'sse',
] as const
export type StepName = (typeof stepNames)[number]

export interface Outcome {
  /** `warned`: clients get in, but somebody should look; `skipped`: not tried, and no fault. */
  readonly state: 'ok' | 'warned' | 'failed' | 'skipped'
  /** What was found, or why it failed. */
  readonly detail: string
  /** The setting or command that mends it. */
  readonly mend?: string
}

export interface Step extends Outcome {
  readonly name: StepName
  readonly ms: number
}

export const ok = (detail: string): Outcome => ({ state: 'ok', detail })
export const skipped = (detail: string): Outcome => ({ state: 'skipped', detail })
export const warned = (detail: string, mend: string): Outcome => ({ state: 'warned', detail, mend })
export const failed = (detail: string, mend: string): Outcome => ({ state: 'failed', detail, mend })

/** With its causes: "fetch failed" alone does not tell a reset from a certificate. */
export function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // Of several addresses that were tried, each has its own.
  if (error instanceof AggregateError) return [...new Set(error.errors.map(wordsOf))].join('; ')
  const code = (error as NodeJS.ErrnoException).code
  const own = `${error.message}${typeof code !== 'string' || error.message.includes(code) ? '' : ` (${code})`}`
  return error.cause === undefined ? own : `${own}: ${wordsOf(error.cause)}`
}
