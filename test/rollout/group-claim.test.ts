/** The line in a depot's description that says who is at a group. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { claimIn, claimMark, holderText, isStale, withClaim, withoutClaim, type GroupClaim } from '../../rollout/group-claim.ts'

const iso = fc.date({ noInvalidDate: true, min: new Date('2000-01-01'), max: new Date('2100-01-01') }).map((date) => date.toISOString())
const text = fc.string({ unit: 'binary', maxLength: 30 })
const claim: fc.Arbitrary<GroupClaim> = fc.record({
  id: fc.string({ minLength: 1, maxLength: 16 }),
  by: text,
  verb: text,
  since: iso,
  until: iso,
  process: fc.record({ pid: fc.nat(), host: text, started: text }),
})
/** What people write, and what is left of claims that somebody has edited. */
const line = fc.oneof(
  { weight: 3, arbitrary: text },
  { weight: 1, arbitrary: fc.constantFrom('', '\r', ' ', claimMark, `  ${claimMark} {}`, `${claimMark} {"id":"x"`, `${claimMark} null`) },
  { weight: 1, arbitrary: claim.map((one) => `${claimMark}${JSON.stringify(one)}\r`) },
)
const description = fc.array(line, { maxLength: 8 }).map((lines) => lines.join('\n'))
const others = (one: string): string[] => one.split('\n').filter((each) => !each.trimStart().startsWith(claimMark))

it('whatever people have written: a claim is read as it was written, and nothing else is touched', () => {
  fc.assert(
    fc.property(description, claim, claim, (before, first, second) => {
      const once = withClaim(before, first)
      expect(claimIn(once)).toEqual(first)
      expect(withoutClaim(once)).toBe(withoutClaim(before))
      if (before !== '') expect(others(once)).toEqual(others(before))
      // A renewal changes that line alone, where it stands.
      const twice = withClaim(once, second)
      expect(claimIn(twice)).toEqual(second)
      expect(withClaim(twice, first)).toBe(once)
      expect(claimIn(withoutClaim(twice))).toBeUndefined()
    }),
  )
})

it('what nobody can read is no claim, and never an error', () => {
  fc.assert(
    fc.property(fc.oneof(text, fc.json()), (rest) => {
      const found = claimIn(`Notes of the depot\n${claimMark} ${rest}`)
      if (found !== undefined) expect(typeof found.id).toBe('string')
    }),
  )
  expect(claimIn('')).toBeUndefined()
  expect(claimIn(`${claimMark} {"id":"x"`)).toBeUndefined()
})

const one: GroupClaim = {
  id: 'a1',
  by: 'ann@laptop',
  verb: 'rollout',
  since: '2026-11-29T15:00:00.000Z',
  until: '2026-11-29T15:05:00.000Z',
  process: { pid: 4711, host: 'laptop', started: 'b 1' },
}

it('is good until the second that it names', () => {
  expect(isStale(one, new Date('2026-11-29T15:04:59.999Z'))).toBe(false)
  expect(isStale(one, new Date('2026-11-29T15:05:00.000Z'))).toBe(true)
})

it('says who, at what, since when; what a terminal would obey is taken out', () => {
  expect(holderText(one)).toBe('ann@laptop ("golden rollout", process 4711, since 2026-11-29 15:00:00 UTC)')
  expect(holderText({ ...one, by: 'ann\u001b[2J\n' })).toContain('ann?[2J? (')
})
