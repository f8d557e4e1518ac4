/** Volume ids and where their files are (PVE::Storage::DirPlugin). */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { chmod, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import type { DiskFormat } from '../../compute/driver.ts'
import type { StorageConfig } from '../../state/types.ts'
import type { Context } from '../context.ts'
import { fail } from '../errors.ts'

export type FileKind = 'iso' | 'import' | 'vztmpl' | 'snippets'
const folders: Readonly<Record<FileKind, string>> = { iso: 'template/iso', import: 'import', vztmpl: 'template/cache', snippets: 'snippets' }
export const fileKinds = Object.keys(folders) as FileKind[]

export interface Volume {
  readonly volid: string
  readonly storage: string
  readonly kind: 'images' | FileKind
  readonly name: string
  /** Owner of an image. */
  readonly vmid?: number
  /** `base-100-disk-0.qcow2` and its owner, of a linked clone. */
  readonly base?: { readonly vmid: number; readonly name: string }
  readonly isBase: boolean
  readonly format: string
}

/** The storage's configuration. @throws 500 when there is none */
export const storageConfig = (context: Context, id: string): StorageConfig =>
  context.state.storages.value[id] ?? fail(`storage '${id}' does not exist`)

/** One that is to be read or written. @throws 500 for a disabled one too */
export function usableStorage(context: Context, id: string): StorageConfig {
  const config = storageConfig(context, id)
  return config.disable ? fail(`storage '${id}' is disabled`) : config
}

/** Files of the storages are in the lab's own folder, whatever path their configuration names. */
export const storageFolder = (context: Context, id: string): string => join(context.state.folder, 'storage', id)
export const kindFolder = (context: Context, id: string, kind: FileKind): string => join(storageFolder(context, id), folders[kind])
export const imagesFolder = (context: Context, id: string, vmid: number): string => join(storageFolder(context, id), 'images', String(vmid))

const imageName = /^(vm|base)-(\d+)-[^/\s]+\.(raw|qcow2|vmdk)$/

/** @returns nothing when it is not a volume id at all (`none`, a path, …) */
export function parseVolid(volid: string): Volume | undefined {
  const [, storage = '', rest = ''] = /^([a-z][a-z0-9\-_.]*[a-z0-9]):(.+)$/i.exec(volid) ?? []
  if (storage === '') return undefined
  const file = /^(iso|import|vztmpl|snippets)\/([^/]+)$/.exec(rest)
  if (file !== null) {
    const name = file[2] as string
    return { volid, storage, kind: file[1] as FileKind, name, isBase: false, format: formatOf(name) }
  }
  const linked = /^(\d+)\/(base-\d+-[^/]+)\/(\d+)\/([^/]+)$/.exec(rest)
  if (linked !== null && imageName.test(linked[4] as string)) {
    const name = linked[4] as string
    return {
      volid, storage, kind: 'images', name, vmid: Number(linked[3]), base: { vmid: Number(linked[1]), name: linked[2] as string },
      isBase: name.startsWith('base-'), format: formatOf(name),
    }
  }
  const image = /^(\d+)\/([^/]+)$/.exec(rest)
  if (image === null || !imageName.test(image[2] as string)) return undefined
  const name = image[2] as string
  return { volid, storage, kind: 'images', name, vmid: Number(image[1]), isBase: name.startsWith('base-'), format: formatOf(name) }
}

/** @throws 500 when it can't be parsed */
export function volumeOf(volid: string): Volume {
  return parseVolid(volid) ?? fail(/^[a-z][a-z0-9\-_.]*[a-z0-9]:.+$/i.test(volid) ? `unable to parse directory volume name '${volid.slice(volid.indexOf(':') + 1)}'` : `unable to parse volume ID '${volid}'`)
}

const formatOf = (name: string): string => extname(name).slice(1).toLowerCase()
export const diskFormat = (volume: Volume): DiskFormat => (volume.format === 'qcow2' || volume.format === 'vmdk' ? volume.format : 'raw')

export function pathOf(context: Context, volid: string): string {
  const volume = volumeOf(volid)
  storageConfig(context, volume.storage)
  return volume.kind === 'images' ? join(imagesFolder(context, volume.storage, volume.vmid as number), volume.name) : join(kindFolder(context, volume.storage, volume.kind), volume.name)
}

/** @throws 500 when its storage is disabled */
export function volumeExists(context: Context, volid: string): boolean {
  usableStorage(context, volumeOf(volid).storage)
  return existsSync(pathOf(context, volid))
}

/** What `STORAGE:` plus the owner's folder is called in a volume id. */
const volidOf = (storage: string, vmid: number, name: string, base?: Volume['base']): string =>
  base === undefined ? `${storage}:${vmid}/${name}` : `${storage}:${base.vmid}/${base.name}/${vmid}/${name}`

/** A volume id for the next free disk number of that VM, and its path, whose folder is there. */
export function nextDisk(context: Context, storage: string, vmid: number, format: DiskFormat, base?: Volume['base']): { volid: string; path: string } {
  usableStorage(context, storage)
  const folder = imagesFolder(context, storage, vmid)
  mkdirSync(folder, { recursive: true })
  const taken = new Set(readdirSync(folder).flatMap((file) => /^(?:vm|base)-\d+-disk-(\d+)\./.exec(file)?.[1] ?? []))
  let number = 0
  while (taken.has(String(number))) number += 1
  const name = `vm-${vmid}-disk-${number}.${format}`
  return { volid: volidOf(storage, vmid, name, base), path: join(folder, name) }
}

/** The cloud-init volume of a VM. */
export function cloudinitVolume(context: Context, storage: string, vmid: number, format: DiskFormat): { volid: string; path: string } {
  usableStorage(context, storage)
  const folder = imagesFolder(context, storage, vmid)
  mkdirSync(folder, { recursive: true })
  const name = `vm-${vmid}-cloudinit.${format}`
  return { volid: volidOf(storage, vmid, name), path: join(folder, name) }
}

/** Volume ids that some VM uses and that are linked to this one. */
export function linkedTo(context: Context, volid: string): string[] {
  const prefix = `${volid.replace(/^([^:]+:)(?:\d+\/base-[^/]+\/)?/, '$1')}/`
  const found = new Set<string>()
  for (const { value } of context.state.vms.values()) {
    for (const option of [...Object.values(value.config), ...Object.values(value.pending)]) {
      const used = option.split(',')[0] as string
      if (used.startsWith(prefix)) found.add(used)
    }
  }
  return [...found]
}

/** Removes the file, and the owner's folder when that was the last one. @throws 500 while linked clones use it, and when its storage is disabled */
export async function freeVolume(context: Context, volid: string): Promise<void> {
  usableStorage(context, volumeOf(volid).storage)
  await takeBack(context, volid)
}

/** The same for a volume that was made just now, whatever has become of its storage since. */
export async function takeBack(context: Context, volid: string): Promise<void> {
  const volume = volumeOf(volid)
  if (volume.isBase && linkedTo(context, volid).length > 0) fail(`base volume '${volid.slice(volid.indexOf(':') + 1)}' is still in use by linked clones`)
  const path = pathOf(context, volid)
  if (!existsSync(path)) return
  if (volume.kind !== 'images') return rm(path, { force: true })
  if (volume.isBase) await chmod(path, 0o600)
  await context.driver.volumes.remove(path)
  await rmdir(dirname(path)).catch(() => undefined) // others are still in it
}

/** Renames a volume for another owner (reassign). @returns the new volume id */
export async function renameVolume(context: Context, volid: string, target: number): Promise<string> {
  const volume = volumeOf(volid)
  const next = nextDisk(context, volume.storage, target, diskFormat(volume), volume.base)
  const from = pathOf(context, volid)
  await context.driver.volumes.rename(from, next.path)
  await rmdir(dirname(from)).catch(() => undefined) // others are still in it
  return next.volid
}

/** `vm-…` → `base-…`, read-only. @returns the new volume id */
export async function makeBase(context: Context, volid: string): Promise<string> {
  const volume = volumeOf(volid)
  if (volume.isBase) return volid
  const name = volume.name.replace(/^vm-/, 'base-')
  const from = pathOf(context, volid)
  const to = join(dirname(from), name)
  await context.driver.volumes.rename(from, to)
  await chmod(to, 0o444)
  return volidOf(volume.storage, volume.vmid as number, name, volume.base)
}

/** All image volume ids of a storage, of one VM if given. */
export async function imageVolumes(context: Context, storage: string, vmid?: number): Promise<{ volid: string; vmid: number; path: string }[]> {
  const root = join(storageFolder(context, storage), 'images')
  if (!existsSync(root)) return []
  const owners = readdirSync(root).filter((name) => /^\d+$/.test(name) && (vmid === undefined || +name === vmid))
  const found: { volid: string; vmid: number; path: string }[] = []
  for (const owner of owners) {
    for (const name of readdirSync(join(root, owner)).filter((file) => imageName.test(file)).sort()) {
      const path = join(root, owner, name)
      const backing = name.endsWith('.qcow2') && !name.includes('-cloudinit.') ? (await context.driver.volumes.info(path).catch(() => undefined))?.backing : undefined
      const base = backing === undefined ? undefined : { vmid: Number(basename(dirname(backing))), name: basename(backing) }
      found.push({ volid: volidOf(storage, +owner, name, base), vmid: +owner, path })
    }
  }
  return found
}
