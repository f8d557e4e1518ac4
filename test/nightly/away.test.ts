/** A night that begins before the computer has its network back. */
import { expect, it } from 'vitest'
import { Failure } from '../../core/failure.ts'
import type { FailureCode } from '../../core/failures.ts'
import { runNight, type NightClock, type NightRecord } from '../../nightly/night.ts'
import { recorder } from '../recorder.ts'
import { uneventful } from './night-world.ts'

interface Tried {
  readonly record: NightRecord
  readonly shown: readonly string[]
  /** How often the lock was looked up, and what was waited for in between. */
  readonly looked: number
  readonly waited: readonly number[]
}

/** @param answers what each try fails with; after them it goes well */
async function lockThat(answers: readonly FailureCode[], { tryMs = 0, stopAt = Infinity } = {}): Promise<Tried> {
  const stop = new AbortController()
  const { shown, progress } = recorder()
  const waited: number[] = []
  let now = 0
  let looked = 0
  const clock: NightClock = {
    now: () => new Date(now),
    elapsed: () => now,
    until: async (time, signal) => {
      waited.push(time.getTime() - now)
      if (waited.length === stopAt) stop.abort(new Failure('cancelled', 'stopped by you', 'Run it again.'))
      // As timers do that are ended: what for is said by the signal.
      if (signal.aborted) throw new DOMException('ended', 'AbortError')
      now = time.getTime()
    },
  }
  const lock = async () => {
    now += tryMs
    const code = answers[looked++]
    if (code !== undefined) throw new Failure(code, 'deb.debian.org does not answer\nat all', 'Check the network.')
    return []
  }
  const rules = { promote: 'at-once', rollout: 'at-once', prune: true, timeZone: 'UTC', channel: 'stable' } as const
  const options = { site: 'home', by: 'me@here', rules, clock, progress, signal: stop.signal }
  return { record: await runNight({ ...uneventful, lock }, options), shown, looked, waited }
}

it('looks up what goes in again until its sources answer, and says so', async () => {
  const { record, shown, looked, waited } = await lockThat(['archive-unreachable', 'registry-unreachable'])
  expect({ looked, waited }).toEqual({ looked: 3, waited: [15_000, 15_000] })
  expect(record.steps[0]).toEqual({ step: 'lock', ms: 30_000, ok: true })
  expect(shown.slice(0, 2)).toEqual(['look up what goes in', '  deb.debian.org does not answer; asked again every 15 s, for two minutes'])
})

it.each<[string, number, number]>([
  ['at once', 0, 9],
  ['slowly', 50_000, 3],
])('gives up after two minutes of sources that fail %s', async (_, tryMs, tries) => {
  const { record, looked } = await lockThat(Array<FailureCode>(99).fill('registry-unreachable'), { tryMs })
  expect(looked).toBe(tries)
  expect(record).toMatchObject({ outcome: 'failed', failure: { code: 'registry-unreachable' }, steps: [{ step: 'lock', ok: false }] })
})

it.each<FailureCode>(['archive-refused', 'registry-denied', 'archive-signature', 'lock-invalid'])('fails for %s at once', async (code) => {
  const { record, looked, waited } = await lockThat([code])
  expect({ looked, waited, code: record.failure?.code }).toEqual({ looked: 1, waited: [], code })
})

it('is stopped while it waits', async () => {
  const { record, looked } = await lockThat(Array<FailureCode>(99).fill('archive-unreachable'), { stopAt: 2 })
  expect(looked).toBe(2)
  expect(record).toMatchObject({ outcome: 'stopped', failure: { code: 'cancelled' }, survey: null })
})
