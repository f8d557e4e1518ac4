/** The image that a demo keeps for the next one. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { imageKey, isKept, keepImage, takeImage } from '../../demo/kept-image.ts'
import { listImages } from '../../images/catalog.ts'
import { manifestFile } from '../../images/manifest.ts'
import { parseRecord, type TemplateRecord } from '../../images/record.ts'
import { requireTrusted } from '../../images/trust.ts'
import { lockFile } from '../../images/lock.ts'
import { startRolloutLab, type RolloutLab } from '../rollout/lab.ts'

let t: RolloutLab
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-kept-'))
  t = await startRolloutLab({}, 'one-vm')
})
afterAll(async () => {
  await t?.close()
  await rm(folder, { recursive: true, force: true })
})

it('is what was baked, for inputs that are the same to the byte', async () => {
  const project = join(folder, 'clone')
  for (const part of [
    'core',
    'images/guest',
    'lab/api',
    'lab/compute/fake',
    'packer',
    'proxmox',
    'tools/go',
    'scripts/bake.ts',
    'demo/lab-site.ts',
    'releases',
    'settings',
    'package-lock.json',
  ]) {
    await cp(join(resolve(import.meta.dirname, '../..'), part), join(project, part), { recursive: true })
  }
  const key = await imageKey(t.site, 'lock', project)
  expect(await imageKey(t.site, 'lock', project)).toBe(key)
  await writeFile(join(project, 'lab/compute/fake/guest.ts'), 'another model')
  await writeFile(join(project, 'lab/README.md'), 'other words')
  expect(await imageKey(t.site, 'lock', project)).toBe(key)
  const others = [
    await imageKey(t.site, 'other lock', project),
    await imageKey({ ...t.site, image: { ...t.site.image, build: { ...t.site.image.build, memoryMiB: 1 } } }, 'lock', project),
  ]
  await writeFile(join(project, 'packer/provision/more.sh'), '')
  others.push(await imageKey(t.site, 'lock', project))
  expect(new Set([key, ...others]).size).toBe(4)
})

it('comes back as the same VM, and is the only one that is kept', async () => {
  const env = { XDG_CACHE_HOME: folder }
  const place = { administrator: t.root, node: 'pve', site: t.site }
  await t.addImage(9001)
  const config = async (): Promise<Record<string, unknown>> => {
    const {
      digest: _,
      meta: __,
      smbios1: ___,
      vmgenid: ____,
      scsi0,
      ...rest
    } = await t.root.get<Record<string, unknown>>('/nodes/pve/qemu/9001/config')
    // The file of a model's disk is no image, so its size is another.
    return { ...rest, scsi0: String(scsi0).replace(/,size=\w+/, '') }
  }
  const before = await config()
  const lock = lockFile(t.folder)
  const locked = 'the lock that was baked'
  await writeFile(lock, locked)
  const manifest = join(t.folder, manifestFile(String(before.name)))
  await mkdir(dirname(manifest), { recursive: true })
  await writeFile(manifest, 'what it holds')
  await keepImage(place, env, 'other', 9001, t.folder)
  await keepImage(place, env, 'key', 9001, t.folder)
  expect(await readdir(join(folder, 'serena-golden/demo-image'))).toEqual(['key'])
  expect([isKept(env, 'key'), isKept(env, 'other')]).toEqual([true, false])
  await t.root.task(await t.root.del<string>('/nodes/pve/qemu/9001'))
  await writeFile(lock, 'another one')
  await rm(manifest)
  await takeImage(place, env, 'key', t.folder)
  expect(await readFile(lock, 'utf8')).toBe(locked)
  expect(await readFile(manifest, 'utf8')).toBe('what it holds')
  const { description: notesBefore, ...settingsBefore } = before
  const { description: notes, ...settings } = await config()
  expect(settings).toEqual(settingsBefore)
  // The site of this demo signs what is there now; all the rest is as it was.
  const recordOf = (text: unknown): TemplateRecord => {
    const parsed = parseRecord(String(text))
    return parsed.ok && parsed.record.kind === 'image' ? parsed.record : expect.fail(String(text))
  }
  const { disk, signature, ...rest } = recordOf(notes)
  const { disk: _disk, signature: _signature, ...restBefore } = recordOf(notesBefore)
  expect(rest).toEqual(restBefore)
  expect([disk?.volume, signature]).toEqual([String(before.scsi0).split(',')[0], expect.any(String)])
  const [image] = (await listImages(t.proxmox, t.site)).images
  expect(await requireTrusted({ site: t.site, folder: t.folder, proxmox: t.proxmox }, image!)).toBe(t.site.name)
  expect(await t.root.get('/nodes/pve/storage/local/content', { content: 'import' })).toEqual([])
})
