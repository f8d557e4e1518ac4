import { describe, expect, it } from 'vitest'
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
