/** Nights that are killed: a fixed share of those of `npm run test:kill -- night ROUNDS SEED`. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { missingPrograms } from '../images/programs.ts'
import { chance } from '../rollout/killing.ts'
import { startNightKilling, type NightKilling } from './night-killing.ts'

const missing = missingPrograms(['gpg', 'gpgv', 'dpkg-deb'])
const minute = 60_000

let killing: NightKilling
beforeAll(async () => {
  if (missing.length === 0) killing = await startNightKilling(600)
}, 15 * minute)
afterAll(() => killing?.close())

it.skipIf(missing.length > 0)(
  `whenever it is killed, the next night ends well and leaves nothing over ${missing.length > 0 ? `(not here: ${missing.join(', ')})` : ''}`,
  async () => {
    const random = chance(20261129)
    const until = performance.now() + minute / 2
    const stories: string[] = []
    // A computer that is busy has time for one.
    while (stories.length < 2 && (stories.length === 0 || performance.now() < until)) stories.push(await killing.round(random))
    expect(stories.some((story) => story.includes('killed'))).toBe(true)
  },
  15 * minute,
)
