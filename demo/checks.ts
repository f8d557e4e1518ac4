/** What the demo has shown: every check by name, with how long it took and why it failed. */
import { Failure } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'

export interface CheckResult {
  readonly name: string
  readonly ok: boolean
  readonly seconds: number
  readonly detail?: string
  /** The last lines of what a check ran that failed. */
  readonly output?: readonly string[]
  /** Why it was not carried out. */
  readonly skipped?: string
  /** What it has measured, a line each. */
  readonly found?: readonly string[]
  /** The same for programs: milliseconds by what they are of. */
  readonly figures?: Readonly<Record<string, number>>
}

export interface Checks {
  readonly results: readonly CheckResult[]
  /** Carries a check out; a failure is noted and the demo goes on. @returns whether it held */
  check(name: string, work: (note: (text: string) => void) => Promise<void>): Promise<boolean>
  /** The same, for what everything after it needs: a failure ends the demo. */
  must(name: string, work: (note: (text: string) => void) => Promise<void>): Promise<void>
  /** Notes what is not carried out, and why. */
  skip(name: string, why: string): void
  /** A line of what the check that is going on has run. */
  heard(line: string): void
  /** What the check that is going on has measured: stands under it in the report, whether it holds or not. */
  found(line: string): void
  /** Milliseconds that the check that is going on has measured, for programs. */
  figure(name: string, ms: number): void
}

/** So many lines tell mostly why something failed. */
const lastLines = 12

/** @param look shows what a check has found when it fails: the state in which it failed may be gone soon */
export function newChecks(progress: Progress, signal: AbortSignal, look: () => Promise<void>): Checks {
  const results: CheckResult[] = []
  let lines: string[] = []
  let measured: string[] = []
  let figures: Record<string, number> = {}
  const whatWasMeasured = (): Pick<CheckResult, 'found' | 'figures'> => ({
    ...(measured.length === 0 ? {} : { found: measured }),
    ...(Object.keys(figures).length === 0 ? {} : { figures }),
  })
  const run = async (name: string, work: (note: (text: string) => void) => Promise<void>): Promise<unknown> => {
    signal.throwIfAborted()
    const began = performance.now()
    lines = []
    measured = []
    figures = {}
    const seconds = (): number => Math.round((performance.now() - began) / 100) / 10
    try {
      await progress.step(name, work)
      results.push({ name, ok: true, seconds: seconds(), ...whatWasMeasured() })
      return undefined
    } catch (error) {
      signal.throwIfAborted()
      const detail = error instanceof Failure ? `${error.message}\n→ ${error.hint}` : error instanceof Error ? error.message : String(error)
      const output = lines
      results.push({ name, ok: false, seconds: seconds(), detail, ...(output.length === 0 ? {} : { output }), ...whatWasMeasured() })
      await look()
      for (const line of output) progress.info(`  │ ${line}`)
      progress.warn(`${name}: ${detail}`)
      return error
    }
  }
  return {
    results,
    skip(name, why) {
      results.push({ name, ok: true, seconds: 0, skipped: why })
      progress.warn(`${name}: not run: ${why}`)
    },
    heard(line) {
      if (line.trim() !== '') lines = [...lines, line].slice(-lastLines)
    },
    found(line) {
      measured.push(line)
      progress.info(line)
    },
    figure(name, ms) {
      figures[name] = Math.round(ms)
    },
    check: async (name, work) => (await run(name, work)) === undefined,
    async must(name, work) {
      const error = await run(name, work)
      if (error !== undefined) throw error
    },
  }
}

export function expectEqual(what: string, found: unknown, wanted: unknown): void {
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new Error(`${what}: expected ${JSON.stringify(wanted)}, found ${JSON.stringify(found)}`)
}

export function expectThat(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(otherwise)
}

/** Asks again until it holds; the last complaint is the failure. For states that no event announces from outside of the VMs. */
export async function eventually(
  work: () => Promise<void>,
  options: { timeoutMs: number; everyMs?: number; signal: AbortSignal },
): Promise<void> {
  const until = performance.now() + options.timeoutMs
  for (;;) {
    options.signal.throwIfAborted()
    try {
      await work()
      return
    } catch (error) {
      if (performance.now() > until) throw error
    }
    await new Promise((done) => setTimeout(done, options.everyMs ?? 1000))
  }
}
