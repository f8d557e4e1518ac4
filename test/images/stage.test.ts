import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { stageLanguageServers } from '../../images/language-servers/stage.ts'
import { guestFiles, isStray, rootfsOf, type SmallFile } from '../../images/stage.ts'

it("leaves out what editors and file managers put next to the image's files", () => {
  for (const name of [
    '.DS_Store',
    '.seed.ts.swp',
    '.#seed.ts',
    '#seed.ts#',
    'seed.ts~',
    'nginx.conf.bak',
    'nginx.conf.orig',
    '._seed.ts',
    'Thumbs.db',
  ])
    expect(isStray(name), name).toBe(true)
})

it("leaves out nothing of the image's own", async () => {
  const files = await guestFiles()
  expect(files.length).toBeGreaterThan(20)
  for (const name of ['seed.ts', '10-golden.preset', 'slotctl', 'docker.service.d', 'promtail@.yaml'])
    expect(isStray(name), name).toBe(false)
})

it('an npm that does not get the language servers is told in its own words, and leaves nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'golden-npm-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'npm'), '#!/bin/sh\necho "npm error network request to https://registry.invalid/x failed" >&2\nexit 1\n')
  await chmod(join(folder, 'npm'), 0o755)
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`)
  onTestFinished(() => void vi.unstubAllEnvs())
  const cacheDir = join(folder, 'cache')
  await expect(stageLanguageServers({ cacheDir })).rejects.toMatchObject({
    name: 'Failure',
    code: 'npm-failed',
    message: expect.stringContaining('request to https://registry.invalid/x failed'),
  })
  expect(await readdir(join(cacheDir, 'language-servers')).catch(() => [])).toEqual([])
})

describe('the digest of what goes into the image', () => {
  const file = (path: string, text: string, mode = 0o644): SmallFile => ({ path, mode, content: Buffer.from(text) })
  const of = (...files: SmallFile[]): string => rootfsOf(files).sha256

  it('is that of its paths, modes and contents, whatever their order', () => {
    const one = of(file('a', '1'), file('b', '2'))
    expect(of(file('b', '2'), file('a', '1'))).toBe(one)
    for (const other of [
      of(file('a', '1')),
      of(file('a', '1'), file('b', '3')),
      of(file('a', '1'), file('c', '2')),
      of(file('a', '1'), file('b', '2', 0o755)),
    ])
      expect(other).not.toBe(one)
  })

  it('counts what is fetched by its digest, and fetches nothing for it', () => {
    const find = (): never => {
      throw new Error('fetched')
    }
    const digests = ['x', 'y'].map((sha256) => rootfsOf([file('a', '1')], { sha256, find }).sha256)
    expect(new Set([...digests, of(file('a', '1'))]).size).toBe(3)
  })
})
