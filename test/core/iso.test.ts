import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { renderIso } from '../../core/formats/iso.ts'
import { readIso } from '../../lab/iso/read.ts'

const seed = new Map<string, string>([
  ['meta-data', 'instance-id: iid-1\n'],
  ['user-data', '#cloud-config\n'],
  ['network-config', 'version: 2\n'],
  ['network-config-2', ''],
  ['golden/seed.json', '{}'],
  ['golden/tls/public.pem', 'x'.repeat(5000)],
  ['golden/ssh/ssh_host_ed25519_key', 'key'],
  ['golden/ssh/ssh_host_ed25519_key.pub', 'pub'],
])

const canMount =
  process.getuid?.() === 0 && existsSync('/dev/loop-control') && readFileSync('/proc/filesystems', 'utf8').includes('iso9660')
const hasXorriso = spawnSync('xorriso', ['-version']).status === 0

describe('renderIso', () => {
  it('writes what the lab reads back by Rock Ridge names', () => {
    const image = readIso(renderIso('cidata', seed))
    expect(image.label).toBe('cidata')
    expect(image.names).toBe('rock-ridge')
    expect(Object.fromEntries([...image.files].map(([path, content]) => [path, content.toString()]))).toEqual(Object.fromEntries(seed))
    expect([...image.folders].sort()).toEqual(['golden', 'golden/ssh', 'golden/tls'])
  })

  it('gives the same bytes for the same files in any order', () => {
    expect(renderIso('cidata', new Map([...seed].reverse())).equals(renderIso('cidata', seed))).toBe(true)
  })

  it('reads back whatever files there are', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}$/)
    const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
    fc.assert(
      fc.property(fc.dictionary(path, fc.uint8Array({ maxLength: 5000 }), { maxKeys: 40 }), (wanted) => {
        const paths = Object.keys(wanted)
        fc.pre(!paths.some((one) => paths.some((other) => other.startsWith(`${one}/`))))
        const image = readIso(renderIso('cidata', new Map(Object.entries(wanted))))
        expect([...image.files.keys()].sort()).toEqual(paths.sort())
        for (const [key, content] of image.files) expect(Buffer.compare(content, Buffer.from(wanted[key]!))).toBe(0)
      }),
      { numRuns: 60 },
    )
  })

  it.each(['../up', 'a//b', '', 'with space', '/root', 'x'.repeat(61)])('refuses the path %j', (path) => {
    expect(() => renderIso('cidata', new Map([[path, '']]))).toThrow(/not a path/)
  })

  it('refuses a file where a folder is needed', () => {
    expect(() =>
      renderIso(
        'cidata',
        new Map([
          ['golden', ''],
          ['golden/seed.json', ''],
        ]),
      ),
    ).toThrow(/is a f/)
  })

  it.skipIf(!canMount)('is mounted by Linux with long names and for root only (needs root, loop devices and iso9660 in the kernel)', () => {
    const work = mkdtempSync(join(tmpdir(), 'golden-iso-'))
    try {
      const file = join(work, 'seed.iso')
      const mounted = join(work, 'mnt')
      writeFileSync(file, renderIso('cidata', seed))
      // In a mount namespace of its own, so that nothing stays mounted whatever happens.
      const listing = execFileSync(
        'unshare',
        [
          '--mount',
          'sh',
          '-euc',
          'mkdir "$2"; mount -o loop,ro -t iso9660 "$1" "$2"; cd "$2"; find . -type f -exec stat -c "%a %u %s %n" {} + | sort -k4; cat golden/tls/public.pem | wc -c',
          'sh',
          file,
          mounted,
        ],
        { encoding: 'utf8' },
      )
      const expected = [...seed].sort(([a], [b]) => (a < b ? -1 : 1)).map(([path, content]) => `400 0 ${content.length} ./${path}`)
      expect(listing.trim().split('\n').slice(0, -1).sort()).toEqual(expected.sort())
      expect(listing.trim().split('\n').at(-1)).toBe('5000')
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  })

  it.skipIf(!hasXorriso)('is read by xorriso with long names and modes (needs xorriso)', () => {
    const work = mkdtempSync(join(tmpdir(), 'golden-iso-'))
    try {
      const file = join(work, 'seed.iso')
      writeFileSync(file, renderIso('cidata', seed))
      const { stdout, stderr, status } = spawnSync('xorriso', ['-indev', file, '-find', '/', '-type', 'f', '-exec', 'lsdl', '--'], {
        encoding: 'utf8',
      })
      expect(status).toBe(0)
      expect(stderr).not.toMatch(/WARNING|FAILURE|SORRY/)
      const listed = stdout
        .trim()
        .split('\n')
        .map((line) => line.replace(/^(\S+).*'\/(.*)'$/, '$1 $2'))
      expect(listed.sort()).toEqual([...seed.keys()].map((path) => `-r-------- ${path}`).sort())
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  })
})
