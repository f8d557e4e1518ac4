/** The archive that the bake unpacks in the guest. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { compile, guestFiles } from '../../images/stage.ts'
import { writeTar } from '../../core/formats/tar.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'golden-stage-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('tar reads it back, with modes and long names, and the same files give the same bytes', async () => {
  const long = `${'a'.repeat(120)}/${'b'.repeat(90)}`
  writeFileSync(join(folder, 'source'), Buffer.alloc(70_000, 'x'))
  const entries = [
    { path: 'usr/local/bin/tool', mode: 0o755, content: Buffer.from('#!/bin/sh\n') },
    { path: 'etc/empty', mode: 0o440, content: Buffer.alloc(0) },
    { path: long, mode: 0o644, content: { file: join(folder, 'source'), size: 70_000 } },
  ]
  const [first, second] = [join(folder, 'a.tar.gz'), join(folder, 'b.tar.gz')]
  const sums = [await writeTar(first, entries), await writeTar(second, entries)]
  expect(sums[0]).toMatch(/^[0-9a-f]{64}$/)
  expect(sums[1]).toBe(sums[0])
  expect(readFileSync(second).equals(readFileSync(first))).toBe(true)
  const listed = execFileSync('tar', ['-tvzf', first], { encoding: 'utf8', env: { ...process.env, TZ: 'UTC' } })
  expect(listed).toMatch(/^-rwxr-xr-x root\/root +10 2020-01-01 00:00 usr\/local\/bin\/tool$/m)
  expect(listed).toMatch(/^-r--r----- root\/root +0 .* etc\/empty$/m)
  mkdirSync(join(folder, 'out'))
  execFileSync('tar', ['-xzf', first, '-C', join(folder, 'out')])
  expect(readFileSync(join(folder, 'out', long)).length).toBe(70_000)
  await expect(writeTar(first, [{ path: 'c'.repeat(101), mode: 0o644, content: Buffer.alloc(0) }])).rejects.toThrow(/too long/)
})

it('holds programs that can be run, and every file that a unit starts', async () => {
  const files = new Map((await guestFiles()).map((entry) => [entry.path, entry]))
  const text = (path: string): string => String(files.get(path)?.content)
  for (const [path, { mode }] of files)
    if (path.startsWith('usr/local/sbin/') || path.startsWith('usr/local/bin/')) expect(mode, path).toBe(0o755)
  expect(files.get('etc/sudoers.d/golden')?.mode).toBe(0o440)
  const units = [...files.keys()].filter((path) => path.endsWith('.service'))
  expect(units.length).toBeGreaterThan(7)
  for (const unit of units) {
    for (const [, program] of text(unit).matchAll(/\/(usr\/local\/[^\s]+)/g))
      expect(files.has(program ?? ''), `${unit}: ${program}`).toBe(true)
  }
  for (const [path] of files) {
    if (!path.startsWith('usr/local/lib/golden/') || !path.endsWith('.js')) continue
    for (const [, imported] of text(path).matchAll(/from\s+'\.\/([^']+)'/g))
      expect(files.has(`usr/local/lib/golden/${imported}`), `${path}: ${imported}`).toBe(true)
    expect(text(path), path).not.toMatch(/from\s+'[^']*\.ts'/)
    // There are no packages in the guest, and what starts often has no time for them.
    for (const [, imported] of text(path).matchAll(/(?:from|import)\s+'([^']+)'/g)) expect(imported, path).toMatch(/^(node:|\.\/)/)
  }
})

it('the programs get at the machine through one file, but for the one that follows the journal and the one that checks passwords', async () => {
  const direct = (await guestFiles()).filter(
    ({ path, content }) =>
      path.startsWith('usr/local/lib/golden/') && /from 'node:(fs|child_process|https?|os|timers)\b/.test(String(content)),
  )
  expect(direct.map(({ path }) => path.replace(/.*\//, '')).sort()).toEqual(['auth.js', 'journal.js', 'machine.js'])
})

it('types are blanked out without moving a line', () => {
  const source = "import { a } from './a.ts'\nimport type { Seed } from '../seed.ts'\nexport const f = (x: number): number =>\n  a(x)\n"
  const compiled = compile(source)
  expect(compiled.split('\n')).toHaveLength(source.split('\n').length)
  expect(compiled).toContain("from './a.js'")
  expect(compiled).not.toContain('number')
})
