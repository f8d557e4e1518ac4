/** Drive strings such as `local:100/vm-100-disk-0.qcow2,discard=on,size=1G`. */
import { fail } from '../errors.ts'
import { parsePropertyString } from '../check.ts'
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
  const rest = Object.entries(drive.options)
    .filter(([key]) => key !== 'format' && key !== 'import-from')
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return [drive.file, ...rest.map(([key, value]) => `${key}=${value}`)].join(',')
}

export const withOptions = (drive: Drive, options: Readonly<Record<string, string>>): Drive => ({
  ...drive,
  options: { ...drive.options, ...options },
})

export const isCloudinit = (drive: Drive): boolean =>
  /[/:](vm-\d+-)?cloudinit(\.(qcow2|raw|vmdk))?$/.test(drive.file) || drive.file === 'cloudinit'
/** Anything with `media=cdrom`, cloud-init drives too. */
export const isCdrom = (drive: Drive): boolean =>
  drive.options.media === 'cdrom' || isCloudinit(drive) || drive.file === 'none' || drive.file === 'cdrom'

/** What the parameter `cdrom` stands for in `ide2`. */
export const asCdrom = (value: string): string => (value.includes('media=') ? value : `${value},media=cdrom`)

const newDisk = /^(?:([^/:\s]+):)?(\d+(?:\.\d+)?)$/
export const wantsDisk = (drive: Drive): boolean => newDisk.test(drive.file)
/** `STORAGE:SIZE in GiB`, a wish for a new disk. @param fallback the storage of a bare size. @throws 500 without any */
export function newDiskWish(drive: Drive, fallback?: string): { storage: string; gib: number } | undefined {
  const [, named, size] = newDisk.exec(drive.file) ?? []
  return size === undefined ? undefined : { storage: named ?? fallback ?? noStorage(), gib: Number(size) }
}
/** `STORAGE:cloudinit` or `cloudinit`, a wish for a new cloud-init drive. */
export const wantsCloudinit = (drive: Drive): boolean => /^([^/:\s]+:)?cloudinit$/.test(drive.file)
/** The storage it is to be on. @throws 500 without any */
export const cloudinitStorage = (drive: Drive, fallback?: string): string => /^([^:]+):/.exec(drive.file)?.[1] ?? fallback ?? noStorage()
const noStorage = (): never => fail('no storage ID specified (and no default storage)')

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
