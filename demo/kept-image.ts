/**
 * The image of an earlier demo on this computer. A guest without hardware help takes a quarter of an hour to bake; when
 * all that goes into the image and all that bakes it is the same to the byte, the image of that time is taken, with its lock:
 * the state of the distribution's archive moves on by itself, and a demo is not about that.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { cacheFolder, makeFolder } from '../core/folders.ts'
import { lockFile } from '../images/lock.ts'
import { command } from '../lab/debian/command.ts'
import { listImages } from '../images/catalog.ts'
import { manifestFile } from '../images/manifest.ts'
import { vouch } from '../images/vouch.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { storageAt } from '../proxmox/storage.ts'
import { createVm, vmAt, type VmConfig } from '../proxmox/vm.ts'
import type { Site } from '../settings/site.ts'
import { templateDisk } from './template-disk.ts'

/** Whatever takes part in a bake in the lab, the lab included. */
const sources = [
  'core',
  'images',
  'lab',
  'packer',
  'proxmox',
  'tools',
  'scripts/bake.ts',
  'demo/lab-site.ts',
  'releases',
  'settings',
  'package-lock.json',
]

/** Models of guests bake nothing that is kept, and what is written for people nothing at all. */
const takesPart = (path: string): boolean => !path.includes('lab/compute/fake/') && !path.endsWith('.md')

/** @param project the clone's folder. @returns what an image of this site can be told by */
export async function imageKey(site: Site, lock: string, project = resolve(import.meta.dirname, '..')): Promise<string> {
  const { base, build, archives } = site.image
  // Where the base lies on this computer does not matter.
  const hash = createHash('sha256').update(JSON.stringify([base.os, base.sha256, build, archives, lock]))
  for (const source of sources) {
    const path = join(project, source)
    const names = (await stat(path)).isDirectory()
      ? (await readdir(path, { recursive: true, withFileTypes: true }))
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name))
          .filter(takesPart)
      : [path]
    for (const name of names.sort()) {
      const content = await readFile(name)
      hash.update(JSON.stringify([name.slice(project.length), content.length])).update(content)
    }
  }
  return hash.digest('hex').slice(0, 32)
}

const folderOf = (env: NodeJS.ProcessEnv, key: string): string => join(cacheFolder(env), 'demo-image', key)

/** Proxmox gives these to each VM anew. */
const own = new Set(['digest', 'meta', 'smbios1', 'vmgenid', 'template', 'scsi0'])

export interface Place {
  /** With the lab's root token. */
  readonly administrator: Proxmox
  readonly node: string
  readonly site: Site
}

interface Kept {
  readonly vmid: number
  readonly config: VmConfig
}

/** Keeps the template of a VMID and its lock, and no other image. @param folder of the site */
export async function keepImage(
  { administrator, node }: Place,
  env: NodeJS.ProcessEnv,
  key: string,
  vmid: number,
  folder: string,
): Promise<void> {
  const config = await vmAt(administrator, node, vmid).config()
  const path = await templateDisk(administrator, node, vmid)
  const target = folderOf(env, key)
  const parent = resolve(target, '..')
  await makeFolder(parent)
  const part = await mkdtemp(join(parent, 'part-'))
  await command(['qemu-img', 'convert', '-O', 'qcow2', path, join(part, 'disk.qcow2')])
  await writeFile(join(part, 'vm.json'), JSON.stringify({ vmid, config } satisfies Kept))
  await copyFile(lockFile(folder), lockFile(part))
  await copyIfThere(join(folder, manifestFile(String(config.name))), join(part, keptManifest))
  await rm(target, { recursive: true, force: true })
  await rename(part, target)
  for (const other of await readdir(parent)) if (other !== key) await rm(join(parent, other), { recursive: true, force: true })
}

export const isKept = (env: NodeJS.ProcessEnv, key: string): boolean => existsSync(folderOf(env, key))

/** Makes the kept template in this lab, as its bake has made it, signs it for this site, and puts its lock into the site's folder. */
export async function takeImage({ administrator, node, site }: Place, env: NodeJS.ProcessEnv, key: string, folder: string): Promise<void> {
  const kept = folderOf(env, key)
  const { vmid, config } = JSON.parse(await readFile(join(kept, 'vm.json'), 'utf8')) as Kept
  const settings = Object.fromEntries(Object.entries(config).filter(([name]) => !own.has(name)))
  const options = String(config.scsi0)
    .split(',')
    .slice(1)
    .filter((option) => !option.startsWith('size='))
  const filename = `golden-kept-${vmid}.qcow2`
  await administrator.upload({ node, storage: importStorage, content: 'import', filename, data: join(kept, 'disk.qcow2') })
  const volume = `${importStorage}:import/${filename}`
  const disk = [`${site.proxmox.storage.disks}:0`, `import-from=${volume}`, ...options].join(',')
  await administrator.task(await createVm(administrator, node, { ...settings, vmid, pool: site.proxmox.pool, scsi0: disk }))
  await administrator.task(await vmAt(administrator, node, vmid).template())
  await storageAt(administrator, node, importStorage).remove(volume)
  // Its signature is of another demo's key, and of another disk.
  const image = (await listImages(administrator, site)).images.find((one) => one.vmid === vmid)
  if (image === undefined) throw new Error(`what was kept of image ${vmid} is none`)
  await vouch({ site, folder, proxmox: administrator }, image)
  await copyFile(lockFile(kept), lockFile(folder))
  await copyIfThere(join(kept, keptManifest), join(folder, manifestFile(image.name)))
}

/** What an image holds, by which a night tells what the next one has other. */
const keptManifest = 'manifest.json'

async function copyIfThere(from: string, to: string): Promise<void> {
  if (!existsSync(from)) return
  await makeFolder(dirname(to))
  await copyFile(from, to)
}

/** Every lab has it. */
const importStorage = 'local'
