/** How often a guest that something is awaited from is asked. */
import { expect, it } from 'vitest'
import { pauseAfter } from '../../images/guest/pace.ts'
import { reconcile } from '../../rollout/reconcile.ts'

it('a guest that is quick is asked every two seconds, one that is slow spends a fifth of its time on answers, at the most', () => {
  expect(pauseAfter(100, 2000, 60_000)).toBe(2000)
  expect(pauseAfter(2500, 2000, 60_000)).toBe(10_000)
  expect(pauseAfter(60_000, 2000, 60_000)).toBe(60_000)
})

it('while it waits, the loop keeps to that', async () => {
  let looks = 0
  const began = performance.now()
  await reconcile<number, never>({
    pauseMs: 1,
    note: () => {},
    look: async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      setTimeout(resolve, 30)
      await promise
      looks += 1
      return looks
    },
    decide: (seen) => (seen < 3 ? { kind: 'wait', for: 'it', timeoutMs: 60_000 } : { kind: 'done' }),
    take: async () => {},
  })
  // Three answers and two pauses of four times as long.
  expect(performance.now() - began).toBeGreaterThan(3 * 30 + 2 * 4 * 30 - 20)
})
