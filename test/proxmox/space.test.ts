import { expect, it } from 'vitest'
import { gib, needText, shortOfSpace } from '../../proxmox/space.ts'

const needs = [
  { what: 'the image', bytes: 16 * gib },
  { what: 'the data disk of serena', bytes: 32 * gib },
]

it('is told in numbers where there is less than what may be taken, and only there', () => {
  expect(shortOfSpace('tank', 48 * gib, needs)).toBeUndefined()
  expect(shortOfSpace('tank', undefined, needs)).toBeUndefined()
  expect(shortOfSpace('tank', 0, [])).toBeUndefined()
  expect(shortOfSpace('tank', 48 * gib - 1, needs)).toBe(
    'storage tank has 48.0 GiB left, and what is to be made there may grow to 48.0 GiB (the image 16.0 GiB, the data disk of serena 32.0 GiB)',
  )
  expect(needText([])).toBe('nothing')
})
