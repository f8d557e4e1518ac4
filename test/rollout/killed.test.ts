/** Handovers that are killed: a fixed share of those of `npm run test:kill -- ROUNDS SEED`. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { chance, startKilling, type Killing } from './killing.ts'

let killing: Killing
beforeAll(async () => {
  killing = await startKilling()
})
afterAll(() => killing?.close())

it('whenever the power is cut, a verb ends it well, and at no moment is anything lost', async () => {
  const random = chance(20261129)
  const until = performance.now() + 60_000
  const stories: string[] = []
  // As many as a minute has room for, and on a slow machine these at least, however long they take.
  while (stories.length < 8 || (stories.length < 25 && performance.now() < until)) stories.push(await killing.round(random))
  expect(stories.filter((story) => story.includes('cut at')).length).toBeGreaterThan(3)
}, 1_200_000)

it('what watches would see it', async () => {
  const { t, seen } = killing
  const depot = `/nodes/pve/qemu/9010/config`
  await t.root.put(depot, { protection: 0 })
  await expect.poll(() => [...seen.broken], { timeout: 30_000 }).toEqual(['the depot was not protected'])
  await t.root.put(depot, { protection: 1 })
})
