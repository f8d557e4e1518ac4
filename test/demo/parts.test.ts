/** Which parts of the demo's rollouts are carried out, and what is said of the others. */
import { expect, it } from 'vitest'
import { newChecks, type CheckResult } from '../../demo/checks.ts'
import { expected, inTurn, type Part } from '../../demo/parts.ts'
import { report } from '../../demo/report.ts'
import { partsText } from '../../demo/move.ts'
import { silent } from '../../core/progress.ts'

const minute = 60_000

/** @param fails the part that does not hold */
async function turn(minutes: readonly number[], leftMinutes: number, keepMinutes: number, fails?: number): Promise<readonly CheckResult[]> {
  const checks = newChecks(silent, new AbortController().signal, async () => {})
  let left = leftMinutes
  const parts = minutes.map(
    (one, index): Part => ({
      name: `part ${index + 1}`,
      expectedMs: one * minute,
      run: async () => {
        left -= one
        return checks.check(`check ${index + 1}`, async () => {
          checks.found(`took ${one}`)
          if (index === fails) throw new Error('it broke')
        })
      },
    }),
  )
  await inTurn(checks, parts, () => left * minute, keepMinutes * minute)
  return checks.results
}

const shown = (results: readonly CheckResult[]): string[] =>
  results.map(({ name, ok, skipped }) => (skipped === undefined ? `${ok ? '✓' : '✗'} ${name}` : `– ${name}: ${skipped}`))

it('all are carried out where there is time', async () => {
  expect(shown(await turn([10, 5, 12], 60, 3))).toEqual(['✓ check 1', '✓ check 2', '✓ check 3'])
  expect(shown(await turn([10, 5, 12], Number.POSITIVE_INFINITY, 3))).toHaveLength(3)
})

it('what would not end in time is left out by name, with what comes after it, and what must follow keeps its time', async () => {
  const left = shown(await turn([10, 5, 1], 17, 3))
  expect(left[0]).toBe('✓ check 1')
  expect(left[1]).toMatch(/^– part 2: it takes about 5.*would not end within the time that --minutes gives$/)
  expect(left[2]).toBe(left[1]?.replace('part 2', 'part 3'))
  expect(shown(await turn([10], 12, 3))).toHaveLength(1)
})

it('after one that failed the others are left out by name', async () => {
  expect(shown(await turn([1, 1, 1], 60, 3, 1))).toEqual(['✓ check 1', '✗ check 2', '– part 3: "part 2" did not hold'])
})

it('a slower machine is given more time for each', () => {
  for (const time of Object.values(expected)) {
    expect(time(20 * minute)).toBeGreaterThan(time(6 * minute))
    expect(time(6 * minute)).toBeGreaterThan(minute)
  }
  // All of it, on a machine with nothing else to do.
  const all = (['rollout', 'rollback', 'logging', 'destroy'] as const).reduce((sum, part) => sum + expected[part](6 * minute), 0)
  expect(all).toBeLessThan(35 * minute)
})

it('what a check has measured is in the report, whether it held or not', async () => {
  const text = report({ results: await turn([1, 2], 60, 3, 1), seconds: 1, site: undefined, kept: undefined, problem: undefined })
  for (const words of ['✓ check 1', 'took 1', '✗ check 2', 'took 2', 'it broke']) expect(text).toContain(words)
})

it('the parts of a handover are named in their order, each once', () => {
  expect(
    partsText([
      { step: 'let-go', ms: 1200 },
      { step: 'detach', ms: 300 },
      { step: 'let-go', ms: 800 },
    ]),
  ).toBe('2.3 s in all: let-go 2.0 s, detach 0.3 s')
})
