import fc from 'fast-check'
import { expect, test } from 'vitest'
import { occurring } from '../../scripts/demo/template.ts'

test('a canary is found wherever it lies, over the borders of the parts that are read', async () => {
  const canary = 'canary-5f2c81'
  await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 1, max: 40 }), fc.boolean(), async (offset, size, planted) => {
    const disk = Buffer.from(`${'x'.repeat(offset)}${planted ? canary : 'canary-5f2c82'}${'y'.repeat(50)}`)
    async function* parts(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < disk.length; at += size) yield disk.subarray(at, at + size)
    }
    expect((await occurring(parts(), [canary, 'never'])).has(canary)).toBe(planted)
  }))
})
