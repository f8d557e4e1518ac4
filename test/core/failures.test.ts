/** The table of failures: every code of the sources is in it, none that is not, and the page is made from it. */
import { globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { exitCodeOf, failures, failuresDocument } from '../../core/failures.ts'

const root = resolve(import.meta.dirname, '../..')
const rooms = '{core,proxmox,tools,settings,images,releases,packer,stacks,rollout,scripts,demo}'
const sources = [...globSync(`${rooms}/**/*.ts`, { cwd: root, exclude: ['stacks/bindings/**'] }), 'golden.ts', 'main.ts']
/** Written as `new …Failure('code'`, `refuse('code'`, or `code: 'code'` of something that becomes one. */
const written = /(?:\bnew (?:\w*Failure|ProxmoxError)\(|\brefuse\(|\bcode: )\s*'([a-z][a-z0-9]*(?:-[a-z0-9]+)*)'/g
/** Of slotctl: told as `slot-refused`. */
const ofGuests = /^images\/guest\//
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

it('has none twice, and none that nothing says', () => {
  expect(known.filter((code, index) => known.indexOf(code) !== index)).toEqual([])
  const text = sources
    .filter((file) => file !== 'core/failures.ts')
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n')
  // The build VM says its own by a word, to which packer/explain.ts puts the rest.
  const isSaid = (code: string): boolean => text.includes(`'${code}'`) || text.includes(`'${code.replace(/^bake-/, '')}':`)
  expect(known.filter((code) => !isSaid(code))).toEqual([])
})

it('says what each means, and what mends it', () => {
  for (const group of Object.values(failures))
    for (const [code, { means, mends }] of Object.entries(group)) expect(Math.min(means.length, mends.length), code).toBeGreaterThan(4)
  expect([exitCodeOf('usage'), exitCodeOf('cancelled'), exitCodeOf('storage-full'), exitCodeOf('never heard of')]).toEqual([2, 130, 1, 1])
})

it('is the page docs/failures.md (npx vitest run -u test/core/failures.test.ts writes it)', async () => {
  await expect(failuresDocument()).toMatchFileSnapshot(join(root, 'docs/failures.md'))
})
