import { expect, test } from 'vitest'
import { newTurns } from '../../scripts/demo/turns.ts'

test('one piece of work at a time, in order; one that fails fails alone', async () => {
  const turns = newTurns()
  const seen: string[] = []
  const piece = (name: string, fails = false) => turns(async () => {
    seen.push(`${name} begins`)
    await Promise.resolve()
    seen.push(`${name} ends`)
    if (fails) throw new Error(name)
    return name
  })
  const results = await Promise.allSettled([piece('a'), piece('b', true), piece('c')])
  expect(results).toMatchObject([{ value: 'a' }, { reason: { message: 'b' } }, { value: 'c' }])
  expect(seen).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
})
