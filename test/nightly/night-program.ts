/** A night that comes as far as its bake, says so, and stays there. Its folder is the argument. */
import { silent } from '../../core/progress.ts'
import { holdNight } from '../../nightly/hold-night.ts'
import type { NightSteps } from '../../nightly/night.ts'
import { lookAt, noSurvey, quiet } from './night-world.ts'

const [folder = ''] = process.argv.slice(2)
const hang = async (): Promise<never> => {
  process.stdout.write('baking\n')
  setInterval(() => {}, 1000)
  return new Promise(() => {})
}
const steps: NightSteps = {
  ready: async () => {},
  lock: async () => [],
  look: async () => lookAt(quiet),
  bake: hang,
  verify: hang,
  promote: hang,
  rollout: hang,
  refuse: hang,
  prune: hang,
  deliver: hang,
  survey: async () => noSurvey,
}
await holdNight(steps, {
  folder,
  site: 'home',
  by: 'me@here',
  rules: { promote: 'at-once', rollout: 'by-hand', prune: true, timeZone: 'UTC', channel: 'stable' },
  clock: { now: () => new Date('2026-11-29T02:30:00Z'), elapsed: () => 0, until: hang },
  progress: silent,
  signal: new AbortController().signal,
  report: async () => {},
})
