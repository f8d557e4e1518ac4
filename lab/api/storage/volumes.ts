/** Volume ids and where their files are. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { chmod, rm, rmdir, writeFile } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import type { DiskFormat } from '../../compute/driver.ts'
import type { StorageConfig } from '../../state/types.ts'
import type { Context } from '../context.ts'
import { fail } from '../errors.ts'
import { hasFeature, kindOf } from './kinds.ts'

export type FileKind = 'iso' | 'import' | 'vztmpl' | 'snippets'
const folders: Readonly<Record<FileKind, string>> = {
  iso: 'template/iso',
  import: 'import',
  vztmpl: 'template/cache',
  snippets: 'snippets',
}
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
  /** As the API shows it. */
  readonly format: string
  /** A volume of a storage without folders, such as LVM or ZFS. */
  readonly flat: boolean
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
/** Of storages without folders; the owner is in the name alone. */
const flatName = /^(?!.*\.gone$)(?:(base-(\d+)-[^/\s]+)\/)?((?:vm|base)-(\d+)-[^/\s]+)$/

/** @returns nothing when it is not a volume id at all (`none`, a path, …) */
export function parseVolid(volid: string): Volume | undefined {
  const [, storage = '', rest = ''] = /^([a-z][a-z0-9\-_.]*[a-z0-9]):(.+)$/i.exec(volid) ?? []
  if (storage === '') return undefined
  const file = /^(iso|import|vztmpl|snippets)\/([^/]+)$/.exec(rest)
  if (file !== null) {
    const name = file[2] as string
    return { volid, storage, kind: file[1] as FileKind, name, isBase: false, format: formatOf(name), flat: false }
  }
  const flat = flatName.exec(rest)
  if (flat !== null) {
    const [, base, baseOwner, name = '', owner] = flat
    return {
      volid,
      storage,
      kind: 'images',
      name,
      vmid: Number(owner),
      ...(base === undefined ? {} : { base: { vmid: Number(baseOwner), name: base } }),
      isBase: name.startsWith('base-'),
      format: name.endsWith('.qcow2') ? 'qcow2' : 'raw',
      flat: true,
    }
  }
  const linked = /^(\d+)\/(base-\d+-[^/]+)\/(\d+)\/([^/]+)$/.exec(rest)
  if (linked !== null && imageName.test(linked[4] as string)) {
    const name = linked[4] as string
    return {
      volid,
      storage,
      kind: 'images',
      name,
      vmid: Number(linked[3]),
      base: { vmid: Number(linked[1]), name: linked[2] as string },
      isBase: name.startsWith('base-'),
      format: formatOf(name),
      flat: false,
    }
  }
  const image = /^(\d+)\/([^/]+)$/.exec(rest)
  if (image === null || !imageName.test(image[2] as string)) return undefined
  const name = image[2] as string
  return {
    volid,
    storage,
    kind: 'images',
    name,
    vmid: Number(image[1]),
    isBase: name.startsWith('base-'),
    format: formatOf(name),
    flat: false,
  }
}

/** @throws 500 when it can't be parsed */
export function volumeOf(volid: string): Volume {
  return (
    parseVolid(volid) ??
    fail(
      /^[a-z][a-z0-9\-_.]*[a-z0-9]:.+$/i.test(volid)
        ? `unable to parse directory volume name '${volid.slice(volid.indexOf(':') + 1)}'`
        : `unable to parse volume ID '${volid}'`,
    )
  )
}

/** The same where the storage is known: its plugin has to understand the name. @throws 500 */
export function volumeIn(context: Context, volid: string): Volume {
  const volume = volumeOf(volid)
  const { naming, called } = kindOf(storageConfig(context, volume.storage))
  const fits =
    volume.kind === 'images'
      ? volume.flat === (naming !== 'folder') && (naming === 'base' || !volume.flat || volume.base === undefined)
      : naming === 'folder'
  return fits ? volume : fail(`unable to parse ${called} volume name '${volid.slice(volid.indexOf(':') + 1)}'`)
}

const formatOf = (name: string): string => extname(name).slice(1).toLowerCase()
export const diskFormat = (volume: Volume): DiskFormat => (volume.format === 'qcow2' || volume.format === 'vmdk' ? volume.format : 'raw')
/** Of the file behind it: what a block device would be is a file here, which linked clones can be made of. */
export const fileFormat = (volume: Volume): DiskFormat => (volume.flat ? 'qcow2' : diskFormat(volume))

export function pathOf(context: Context, volid: string): string {
  const volume = volumeIn(context, volid)
  return volume.kind === 'images'
    ? join(imagesFolder(context, volume.storage, volume.vmid as number), volume.name)
    : join(kindFolder(context, volume.storage, volume.kind), volume.name)
}

/** @throws 500 when its storage is disabled */
export function volumeExists(context: Context, volid: string): boolean {
  usableStorage(context, volumeOf(volid).storage)
  return isThere(pathOf(context, volid))
}

/** A volume id on that storage; `base` shows in it where the storage's names have it. */
function volidOf(context: Context, storage: string, vmid: number, name: string, base?: Volume['base']): string {
  switch (kindOf(storageConfig(context, storage)).naming) {
    case 'folder':
      return `${storage}:${base === undefined ? '' : `${base.vmid}/${base.name}/`}${vmid}/${name}`
    case 'base':
      return `${storage}:${base === undefined ? '' : `${base.name}/`}${name}`
    case 'flat':
      return `${storage}:${name}`
  }
}

/** What a name ends with, on this storage. */
const endingOf = (context: Context, storage: string, format: DiskFormat): string =>
  kindOf(storageConfig(context, storage)).naming === 'folder' || format === 'qcow2' ? `.${format}` : ''

interface Place {
  readonly volid: string
  readonly path: string
}

function placeOf(context: Context, storage: string, vmid: number, name: string, base?: Volume['base']): Place {
  return { volid: volidOf(context, storage, vmid, name, base), path: join(imagesFolder(context, storage, vmid), name) }
}

/** A volume id for the next free disk number of that VM, and its path, whose folder is there. @throws 500 for a format that the storage does not have */
export function nextDisk(context: Context, storage: string, vmid: number, format: DiskFormat, base?: Volume['base']): Place {
  const { formats, called } = kindOf(usableStorage(context, storage))
  if (formats.length === 0) fail(`can't allocate space in ${called} storage`)
  if (!formats.includes(format) && base === undefined) fail(`unsupported format '${format}'`)
  const folder = imagesFolder(context, storage, vmid)
  mkdirSync(folder, { recursive: true })
  const taken = new Set(readdirSync(folder).flatMap((file) => /^(?:vm|base)-\d+-disk-(\d+)(?:\.|$)/.exec(file)?.[1] ?? []))
  let number = 0
  while (taken.has(String(number))) number += 1
  return placeOf(context, storage, vmid, `vm-${vmid}-disk-${number}${endingOf(context, storage, format)}`, base)
}

/** The cloud-init volume of a VM. */
export function cloudinitVolume(context: Context, storage: string, vmid: number, wished: DiskFormat | undefined): Place {
  const { naming } = kindOf(usableStorage(context, storage))
  mkdirSync(imagesFolder(context, storage, vmid), { recursive: true })
  return placeOf(
    context,
    storage,
    vmid,
    `vm-${vmid}-cloudinit${endingOf(context, storage, wished ?? (naming === 'folder' ? 'qcow2' : 'raw'))}`,
  )
}

/**
 * Volume ids that some VM uses and that are linked to this one, as far as their names tell: on LVM-thin they do not, and
 * Proxmox deletes a base volume there whatever was made from it.
 */
export function linkedTo(context: Context, volid: string): string[] {
  const { storage, flat, vmid, name } = volumeOf(volid)
  const prefix = `${storage}:${flat ? name : `${vmid}/${name}`}/`
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
  if (volume.isBase && linkedTo(context, volid).length > 0)
    fail(`base volume '${volid.slice(volid.indexOf(':') + 1)}' is still in use by linked clones`)
  const path = pathOf(context, volid)
  if (!isThere(path)) return
  if (volume.kind !== 'images') return rm(path, { force: true })
  // A linked clone of LVM-thin lives on without its base; its file can't.
  if (volume.flat && volume.isBase && (await isBacking(context, volume.storage, path))) return writeFile(`${path}${gone}`, '')
  const backing = volume.flat && !volume.isBase ? (await context.driver.volumes.info(path).catch(() => undefined))?.backing : undefined
  await removeFile(context, path)
  if (backing !== undefined && existsSync(`${backing}${gone}`) && !(await isBacking(context, volume.storage, backing))) {
    await rm(`${backing}${gone}`)
    await removeFile(context, backing)
  }
}

/** Beside the file of a volume that is gone, but for what is linked to it. */
const gone = '.gone'
const isThere = (path: string): boolean => existsSync(path) && !existsSync(`${path}${gone}`)

async function isBacking(context: Context, storage: string, path: string): Promise<boolean> {
  for (const one of imageFiles(context, storage)) {
    if (one.path !== path && (await context.driver.volumes.info(one.path).catch(() => undefined))?.backing === path) return true
  }
  return false
}

async function removeFile(context: Context, path: string): Promise<void> {
  // A base is read-only.
  await chmod(path, 0o600)
  await context.driver.volumes.remove(path)
  await rmdir(dirname(path)).catch(() => undefined) // others are still in it
}

/** Renames a volume for another owner (reassign). @returns the new volume id */
export async function renameVolume(context: Context, volid: string, target: number): Promise<string> {
  const volume = volumeIn(context, volid)
  const next = nextDisk(context, volume.storage, target, diskFormat(volume), volume.base)
  const from = pathOf(context, volid)
  await context.driver.volumes.rename(from, next.path)
  await rmdir(dirname(from)).catch(() => undefined) // others are still in it
  return next.volid
}

/** `vm-…` → `base-…`, read-only; where the storage has no templates nothing happens, as on PVE. @returns the new volume id */
export async function makeBase(context: Context, volid: string): Promise<string> {
  const volume = volumeIn(context, volid)
  if (volume.isBase || !hasFeature(storageConfig(context, volume.storage), 'template', volume)) return volid
  const name = volume.name.replace(/^vm-/, 'base-')
  const from = pathOf(context, volid)
  const to = join(dirname(from), name)
  await context.driver.volumes.rename(from, to)
  await chmod(to, 0o444)
  return volidOf(context, volume.storage, volume.vmid as number, name, volume.base)
}

interface ImageFile {
  readonly vmid: number
  readonly name: string
  readonly path: string
}

function imageFiles(context: Context, storage: string, vmid?: number): ImageFile[] {
  const root = join(storageFolder(context, storage), 'images')
  if (!existsSync(root)) return []
  const isImage = kindOf(storageConfig(context, storage)).naming === 'folder' ? imageName : flatName
  const owners = readdirSync(root).filter((name) => /^\d+$/.test(name) && (vmid === undefined || +name === vmid))
  return owners.flatMap((owner) =>
    readdirSync(join(root, owner))
      .filter((name) => isImage.test(name) && isThere(join(root, owner, name)))
      .sort()
      .map((name) => ({ vmid: +owner, name, path: join(root, owner, name) })),
  )
}

/** All image volume ids of a storage, of one VM if given. */
export async function imageVolumes(
  context: Context,
  storage: string,
  vmid?: number,
): Promise<{ volid: string; vmid: number; path: string }[]> {
  const found: { volid: string; vmid: number; path: string }[] = []
  for (const { vmid: owner, name, path } of imageFiles(context, storage, vmid)) {
    const mayBeLinked = !name.includes('-cloudinit') && !/\.(raw|vmdk)$/.test(name)
    const backing = mayBeLinked ? (await context.driver.volumes.info(path).catch(() => undefined))?.backing : undefined
    const base = backing === undefined ? undefined : { vmid: Number(basename(dirname(backing))), name: basename(backing) }
    found.push({ volid: volidOf(context, storage, owner, name, base), vmid: owner, path })
  }
  return found
}
