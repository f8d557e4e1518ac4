import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cached, cachePath } from '../../lab/debian/cache.ts'
import { command, confined } from '../../lab/debian/command.ts'
import { embedGrub, makeDisk } from '../../lab/debian/disk.ts'
import { blobPath, readLayout, writeImage } from '../../lab/debian/oci.ts'
import { missingPackages } from '../../lab/debian/packages.ts'
import { fillStorage } from '../../lab/debian/registry.ts'
import { defaultCacheDir, mirrorOf } from '../../lab/debian/settings.ts'

const notRoot = process.getuid?.() !== 0
const noDiskTools = notRoot || missingPackages(['e2fsprogs', 'fdisk', 'util-linux']).length > 0
const EPOCH = 1_700_000_000
const quiet = () => {}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-debian-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A tree with all that a layer has to carry; its times differ from call to call. */
async function makeTree(name: string, text = 'hello\n'): Promise<string> {
  const tree = join(folder, name)
  await mkdir(join(tree, 'usr/bin'), { recursive: true })
  await writeFile(join(tree, 'usr/bin/program'), text, { mode: 0o755 })
  await writeFile(join(tree, 'a'.repeat(180)), 'a long name')
  await link(join(tree, 'usr/bin/program'), join(tree, 'usr/bin/twin'))
  await symlink('usr/bin', join(tree, 'bin'))
  await utimes(join(tree, 'usr/bin/program'), new Date(), new Date(Date.now() - Math.random() * 1e9))
  return tree
}

describe('container images', () => {
  const config = { Entrypoint: ['/usr/bin/program'], User: '1000' }
  const write = async (tree: string, layout: string) => writeImage({ tree, layout: join(folder, layout), tag: '1', config, epoch: EPOCH })

  it('the same files and settings give the same digest, whenever they were written', async () => {
    const first = await write(await makeTree('tree-1'), 'layout-1')
    const second = await write(await makeTree('tree-2'), 'layout-2')
    const other = await write(await makeTree('tree-3', 'hallo\n'), 'layout-3')
    expect(second).toBe(first)
    expect(other).not.toBe(first)
  })

  it('a layout is complete: every blob is what its name says, the layer unpacks to the promised content', async () => {
    const layout = join(folder, 'layout-4')
    const digest = await write(await makeTree('tree-4'), 'layout-4')
    const [image] = await readLayout(layout)
    expect(image).toMatchObject({ digest, tag: '1' })
    const bytes = await Promise.all(image!.blobs.map((blob) => readFile(blobPath(layout, blob))))
    expect(bytes.map((blob) => `sha256:${createHash('sha256').update(blob).digest('hex')}`)).toEqual(image!.blobs)
    const [, configuration, layer] = bytes
    const {
      rootfs,
      config: written,
      created,
    } = JSON.parse(configuration!.toString()) as { rootfs: { diff_ids: string[] }; config: unknown; created: string }
    expect(written).toEqual(config)
    expect(created).toBe('2023-11-14T22:13:20Z')
    expect(rootfs.diff_ids).toEqual([`sha256:${createHash('sha256').update(zstdDecompressSync(layer!)).digest('hex')}`])
  })

  it("a registry's storage leads from repository, tag and digest to every blob, without a second copy", async () => {
    const layouts = join(folder, 'layouts')
    const digest = await write(await makeTree('tree-5'), 'layouts/thing')
    const storage = join(folder, 'storage')
    await fillStorage(layouts, storage)
    await fillStorage(layouts, storage) // again, as at the next start
    const base = join(storage, 'docker/registry/v2')
    const thing = join(base, 'repositories/thing')
    expect(await readFile(join(thing, '_manifests/tags/1/current/link'), 'utf8')).toBe(digest)
    expect(await readFile(join(thing, '_manifests/revisions', ...digest.split(':'), 'link'), 'utf8')).toBe(digest)
    const [image] = await readLayout(join(layouts, 'thing'))
    for (const blob of image!.blobs) {
      const [, hex = ''] = blob.split(':')
      const data = join(base, 'blobs/sha256', hex.slice(0, 2), hex, 'data')
      expect((await stat(data)).ino).toBe((await stat(blobPath(join(layouts, 'thing'), blob))).ino)
      expect(await readFile(join(thing, '_layers/sha256', hex, 'link'), 'utf8')).toBe(blob)
    }
  })
})

describe('cache', () => {
  const entry = (inputs: unknown) => ({ cacheDir: join(folder, 'cache'), name: 'thing', inputs })

  it('two that want the same build it once', async () => {
    let builds = 0
    const build = async (part: string) => {
      builds++
      await writeFile(join(part, 'file'), 'made')
    }
    const [one, two] = await Promise.all([cached(entry('same'), build, quiet), cached(entry('same'), build, quiet)])
    expect(one).toBe(two)
    expect(await cached(entry('same'), build, quiet)).toBe(one)
    expect(builds).toBe(1)
    expect(await readFile(join(one, 'file'), 'utf8')).toBe('made')
    expect(cachePath(entry('other'))).not.toBe(one)
  })

  it('a build that fails leaves nothing, and what a killed process left is removed', async () => {
    const cache = join(folder, 'cache/debian')
    await mkdir(cache, { recursive: true })
    const dead = 4_194_305 // above the highest pid_max there is, proc_sys_kernel(5)
    await mkdir(join(cache, `thing-1234.${dead}.part`), { recursive: true })
    await mkdir(`${cachePath(entry('killed'))}.lock`)
    await writeFile(join(`${cachePath(entry('killed'))}.lock`, 'pid'), String(dead))
    await expect(
      cached(
        entry('killed'),
        async () => {
          throw new Error('no space')
        },
        quiet,
      ),
    ).rejects.toThrow('no space')
    expect((await readdir(cache)).filter((name) => name.endsWith('.part') || name.endsWith('.lock'))).toEqual([])
    expect(existsSync(cachePath(entry('killed')))).toBe(false)
  })

  it('what nobody used for long goes when something newer is built; what is used stays', async () => {
    const long = new Date(Date.now() - 30 * 24 * 3600 * 1000)
    const [unused, used] = [await cached(entry('unused'), async () => {}, quiet), await cached(entry('used'), async () => {}, quiet)]
    for (const path of [unused, used]) await utimes(path, long, long)
    await cached(entry('used'), async () => {}, quiet)
    await cached(entry('newest'), async () => {}, quiet)
    expect([existsSync(unused), existsSync(used)]).toEqual([false, true])
  })
})

describe('settings', () => {
  it('a mirror of the user brings its security tree along', () => {
    expect(mirrorOf(undefined, {})).toEqual({ main: 'http://deb.debian.org/debian', security: 'http://deb.debian.org/debian-security' })
    expect(mirrorOf(undefined, { GOLDEN_DEBIAN_MIRROR: 'http://mirror.example/debian/' })).toEqual({
      main: 'http://mirror.example/debian',
      security: 'http://mirror.example/debian-security',
    })
    expect(mirrorOf('http://mirror.example/d', { GOLDEN_DEBIAN_SECURITY_MIRROR: 'http://mirror.example/s' })).toEqual({
      main: 'http://mirror.example/d',
      security: 'http://mirror.example/s',
    })
  })

  it('the cache is where XDG says, if that is absolute', () => {
    expect(defaultCacheDir({ XDG_CACHE_HOME: '/c', HOME: '/h' })).toBe('/c/serena-golden')
    expect(defaultCacheDir({ XDG_CACHE_HOME: 'c', HOME: '/h' })).toBe('/h/.cache/serena-golden')
  })
})

describe('commands', () => {
  it('a failure names the program and quotes the end of its errors', async () => {
    await expect(command(['sh', '-c', 'echo why it failed >&2; exit 3'])).rejects.toMatchObject({
      code: 'build-failed',
      message: expect.stringMatching(/ended with 3[\s\S]*why it failed/) as string,
    })
    await expect(command(['no-such-program-here'])).rejects.toMatchObject({ code: 'program-missing' })
  })

  it.skipIf(notRoot)('an aborted build ends with all it started (needs root)', async () => {
    const abort = new AbortController()
    const started = Promise.withResolvers<void>()
    const running = command([...confined, 'sh', '-c', '(sleep 987654 & echo started; wait)'], {
      signal: abort.signal,
      onLine: () => started.resolve(),
    })
    await started.promise
    abort.abort(new Error('stopped'))
    await expect(running).rejects.toThrow('stopped')
    expect(
      (await command(['sh', '-c', 'for f in /proc/[0-9]*/cmdline; do tr "\\0" " " < "$f" 2>/dev/null; echo; done'])).stdout,
    ).not.toMatch(/^sleep 987654/m)
  })
})

describe('disk', () => {
  /** Blank images with the fields that GRUB 2.12's have. */
  const grub = (sectors = 40) => {
    const boot = Buffer.alloc(512)
    boot.writeBigUInt64LE(1n, 0x5c)
    boot[0x64] = 0xff
    boot.writeUInt16LE(0x05eb, 0x66)
    const core = Buffer.alloc(sectors * 512 - 100, 7)
    core.writeBigUInt64LE(2n, 500)
    core.writeUInt16LE(sectors - 1, 508)
    core.writeUInt16LE(0x820, 510)
    return { boot, core }
  }

  it('GRUB is told where its core is', () => {
    const images = grub()
    const { boot, core } = embedGrub(images.boot, images.core, { start: 2048, sectors: 100 })
    expect(boot.readBigUInt64LE(0x5c)).toBe(2048n)
    expect(core.readBigUInt64LE(500)).toBe(2049n)
    expect(core.length % 512).toBe(0)
  })

  it('an unknown GRUB, or one too large for its partition, is refused', () => {
    const { boot, core } = grub()
    expect(() => embedGrub(boot, core, { start: 2048, sectors: 39 })).toThrow(/GRUB/)
    expect(() => embedGrub(Buffer.alloc(512), core, { start: 2048, sectors: 100 })).toThrow(/GRUB/)
  })

  it.skipIf(noDiskTools)('a disk has a sound table, file system and boot code (needs root, e2fsprogs, fdisk)', async () => {
    const tree = join(folder, 'root')
    const images = grub()
    await mkdir(join(tree, 'boot/grub/i386-pc'), { recursive: true })
    await writeFile(join(tree, 'boot/grub/i386-pc/boot.img'), images.boot)
    await writeFile(join(tree, 'boot/grub/i386-pc/core.img'), images.core)
    await writeFile(join(tree, 'proof'), 'here')
    const file = join(folder, 'disk.raw')
    await makeDisk({ tree, file, mebibytes: 64, uuid: '6f1d4c52-2b7e-4c0e-9a51-13d3b1a7e1f0' })
    expect((await command(['sfdisk', '--verify', file])).stdout).toContain('No errors detected')
    const bytes = await readFile(file)
    expect(bytes.readUInt16LE(510)).toBe(0xaa55)
    expect(bytes.subarray(2048 * 512, 2048 * 512 + 400)).toEqual(images.core.subarray(0, 400))
    await writeFile(join(folder, 'part'), bytes.subarray(8192 * 512, 63 * 1024 * 1024))
    await command(['e2fsck', '-fn', join(folder, 'part')])
    expect((await command(['debugfs', '-R', 'cat /proof', join(folder, 'part')])).stdout).toBe('here')
  })
})
