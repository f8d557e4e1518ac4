/** Boot order. */
import { isCdrom, parseDrive } from './drive.ts'
import { driveSlots } from './options.ts'

/** Devices of `order=…`; nothing for the legacy form or none. */
export const bootOrder = (value: string | undefined): string[] => {
  const order = /^order=(.*)$/.exec(value ?? '')?.[1]
  return order === undefined ? [] : order.split(';').filter((device) => device !== '')
}

/** An order without devices is stored as an empty value. */
export const printBootOrder = (devices: readonly string[]): string => (devices.length === 0 ? '' : `order=${devices.join(';')}`)

/** First disk, first CD drive, first card: the default of a new VM. */
export function defaultBootOrder(config: Readonly<Record<string, string>>): string {
  const drives = driveSlots.filter((slot) => config[slot] !== undefined && /^(ide|scsi|virtio|sata)/.test(slot))
  const cdrom = (slot: string): boolean => isCdrom(parseDrive(slot, config[slot] as string))
  const net = Object.keys(config)
    .filter((key) => /^net\d+$/.test(key))
    .sort((a, b) => Number(a.slice(3)) - Number(b.slice(3)))[0]
  return printBootOrder([drives.find((slot) => !cdrom(slot)), drives.find(cdrom), net].filter((device) => device !== undefined))
}
