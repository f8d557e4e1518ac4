import { execFileSync } from 'node:child_process'
import { chownSync, mkdirSync, mkdtempSync, rmSync, readFileSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compareTrees } from '../../demo/tree/compare.ts'
import type { Entry, Tree } from '../../demo/tree/entry.ts'
import { readTree } from '../../demo/tree/read.ts'
import { reasons } from '../../demo/tree/reasons.ts'

const isRoot = process.getuid?.() === 0

describe.skipIf(!isRoot)('the file trees of two disks', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'golden-tree-'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  /** A disk with a small partition and a larger one, as a base image has them. */
  function disk(name: string, fill: (root: string) => void): string {
    const [root, file, raw] = [join(folder, `${name}-root`), join(folder, `${name}.ext4`), join(folder, `${name}.raw`)]
    mkdirSync(root)
    fill(root)
    execFileSync('mkfs.ext4', ['-q', '-d', root, file, '24M'])
    writeFileSync(raw, '')
    truncateSync(raw, 32 << 20)
    execFileSync('sfdisk', ['-q', raw], { input: 'label: gpt\nstart=2048, size=2048\nstart=4096, size=49152\n' })
    execFileSync('dd', [`if=${file}`, `of=${raw}`, 'bs=512', 'seek=4096', 'conv=notrunc,sparse', 'status=none'])
    const image = join(folder, `${name}.qcow2`)
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, image])
    return image
  }

  const layer = (root: string, chain: string, cache: string, text: string): void => {
    const db = join(root, `var/lib/docker/image/overlay2/layerdb/sha256/${chain}`)
    const store = join(root, `var/lib/docker/overlay2/${cache}/diff`)
    mkdirSync(db, { recursive: true })
    mkdirSync(store, { recursive: true })
    writeFileSync(join(db, 'cache-id'), cache)
    writeFileSync(join(store, 'file'), text)
  }

  it('are the same whatever times and names of layers are, and different in all else', async () => {
    const one = disk('one', (root) => {
      mkdirSync(join(root, 'etc'))
      for (const name of ['same', 'content', 'mode', 'owner', 'first', 'log']) writeFileSync(join(root, 'etc', name), 'text')
      symlinkSync('same', join(root, 'etc/link'))
      layer(root, 'a'.repeat(64), '1'.repeat(64), 'layer')
    })
    const two = disk('two', (root) => {
      mkdirSync(join(root, 'etc'))
      for (const name of ['same', 'content', 'mode', 'owner', 'second', 'log']) writeFileSync(join(root, 'etc', name), 'text')
      utimesSync(join(root, 'etc/same'), 1, 1)
      writeFileSync(join(root, 'etc/content'), 'tixt')
      writeFileSync(join(root, 'etc/log'), 'other')
      execFileSync('chmod', ['4755', join(root, 'etc/mode')])
      chownSync(join(root, 'etc/owner'), 1, 2)
      symlinkSync('content', join(root, 'etc/link'))
      layer(root, 'a'.repeat(64), '2'.repeat(64), 'layer')
    })
    const signal = new AbortController().signal
    const { explained, unexplained, same } = compareTrees(await readTree(one, folder, signal), await readTree(two, folder, signal), [
      { paths: /^\/etc\/log$/, why: 'tell of a time' },
      { paths: /\/cache-id$/, why: 'name a layer at random' },
    ])
    expect(unexplained).toEqual([
      { path: '/etc/content', what: 'content' },
      { path: '/etc/first', what: 'only in the first' },
      { path: '/etc/link', what: 'content' },
      { path: '/etc/mode', what: 'mode' },
      { path: '/etc/owner', what: 'owner' },
      { path: '/etc/second', what: 'only in the second' },
    ])
    expect(explained.map(({ why, differences }) => [why, differences.length])).toEqual([
      ['tell of a time', 1],
      ['name a layer at random', 1],
    ])
    expect(same).toBeGreaterThan(8)
  })
})

describe('comparing', () => {
  const entry = fc.record<Entry>({
    kind: fc.constantFrom('file', 'folder', 'link'),
    mode: fc.constantFrom(0o644, 0o755),
    uid: fc.constantFrom(0, 1),
    gid: fc.constantFrom(0, 1),
    content: fc.constantFrom('', 'a'),
  })
  const tree: fc.Arbitrary<Tree> = fc
    .dictionary(fc.constantFrom('/a', '/b', '/c', '/d'), entry)
    .map((names) => new Map(Object.entries(names)))

  it('finds nothing in a tree and itself, and in two what is in one and not so in the other', () => {
    fc.assert(
      fc.property(tree, tree, (one, other) => {
        expect(compareTrees(one, one, []).unexplained).toEqual([])
        const paths = new Set(compareTrees(one, other, []).unexplained.map(({ path }) => path))
        for (const path of new Set([...one.keys(), ...other.keys()]))
          expect(paths.has(path)).toBe(
            JSON.stringify(Object.entries(one.get(path) ?? {}).sort()) !== JSON.stringify(Object.entries(other.get(path) ?? {}).sort()),
          )
        expect(compareTrees(one, other, [{ paths: /./, why: '' }]).unexplained).toEqual([])
      }),
    )
  })
})

describe('the reasons why two bakes differ', () => {
  const explains = (path: string): boolean => reasons.some(({ paths }) => paths.test(path))
  const id = 'a1'.repeat(32)

  it.each([
    '/etc/golden/image.json',
    '/var/lib/docker/overlay2/l/ABCDEFGHIJKLMNOPQRSTUVWXY2',
    '/var/lib/docker/overlay2/{0123456789ab}/link',
    `/var/lib/docker/image/overlay2/layerdb/sha256/${id}/cache-id`,
  ])('%s', (path) => expect(explains(path)).toBe(true))

  it.each([
    '/etc/golden/images.json',
    '/usr/bin/sensible-editor',
    '/var/lib/docker/overlay2/{0123456789ab}/diff/usr/bin/node',
    `/var/lib/docker/image/overlay2/layerdb/sha256/${id}/diff`,
    '/var/lib/docker/containers',
    // What `docker export` would leave of each container, and dockerd of itself: a bake takes neither into the image.
    `/var/lib/docker/overlay2/${id}-init/diff/etc/hosts`,
    `/var/lib/docker/image/overlay2/layerdb/mounts/${id}/mount-id`,
    '/var/lib/docker/tmp/moby-detect-rro123456',
    '/var/lib/dpkg/status',
  ])('are none for %s', (path) => expect(explains(path)).toBe(false))

  it('are those of docs/reproducible.md', () => {
    const page = readFileSync(new URL('../../docs/reproducible.md', import.meta.url), 'utf8')
    const rows = page.split('\n').filter((line) => line.startsWith('| `'))
    expect(rows.map((row) => row.split(' | ').at(-1)?.replace(/ \|$/, ''))).toEqual(reasons.map(({ why }) => why))
  })
})
