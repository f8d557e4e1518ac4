/** Which images a site has gone back from. */
import { expect, it } from 'vitest'
import { goneBackFrom } from '../../rollout/gone-back.ts'
import type { RolloutEntry } from '../../rollout/history.ts'

const entry = (verb: RolloutEntry['verb'], from: string, to: string, outcome: RolloutEntry['outcome'] = 'done'): RolloutEntry => ({
  schema: 1,
  group: 'serena',
  verb,
  who: 'ann@desk',
  from: { slot: 'blue', release: '1', image: from },
  to: { slot: 'green', release: '2', image: to },
  began: '2026-11-28T02:00:00.000Z',
  ended: '2026-11-28T02:30:00.000Z',
  parts: [],
  outcome,
  ...(outcome === 'done' ? {} : { reason: 'it does not serve' }),
})

it.each<[string, readonly RolloutEntry[], Readonly<Record<string, string>>]>([
  ['nothing', [], {}],
  ['a rollout', [entry('rollout', 'a', 'b')], {}],
  [
    'one that was taken back',
    [entry('rollout', 'a', 'b', 'taken-back')],
    { b: 'its rollout was taken back on 2026-11-28: it does not serve' },
  ],
  ['one that failed for another reason', [entry('rollout', 'a', 'b', 'failed')], {}],
  ['a rollback', [entry('rollout', 'a', 'b'), entry('rollback', 'b', 'a')], { b: 'ann@desk has rolled back from it on 2026-11-28' }],
  ['another try, by hand', [entry('rollout', 'a', 'b', 'taken-back'), entry('rollout', 'a', 'b')], {}],
  [
    'a way back to it',
    [entry('rollout', 'a', 'b'), entry('rollback', 'b', 'a'), entry('rollback', 'a', 'b')],
    { a: 'ann@desk has rolled back from it on 2026-11-28' },
  ],
  ['a rollback of settings alone', [entry('rollback', 'a', 'a')], {}],
])('after %s', (_, history, wanted) => {
  expect(Object.fromEntries(goneBackFrom(history))).toEqual(wanted)
})
