import fc from 'fast-check'
import { expect, it } from 'vitest'
import { sideBySide } from '../../core/side-by-side.ts'

it('whatever the list, the results are in its order, and never more than so many are at it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(5), { maxLength: 20 }), fc.integer({ min: 1, max: 5 }), async (list, atMost) => {
      let [now, most] = [0, 0]
      const results = await sideBySide(list, atMost, async (turns) => {
        most = Math.max(most, ++now)
        for (let turn = 0; turn < turns; turn++) await Promise.resolve()
        now -= 1
        return turns * 2
      })
      expect(results).toEqual(list.map((turns) => turns * 2))
      expect(most).toBeLessThanOrEqual(atMost)
    }),
  )
})

it('after one has failed no other begins', async () => {
  const begun: number[] = []
  const work = sideBySide([1, 2, 3, 4], 1, async (one) => {
    begun.push(one)
    if (one === 2) throw new Error('two')
  })
  await expect(work).rejects.toThrow('two')
  expect(begun).toEqual([1, 2])
})
