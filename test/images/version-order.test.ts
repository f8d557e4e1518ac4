/** Debian's order of versions, against dpkg itself where it is there. */
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareVersions } from '../../images/archive/version-order.ts'

const sign = (a: string, b: string): number => Math.sign(compareVersions(a, b))

it('is that of the manual: epoch, upstream, revision; a tilde before the end, letters before the rest', () => {
  const rising = [
    ['1.0~~', '1.0~~a', '1.0~', '1.0', '1.0-0ubuntu1', '1.0-1~bpo12+1', '1.0-1', '1.0-1+b1', '1.0-1+deb13u1', '1.0-1.1', '1.0a', '1.0+b'],
    ['0.9', '0.10', '1.9-1', '1:0.1', '1:0.2', '2:0'],
    ['6.8.0-9.9', '6.8.0-31.31', '6.8.0-100.100'],
    ['257.8-1~deb13u2', '257.8-1', '257.10-1'],
    ['20240203', '20250419', '20250419+deb13u1'],
  ]
  for (const list of rising) {
    expect([...list].reverse().sort(compareVersions)).toEqual(list)
    for (const [at, one] of list.entries())
      for (const [other, two] of list.entries()) expect(sign(one, two), `${one} ${two}`).toBe(Math.sign(at - other))
  }
  for (const [a, b] of [
    ['0:1.0', '1.0'],
    ['1.0', '1.0-0'],
    ['1.01', '1.1'],
    ['00012345678901234567890', '12345678901234567890'],
  ] as const)
    expect(sign(a, b), `${a} ${b}`).toBe(0)
})

const piece = fc.oneof(
  fc.constantFrom('~', '~~', '.', '+', 'a', 'Z', 'rc', 'deb', 'ubuntu', 'u'),
  fc.nat(120).map(String),
  fc.constantFrom('00', '09', '0', '20261129'),
)
const text = fc.array(piece, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(''))
const version = fc
  .record({ epoch: fc.option(fc.nat(3)), upstream: text, more: fc.option(text), revision: fc.option(text) })
  // dpkg wants a digit first, and what only an epoch or a revision allows only with them.
  .map(
    ({ epoch, upstream, more, revision }) =>
      `${epoch === null ? '' : `${epoch}:`}1${upstream}${more === null || revision === null ? '' : `-${more}`}${revision === null ? '' : `-${revision}`}`,
  )

it('is an order', () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      expect(sign(a, b)).toBe(-sign(b, a) || 0)
      expect(sign(a, a)).toBe(0)
      if (sign(a, b) <= 0 && sign(b, c) <= 0) expect(sign(a, c)).toBeLessThanOrEqual(0)
    }),
  )
})

const hasDpkg = (() => {
  try {
    execFileSync('dpkg', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

describe.skipIf(!hasDpkg)(`against dpkg ${hasDpkg ? '' : '(no dpkg here)'}`, () => {
  it('agrees on any two versions', () => {
    const pairs = fc.sample(fc.tuple(version, version), { numRuns: 150 })
    // What differs in little is where an order goes wrong.
    const close = pairs
      .slice(0, 50)
      .map(([a]): [string, string] => [a, a.replace(/[~+.]|\d$/, (found) => (found === '~' ? '' : `${found}~`))])
    const all = [...pairs, ...close]
    // One process for each is what costs: dpkg takes two versions at a time.
    const script =
      'while read -r a b; do if dpkg --compare-versions "$a" lt "$b"; then echo -1; elif dpkg --compare-versions "$a" eq "$b"; then echo 0; else echo 1; fi; done'
    const said = execFileSync('sh', ['-c', script], {
      input: all.map(([a, b]) => `${a} ${b}\n`).join(''),
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    expect(all.map(([a, b]) => [a, b, sign(a, b)])).toEqual(all.map(([a, b], at) => [a, b, Number(said.split('\n')[at])]))
  }, 60_000)
})
