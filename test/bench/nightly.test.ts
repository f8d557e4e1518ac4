import { expect, it } from 'vitest'
import { resultsText, type Measured } from '../../bench/nightly.ts'

const measured: Measured = {
  nights: [2.5, 2.41, 7],
  processor: 1.9,
  roundTrips: [0.012, 0.2],
  bake: 31.2,
  requests: ['GET http://files/builds/ 304', 'HEAD https://registry/v2/a/manifests/1 200'],
  madeVms: false,
}

it('says the least and the most that a night took, beside what it is compared with, and whether that is what it may', () => {
  const text = resultsText(measured, 'Somewhere')
  expect(text).toContain('| `golden nightly` | 2.4 s (at most 7.0 s), of which the processor 1.9 s: under 5 s |')
  expect(text).toContain('| one request to each source, side by side | 0.012 s (at most 0.2 s) |')
  expect(text).toContain('| the bake of the same inputs by Packer | 31.2 s |')
  expect(text).toContain('VMs: none made. Requests to sources in a night: 2, 1 of them')
  const slow = resultsText({ ...measured, nights: [5.1, 6], madeVms: true }, 'Somewhere')
  expect([slow.includes('NOT under 5 s'), slow.includes('VMs: MADE')]).toEqual([true, true])
})
