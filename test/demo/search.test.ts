import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { missingPackages } from '../../lab/debian/packages.ts'
import { withDisk } from '../../demo/disk.ts'
import { occurring } from '../../demo/search.ts'

const canary = 'canary-5f2c81/+&'
const almost = 'canary-5f2c82/+&'

/** What a disk or a log may do to a text. */
const encoders: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  base64: (text) => Buffer.from(text).toString('base64'),
  base64url: (text) => Buffer.from(text).toString('base64url'),
  hex: (text) => Buffer.from(text).toString('hex'),
  percent: (text) => encodeURIComponent(text),
}

it('a canary is found wherever it lies, in every form, over the borders of the parts that are read', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 200 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      fc.constantFrom(...Object.keys(encoders)),
      async (offset, size, planted, form) => {
        const text = encoders[form]?.(`${'x'.repeat(offset)}${planted ? canary : almost}${'y'.repeat(50)}`) ?? ''
        const disk = Buffer.concat([Buffer.alloc(100), Buffer.from(text)])
        async function* parts(): AsyncGenerator<Uint8Array> {
          for (let at = 0; at < disk.length; at += size) yield disk.subarray(at, at + size)
        }
        expect((await occurring(parts(), [canary, 'never'])).has(canary)).toBe(planted)
      },
    ),
  )
})

const noDiskTools = missingPackages(['e2fsprogs', 'fdisk', 'qemu-utils']).length > 0

it.skipIf(noDiskTools)(
  'a canary planted on a disk is found there, and the image itself stays as it was (needs e2fsprogs, fdisk, qemu-utils)',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'golden-disk-'))
    try {
      const image = join(folder, 'image.raw')
      await writeFile(image, '')
      await truncate(image, 24 << 20)
      execFileSync('sfdisk', ['--quiet', image], { input: 'start=2048, size=40960\n' })
      execFileSync('mke2fs', ['-q', '-t', 'ext4', '-E', `offset=${2048 * 512}`, image, '20M'], { stdio: 'ignore' })
      const before = execFileSync('sha256sum', [image])
      await withDisk(image, folder, async (disk) => {
        expect(await disk.search([canary])).toEqual(new Set())
        await disk.plant('/lost+found/planted', Buffer.from(`before ${canary}`).toString('base64'))
        await disk.plant('/planted', almost)
        expect(await disk.file('/planted')).toBe(almost)
        expect(await disk.search([canary, almost, 'never'])).toEqual(new Set([canary, almost]))
      })
      await expect(withDisk(image, folder, (disk) => disk.search([canary]), AbortSignal.abort())).rejects.toMatchObject({
        name: 'AbortError',
      })
      expect(execFileSync('sha256sum', [image])).toEqual(before)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
)
