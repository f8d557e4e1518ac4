/** Makes the volumes that drive strings ask for: new disks, imports, cloud-init drives; existing ones get their size. */
import { existsSync, statSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import type { DiskFormat } from '../../compute/driver.ts'
import type { Context } from '../context.ts'
import { fail } from '../errors.ts'
import { formatFor } from '../storage/kinds.ts'
import {
  cloudinitVolume,
  diskFormat,
  fileFormat,
  makeBase,
  nextDisk,
  parseVolid,
  pathOf,
  takeBack,
  storageConfig,
  usableStorage,
  volumeExists,
  volumeIn,
  volumeOf,
} from '../storage/volumes.ts'
import { cloudinitBytes, writeCloudinit } from './cloudinit.ts'
import {
  isCdrom,
  isCloudinit,
  newDiskWish,
  parseDrive,
  printDrive,
  printSize,
  cloudinitStorage,
  wantsCloudinit,
  withOptions,
  type Drive,
} from './drive.ts'
import { driveSlots } from './options.ts'
import type { Config } from './config.ts'

export interface CreateOptions {
  readonly signal: AbortSignal
  /** New disks of a template become base volumes. */
  readonly template: boolean
  /** The configuration that they go into: there may be one cloud-init drive only. */
  readonly config: Config
  /** Where volumes go that name no storage. */
  readonly storage?: string | undefined
  log(line: string): void
}

/**
 * @param wishes slot → drive string
 * @returns slot → drive string as it is stored. When one fails, those made before are removed again.
 */
export async function createDisks(
  context: Context,
  vmid: number,
  wishes: Readonly<Record<string, string>>,
  options: CreateOptions,
): Promise<Config> {
  const made: string[] = []
  const result: Config = {}
  try {
    for (const slot of driveSlots.filter((name) => wishes[name] !== undefined)) {
      const drive = parseDrive(slot, wishes[slot] as string)
      const { drive: stored, created } = await createDisk(context, vmid, slot, drive, options)
      if (created !== undefined) made.push(created)
      result[slot] = printDrive(stored)
    }
    return result
  } catch (error) {
    for (const volid of made) await takeBack(context, volid)
    throw error
  }
}

async function createDisk(
  context: Context,
  vmid: number,
  slot: string,
  drive: Drive,
  options: CreateOptions,
): Promise<{ drive: Drive; created?: string }> {
  if (drive.file === 'none' || drive.file === 'cdrom') return { drive: withOptions(drive, { media: 'cdrom' }) }
  if (wantsCloudinit(drive)) {
    const storage = cloudinitStorage(drive, options.storage)
    const other = Object.keys(options.config).find(
      (name) => name !== slot && driveSlots.includes(name) && isCloudinit(parseDrive(name, options.config[name] as string)),
    )
    if (other !== undefined) fail(`${slot} - cloud-init drive is already attached at '${other}'`)
    const { volid, path } = cloudinitVolume(context, storage, vmid, drive.options.format as DiskFormat | undefined)
    if (!existsSync(path)) writeCloudinit(path, vmid, options.config)
    const { size: _, ...rest } = drive.options
    return { drive: { file: volid, options: { ...rest, media: 'cdrom' } }, created: volid }
  }
  const wish = isCdrom(drive) ? undefined : newDiskWish(drive, options.storage)
  if (wish !== undefined) {
    const wished = drive.options.format as DiskFormat | undefined
    const source = drive.options['import-from']
    const config = storageConfig(context, wish.storage)
    // An import takes the next best format, a new disk none but the one it is told to (RBD knows of none, and does not look).
    const { volid, path } = nextDisk(
      context,
      wish.storage,
      vmid,
      source !== undefined || config.type === 'rbd' ? formatFor(config, wished) : (wished ?? formatFor(config, undefined)),
    )
    const format = fileFormat(volumeOf(volid))
    if (source !== undefined) {
      options.log(`importing disk '${source}' ...`)
      if (!volumeExists(context, source)) fail(`volume '${source}' does not exist`)
      await context.driver.volumes.copy(pathOf(context, source), path, { format, signal: options.signal })
    } else {
      const bytes = Math.trunc(wish.gib * 1024 ** 3)
      if (bytes <= 0) fail(`unable to parse disk size '${wish.gib}'`)
      await context.driver.volumes.create(path, { format, bytes })
    }
    const kept = options.template ? await makeBase(context, volid) : volid
    const { virtualBytes } = await context.driver.volumes.info(pathOf(context, kept))
    options.log(`${slot}: successfully created disk '${kept}'`)
    return { drive: withOptions({ ...drive, file: kept }, { size: printSize(virtualBytes) }), created: kept }
  }
  return { drive: await existing(context, drive) }
}

/** A volume that is there already; its real size goes into the string. */
async function existing(context: Context, drive: Drive): Promise<Drive> {
  if (parseVolid(drive.file) === undefined) fail(`unable to parse volume ID '${drive.file}'`)
  const volume = volumeOf(drive.file)
  if (!volumeExists(context, drive.file)) fail(`volume '${drive.file}' does not exist`)
  if (volume.kind === 'iso') return withOptions(drive, { media: 'cdrom', size: printSize(statSync(pathOf(context, drive.file)).size) })
  if (isCloudinit(drive)) return withOptions(drive, { media: 'cdrom' })
  const { virtualBytes } = await context.driver.volumes.info(pathOf(context, drive.file))
  return withOptions(drive, { size: printSize(virtualBytes) })
}

export interface CopyTarget {
  readonly storage?: string
  readonly format?: DiskFormat
  readonly signal: AbortSignal
}

/** A full copy of one VM's drive for another VM (or the same one). @returns the new drive string */
export async function copyDrive(context: Context, drive: Drive, vmid: number, target: CopyTarget): Promise<string> {
  const source = volumeIn(context, drive.file)
  usableStorage(context, source.storage)
  const storage = target.storage ?? source.storage
  const format = formatFor(storageConfig(context, storage), target.format ?? diskFormat(source))
  if (isCloudinit(drive)) {
    const copy = cloudinitVolume(context, storage, vmid, format)
    await copyFile(pathOf(context, drive.file), copy.path)
    return printDrive(withOptions({ ...drive, file: copy.volid }, { size: printSize(cloudinitBytes) }))
  }
  const next = nextDisk(context, storage, vmid, format)
  await context.driver.volumes.copy(pathOf(context, drive.file), next.path, {
    format: fileFormat(volumeOf(next.volid)),
    signal: target.signal,
  })
  const { virtualBytes } = await context.driver.volumes.info(next.path)
  return printDrive(withOptions({ ...drive, file: next.volid }, { size: printSize(virtualBytes) }))
}
