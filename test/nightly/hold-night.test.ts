/** Nights one after another, at the same time, and after one that was killed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Failure } from '../../core/failure.ts'
import { holdNight, type HeldNight, type HoldOptions } from '../../nightly/hold-night.ts'
import type { NightSteps } from '../../nightly/night.ts'
import { addNight, entryOf, readNights } from '../../nightly/nights.ts'
import { recorder } from '../recorder.ts'
import { noSurvey, uneventful as usual } from './night-world.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const never = async (): Promise<never> => {
  throw new Error('never')
}
const uneventful: NightSteps = {
  ...usual,
  survey: async () => ({ ...noSurvey, storage: { name: 'local-lvm', usedBytes: 7, totalBytes: 9 } }),
}
const optionsFor = (change: Partial<HoldOptions> = {}): HoldOptions => ({
  folder,
  site: 'home',
  by: 'me@here',
  rules: { promote: 'at-once', rollout: 'at-once', prune: true, timeZone: 'UTC', channel: 'stable' },
  clock: { now: () => new Date('2026-11-30T02:30:00Z'), elapsed: () => 5, until: never },
  progress: recorder().progress,
  signal: new AbortController().signal,
  report: async () => {},
  ...change,
})

it('is remembered, a line a night', async () => {
  const reported: HeldNight[] = []
  const { record } = await holdNight(
    uneventful,
    optionsFor({
      report: async (night) => {
        reported.push(night)
      },
    }),
  )
  expect(reported).toMatchObject([{ record: { outcome: 'nothing' }, before: [] }])
  const later = { now: () => new Date('2026-12-01T02:30:00Z'), elapsed: () => 5, until: never }
  expect((await holdNight(uneventful, optionsFor({ clock: later }))).before).toEqual([entryOf(record)])
  const text = await readFile(join(folder, 'nights.jsonl'), 'utf8')
  expect(text.split('\n')).toHaveLength(3)
  expect(await readNights(folder)).toMatchObject([
    { outcome: 'nothing', steps: [{ step: 'lock', ms: 0 }], usedBytes: 7 },
    { began: '2026-12-01T02:30:00.000Z' },
  ])
  expect(await readdir(join(folder, 'state'))).toEqual([])
})

it('keeps so many, and reads around what it does not know', async () => {
  const { record } = await holdNight(uneventful, optionsFor())
  const lines = Array.from({ length: 403 }, (_, day) =>
    JSON.stringify({ ...entryOf(record), began: new Date(day * 86_400_000).toISOString() }),
  )
  await writeFile(join(folder, 'nights.jsonl'), `${lines.join('\n')}\n{"schema":2}\n{"cut`)
  await addNight(folder, entryOf(record))
  const nights = await readNights(folder)
  expect(nights).toHaveLength(400)
  expect([nights[0]?.began, nights.at(-1)?.began]).toEqual([new Date(4 * 86_400_000).toISOString(), record.began])
})

it('a second one at the same time does nothing and tells nobody', async () => {
  const begun = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const first = holdNight(
    {
      ...uneventful,
      lock: async () => {
        begun.resolve()
        await goOn.promise
        return []
      },
    },
    optionsFor(),
  )
  await begun.promise
  const second = holdNight({ ...uneventful, lock: never }, optionsFor({ report: never }))
  await expect(second).rejects.toMatchObject({ code: 'night-in-progress' })
  goOn.resolve()
  expect((await first).record.outcome).toBe('nothing')
  expect(await readNights(folder)).toHaveLength(1)
})

it('one that was killed is told by the next one, with the step that it was at', async () => {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'night-program.ts'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(createInterface({ input: child.stdout }), 'line')
  await expect(holdNight(uneventful, optionsFor())).rejects.toMatchObject({ code: 'night-in-progress' })
  child.kill('SIGKILL')
  await once(child, 'exit')
  const { shown, progress } = recorder()
  const { before } = await holdNight(uneventful, optionsFor({ progress }))
  expect(before).toMatchObject([{ outcome: 'killed', began: '2026-11-29T02:30:00.000Z', steps: [{ step: 'bake' }] }])
  expect(shown).toContainEqual(expect.stringMatching(/^warning: the night of 2026-11-29T02:30:00.000Z was ended from outside, at bake/))
  expect((await readNights(folder)).map(({ outcome }) => outcome)).toEqual(['killed', 'nothing'])
})

it('a report that can not be made is a warning, and a failed step no end of it', async () => {
  const { shown, progress } = recorder()
  const { record } = await holdNight(
    {
      ...uneventful,
      lock: async () => {
        throw new Failure('registry-denied', 'ghcr.io lets nobody read it', 'Make it public.')
      },
      survey: never,
    },
    optionsFor({
      progress,
      report: async () => {
        throw new Error('no room')
      },
    }),
  )
  expect(record).toMatchObject({
    outcome: 'failed',
    failure: { code: 'registry-denied' },
    steps: [{ step: 'lock', ok: false }],
    warnings: [expect.stringContaining('could not be looked up')],
  })
  expect(shown).toContain('warning: the report could not be made: no room')
  expect(await readNights(folder)).toMatchObject([{ code: 'registry-denied' }])
})

it('what would not end well has failed before anything is changed, and people hear of it', async () => {
  const reported: HeldNight[] = []
  const steps: NightSteps = {
    ...uneventful,
    ready: async () => {
      throw new Failure('git-impossible', 'no branch is checked out', 'Check one out.')
    },
    lock: never,
  }
  const { record } = await holdNight(
    steps,
    optionsFor({
      report: async (night) => {
        reported.push(night)
      },
    }),
  )
  expect(record).toMatchObject({ outcome: 'failed', failure: { code: 'git-impossible' }, steps: [{ step: 'deliver', ok: false }] })
  expect(reported).toMatchObject([{ record: { outcome: 'failed' } }])
  expect(await readNights(folder)).toMatchObject([{ outcome: 'failed', code: 'git-impossible', steps: [{ step: 'deliver' }] }])
})
