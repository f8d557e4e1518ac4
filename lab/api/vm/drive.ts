/** Drive strings such as `local:100/vm-100-disk-0.qcow2,discard=on,size=1G`. */
import { parsePropertyString } from '../property-string.ts'
import type { PropertyFormat } from '../schema.ts'
import { driveFormats } from './options.ts'

export interface Drive {
  /** `none`, `cdrom`, a volume id or a path; `STORAGE:SIZE` and `STORAGE:cloudinit` ask for a new one. */
  readonly file: string
  readonly options: Readonly<Record<string, string>>
}

/** A string from a configuration, or one that has been verified. */
export function parseDrive(slot: string, value: string): Drive {
  const format = driveFormats[slot.replace(/\d+$/, '')] ?? (driveFormats.scsi as PropertyFormat)
  const { file = '', ...options } = parsePropertyString(format, value, slot).values
  return { file, options }
}

/** As PVE prints it: the file, then the options by name; `format` shows in the volume's name. */
export function printDrive(drive: Drive): string {
  const rest = Object.entries(drive.options).filter(([key]) => key !== 'format' && key !== 'import-from').sort(([a], [b]) => (a < b ? -1 : 1))
  return [drive.file, ...rest.map(([key, value]) => `${key}=${value}`)].join(',')
}

export const withOptions = (drive: Drive, options: Readonly<Record<string, string>>): Drive => ({ ...drive, options: { ...drive.options, ...options } })

export const isCloudinit = (drive: Drive): boolean => /[/:](vm-\d+-)?cloudinit(\.(qcow2|raw|vmdk))?$/.test(drive.file) || drive.file === 'cloudinit'
/** Anything with `media=cdrom`, cloud-init drives too. */
export const isCdrom = (drive: Drive): boolean => drive.options.media === 'cdrom' || isCloudinit(drive) || drive.file === 'none' || drive.file === 'cdrom'

const newDisk = /^([a-z][a-z0-9\-_.]*[a-z0-9]):(\d+(?:\.\d+)?)$/i
/** `STORAGE:SIZE in GiB`, a wish for a new disk. */
export function newDiskWish(drive: Drive): { storage: string; gib: number } | undefined {
  const [, storage, size] = newDisk.exec(drive.file) ?? []
  return storage === undefined || size === undefined ? undefined : { storage, gib: Number(size) }
}
/** `STORAGE:cloudinit`, a wish for a new cloud-init drive. */
export const newCloudinitWish = (drive: Drive): string | undefined => /^([a-z][a-z0-9\-_.]*[a-z0-9]):cloudinit$/i.exec(drive.file)?.[1]

const units = ['', 'K', 'M', 'G', 'T'] as const
/** Bytes as PVE prints them: the largest unit that leaves no fraction. */
export function printSize(bytes: number): string {
  let size = bytes
  let unit = 0
  while (unit < units.length - 1 && size > 0 && size % 1024 === 0) {
    size /= 1024
    unit += 1
  }
  return `${size}${units[unit]}`
}
/** `1.5G` → bytes. */
export function parseSize(text: string): number {
  const [, number = '0', unit = ''] = /^(\d+(?:\.\d+)?)([KMGT]?)$/.exec(text) ?? []
  return Math.trunc(Number(number) * 1024 ** units.indexOf(unit as (typeof units)[number]))
}
