import { expect, it } from 'vitest'
import { placed } from '../../bench/results.ts'
import { resultsText } from '../../bench/rollout.ts'

const checks = [
  { name: 'golden deploy again: nothing to do', ok: true },
  {
    name: 'two VMs: golden rollout serena: not one call fails',
    ok: true,
    figures: { 'longest call': 5200, 'let-go': 1500, 'activate on slot green': 3000 },
  },
  { name: 'two VMs: what that is held against', ok: false, figures: { 'longest call': 4000, stop: 1000 } },
]

it('writes a row for each pause that was measured, with its parts, and in the place of those of before', () => {
  const part = resultsText(checks, 'Somewhere.')
  expect(part.split('\n').slice(3)).toEqual([
    '',
    '| what | held | longest call | its parts |',
    '|---|---|---|---|',
    '| golden rollout serena: not one call fails | yes | 5.2 s | let-go 1.5 s, activate on slot green 3.0 s |',
    '| what that is held against | NO | 4.0 s | stop 1.0 s |',
  ])
  const first = placed('# Results\n', 'rollout', part)
  expect(first).toBe(`# Results\n\n<!-- rollout -->\n${part}\n<!-- /rollout -->\n`)
  const again = resultsText([], 'Elsewhere.')
  const other = placed(first, 'nightly', 'Nights.')
  expect(other).toBe(`${first}\n<!-- nightly -->\nNights.\n<!-- /nightly -->\n`)
  expect(placed(other, 'rollout', again)).toBe(other.replace(part, again))
})
