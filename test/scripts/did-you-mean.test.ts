import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Failure } from '../../core/failure.ts'
import { nearest, withNearest } from '../../scripts/did-you-mean.ts'
import { verbs } from '../../verbs.ts'

const known = Object.keys(verbs)

it('finds a word with one letter too many, too few, or another one', () => {
  const mistyped = fc
    .constantFrom(...known.filter((word) => word.length > 3))
    .chain((word) => fc.tuple(fc.constant(word), fc.nat(word.length - 1), fc.constantFrom('drop', 'double', 'other' as const)))
  fc.assert(
    fc.property(mistyped, ([word, at, how]) => {
      const letter = how === 'drop' ? '' : how === 'double' ? `${word[at]}${word[at]}` : '+'
      const said = word.slice(0, at) + letter + word.slice(at + 1)
      fc.pre(!known.includes(said))
      expect(nearest({ said, known: [word, 'nothing-like-it'] })).toBe(word)
    }),
  )
})

it.each([
  ['delete', 'delete-data'],
  ['ROLLBACK', 'rollback'],
  ['rollot', 'rollout'],
  ['xyzzy', undefined],
  ['b', undefined],
  ['', undefined],
])('%s: %s', (said, meant) => {
  expect(nearest({ said, known })).toBe(meant)
})

it('does not say which of two that begin alike, unless one is nearer', () => {
  expect(nearest({ said: 'roll', known: ['rollout', 'rollback'] })).toBeUndefined()
  expect(nearest({ said: 'rollo', known: ['rollout', 'rollback'] })).toBe('rollout')
})

it('stands before the hint, and leaves a failure as it is where there is none', () => {
  const failure = new Failure('group-unknown', 'there is no group serna', 'There are: serena.', {
    unknown: { said: 'serna', known: ['serena'] },
  })
  expect(withNearest(failure).toErrors()).toEqual([
    { code: 'group-unknown', message: 'there is no group serna', hint: 'Did you mean "serena"? There are: serena.' },
  ])
  const other = new Failure('group-unknown', 'there is no group x', 'There are: serena.', { unknown: { said: 'x', known: ['serena'] } })
  expect(withNearest(other)).toBe(other)
})
