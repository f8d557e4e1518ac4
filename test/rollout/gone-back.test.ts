/** Which images a site has gone back from. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { silent } from '../../core/progress.ts'
import { newRelease, type GroupPins, type RolloutNote } from '../../releases/deployment.ts'
import { readPins, writePins } from '../../releases/pins.ts'
import { goneBackFrom, takenBackIn } from '../../rollout/gone-back.ts'
import { readHistory, writeDownTakenBack, type RolloutEntry } from '../../rollout/history.ts'
import type { SlotName } from '../../settings/site.ts'
import { exampleSite } from '../images/example.ts'

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

const release = (slot: SlotName, image: string) =>
  newRelease(exampleSite(), 'serena', slot, {
    id: slot === 'blue' ? 'b'.repeat(12) : 'a'.repeat(12),
    created: new Date(0),
    image: { vmid: 9000, name: image, fingerprint: 'c'.repeat(64) },
  })
const pinsWith = (phase: RolloutNote['phase']): GroupPins => ({
  active: 'blue',
  rollout: { to: 'green', phase, since: '2026-11-28T02:00:00.000Z', reason: 'it does not serve' },
  slots: { blue: release('blue', 'a'), green: release('green', 'b') },
})

it.each<[RolloutNote['phase'], Readonly<Record<string, string>>]>([
  ['hand-over', {}],
  ['watch', {}],
  ['take-back', { b: 'its rollout was taken back: it does not serve' }],
  ['failed', { b: 'its rollout was taken back: it does not serve' }],
])(
  'a run that is gone while it was at %s has left it in the pins, and whoever rolls out next writes it down once',
  async (phase, wanted) => {
    const folder = await mkdtemp(join(tmpdir(), 'gone-back-'))
    try {
      await writePins(folder, { schema: 1, groups: { serena: pinsWith(phase) } })
      expect(Object.fromEntries(takenBackIn(await readPins(folder)))).toEqual(wanted)
      for (let runs = 0; runs < 2; runs++) await writeDownTakenBack({ folder, progress: silent }, 'serena')
      const history = await readHistory(folder)
      expect(history).toHaveLength(Object.keys(wanted).length)
      expect([...goneBackFrom(history).keys()]).toEqual(Object.keys(wanted))
      // Another try, whose note says nothing any more.
      await writePins(folder, {
        schema: 1,
        groups: { serena: { ...pinsWith(phase), rollout: { ...pinsWith(phase).rollout!, phase: 'prepare' } } },
      })
      await writeDownTakenBack({ folder, progress: silent }, 'serena')
      expect(await readHistory(folder)).toEqual(history)
    } finally {
      await rm(folder, { recursive: true })
    }
  },
)

it('one that had said that it was stopped tells which verb it was', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gone-back-'))
  try {
    await writePins(folder, { schema: 1, groups: { serena: pinsWith('failed') } })
    const stopped = { ...entry('rollback', 'a', 'b', 'failed'), to: { slot: 'green' as const, release: 'a'.repeat(12), image: 'b' } }
    await writeFile(join(folder, 'rollouts.jsonl'), `${JSON.stringify(stopped)}\n`)
    await writeDownTakenBack({ folder, progress: silent }, 'serena')
    expect((await readHistory(folder)).map(({ verb, outcome }) => `${verb} ${outcome}`)).toEqual(['rollback failed', 'rollback taken-back'])
  } finally {
    await rm(folder, { recursive: true })
  }
})
