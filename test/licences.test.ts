/** What is imported has a licence that goes with Apache-2.0: docs/licences.md. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '..')
const fits = /^(MIT|ISC|0BSD|Unlicense|CC0-1\.0|BlueOak-1\.0\.0|Apache-2\.0|BSD-[23]-Clause|MPL-2\.0)$/
/** Their package.json has the licence in a form that npm does not write into a lock file; all three are MIT by their files. */
const unsaid = new Set(['node_modules/ssh2', 'node_modules/cpu-features', 'node_modules/buildcheck'])
/** Nothing here loads it: docs/licences.md. */
const excepted: Readonly<Record<string, string>> = { 'node_modules/node-liblzma': 'LGPL-3.0' }

interface Package {
  readonly license?: string
  readonly link?: boolean
}

/** Of a choice one that fits will do. */
const isFit = (license: string): boolean =>
  license
    .replace(/^\(|\)$/g, '')
    .split(' OR ')
    .some((one) => fits.test(one))

/** Those of a lock file whose licence is not known to go with this project's. */
function misfits(packages: Readonly<Record<string, Package>>): string[] {
  return Object.entries(packages)
    .filter(([path, { license, link }]) => {
      if (link === true || unsaid.has(path) || !path.includes('node_modules/')) return false
      return license === undefined || !(isFit(license) || excepted[path] === license)
    })
    .map(([path, { license }]) => `${path}: ${license}`)
}

it.each(['package-lock.json', 'images/language-servers/package-lock.json'])('%s has no package whose licence does not fit', (file) => {
  const { packages } = JSON.parse(readFileSync(join(root, file), 'utf8')) as { packages: Record<string, Package> }
  expect(Object.keys(packages).length).toBeGreaterThan(3)
  expect(misfits(packages)).toEqual([])
})

it('a package under GPL, AGPL or BUSL, or without a licence, is found', () => {
  const planted = {
    'node_modules/a': { license: 'AGPL-3.0' },
    'node_modules/b': {},
    'node_modules/c': { license: '(MIT OR GPL-3.0-or-later)' },
  }
  expect(misfits({ ...planted, 'node_modules/d': { license: 'BUSL-1.1' } })).toEqual([
    'node_modules/a: AGPL-3.0',
    'node_modules/b: undefined',
    'node_modules/d: BUSL-1.1',
  ])
})
