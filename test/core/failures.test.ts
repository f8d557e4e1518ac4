/** The table of failures: every code of the sources is in it, none that is not, and the page is made from it. */
import { globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { Failure } from '../../core/failure.ts'
import { exitCodeOf, failures, failuresDocument, isFailureCode, type FailureCode } from '../../core/failures.ts'

const root = resolve(import.meta.dirname, '../..')
const rooms = '{core,proxmox,tools,settings,images,releases,packer,stacks,rollout,verify,nightly,clients,doctor,scripts,demo}'
const sources = [...globSync(`${rooms}/**/*.ts`, { cwd: root, exclude: ['stacks/bindings/**'] }), 'golden.ts', 'main.ts']
/** Written as `new …Failure('code'`, `refuse('code'`, or `code: 'code'` of something that becomes one. */
const written = /(?:\bnew (?:\w*Failure|ProxmoxError)\(|\brefuse\(|\bcode: )\s*'([a-z][a-z0-9]*(?:-[a-z0-9]+)*)'/g
/** Of slotctl: told as `slot-refused`. */
const ofGuests = /^images\/guest\//
const writtenInGuests = /\bRefusal\('([a-z-]+)'|\bcode(?:: | = )'([a-z-]+)'/g
/** What slotctl puts together from the state of the disk. */
const madeUp = ['disk-blank', 'disk-foreign']
/** Zod's own, of a setting that is not as it has to be. */
const ofZod = 'custom'

const inSources = new Set(
  sources
    .filter((file) => file !== 'core/failures.ts' && !ofGuests.test(file))
    .flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(written)].map(([, code = '']) => code).filter((code) => code !== ofZod),
    ),
)
const known = Object.values(failures).flatMap((group) => Object.keys(group))

it('has every code of the sources', () => {
  expect(inSources.size).toBeGreaterThan(120)
  expect([...inSources].filter((code) => !known.includes(code)).sort()).toEqual([])
})

it("has every code of the guest's programs", () => {
  const codes = sources
    .filter((file) => ofGuests.test(file))
    .flatMap((file) => [...readFileSync(join(root, file), 'utf8').matchAll(writtenInGuests)].map(([, one, two]) => one ?? two ?? ''))
  expect(codes.length).toBeGreaterThan(8)
  expect(codes.filter((code) => !isFailureCode(code))).toEqual([])
})

it('has none twice, and none that nothing says', () => {
  expect(known.filter((code, index) => known.indexOf(code) !== index)).toEqual([])
  const text = [...sources, ...globSync('lab/**/*.ts', { cwd: root, exclude: ['**/node_modules/**'] })]
    .filter((file) => file !== 'core/failures.ts')
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n')
  expect(known.filter((code) => !text.includes(`'${code}'`) && !madeUp.includes(code))).toEqual([])
})

it('says what each means, and what mends it', () => {
  for (const group of Object.values(failures))
    for (const [code, { means, mends }] of Object.entries(group)) expect(Math.min(means.length, mends.length), code).toBeGreaterThan(4)
  expect([exitCodeOf('usage'), exitCodeOf('cancelled'), exitCodeOf('storage-full')]).toEqual([2, 130, 1])
})

it('is a type: a code that is not in the table does not compile', () => {
  // @ts-expect-error there is none of that name
  const wrong: FailureCode = 'never-heard-of'
  expect([isFailureCode(wrong), isFailureCode('toString'), isFailureCode('storage-full')]).toEqual([false, false, true])
})

it('is told in one form', () => {
  const failure = new Failure('usage', 'no such flag', 'See --help.')
  expect(failure.toText()).toBe('error usage: no such flag\n→ See --help.')
  expect(JSON.parse(JSON.stringify(failure))).toEqual({ code: 'usage', message: 'no such flag', hint: 'See --help.' })
  expect([failure.exitCode, new Failure('disk-full', '', '').exitCode]).toEqual([2, 1])
})

it('is the page docs/failures.md (npx vitest run test/core/failures.test.ts -u writes it)', async () => {
  await expect(failuresDocument()).toMatchFileSnapshot(join(root, 'docs/failures.md'))
})
