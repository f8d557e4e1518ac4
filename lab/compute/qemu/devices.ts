/**
 * Disks, CDs and network cards as QEMU's objects, named and placed as Proxmox does (qemu-server), so
 * that the guest sees the same names: `scsi-0QEMU_QEMU_HARDDISK_drive-scsi1`, `ens18`. Pure.
 * Each object is used for the command line and for hot-plugging alike.
 */
import type { DriveSpec, NicSpec } from '../driver.ts'

export type QemuObject = { readonly [key: string]: string | number | boolean | QemuObject }

export interface Slot {
  readonly kind: 'scsi' | 'virtio' | 'ide' | 'sata' | 'net'
  readonly index: number
}

const slotCounts = { scsi: 31, virtio: 6, ide: 4, sata: 6, net: 6 } as const

export function parseSlot(slot: string): Slot {
  const match = /^(scsi|virtio|ide|sata|net)(\d{1,2})$/.exec(slot)
  const kind = match?.[1] as Slot['kind'] | undefined
  const index = Number(match?.[2])
  if (kind === undefined || index >= slotCounts[kind])
    throw new Error(
      `the lab has no slot '${slot}' (${Object.entries(slotCounts)
        .map(([name, count]) => `${name}0-${count - 1}`)
        .join(', ')})`,
    )
  return { kind, index }
}

/** Free slots of the first PCI bus, for the controllers of `virtio-scsi-single`. */
const controllerAddresses = [0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x3, 0x4, 0x6, 0x10, 0x11]
const scsiDrivers: Readonly<Record<string, string>> = {
  'virtio-scsi-pci': 'virtio-scsi-pci',
  'virtio-scsi-single': 'virtio-scsi-pci',
  lsi: 'lsi53c895a',
  lsi53c810: 'lsi53c810',
  megasas: 'megasas',
  pvscsi: 'pvscsi',
}

/** The SCSI controller that a slot is plugged into. */
export function scsiController(scsihw: string, index: number): QemuObject {
  const driver = scsiDrivers[scsihw]
  if (driver === undefined) throw new Error(`unknown SCSI controller '${scsihw}'`)
  if (scsihw !== 'virtio-scsi-single') return { driver, id: 'scsihw0', bus: 'pci.0', addr: '5' }
  const address = controllerAddresses[index]
  if (address === undefined)
    throw new Error(`scsi${index}: with virtio-scsi-single the lab has slots scsi0 to scsi${controllerAddresses.length - 1}`)
  return { driver, id: `virtioscsi${index}`, bus: 'pci.0', addr: address.toString(16) }
}

/** The block node of an image. `name` must be new to the machine. */
export function blockNode(drive: DriveSpec, path: string, name: string): QemuObject {
  const unmap = drive.discard ? { discard: 'unmap' } : {}
  // Flushing to the host's disk costs much and helps only where the lab's computer loses power.
  const cache = { direct: false, 'no-flush': true }
  return {
    driver: drive.format,
    'node-name': name,
    'read-only': drive.media === 'cdrom',
    cache,
    ...unmap,
    file: { driver: 'file', filename: path, cache, ...unmap },
  }
}

export interface DeviceOptions {
  readonly scsihw: string
  /** Place in the boot order, from 0. */
  readonly bootIndex?: number
  /** Name of the block node; none: a CD drive without a medium. */
  readonly node?: string
}

/** The drive that the guest sees. */
export function driveDevice(drive: DriveSpec, options: DeviceOptions): QemuObject {
  const { kind, index } = parseSlot(drive.slot)
  const cd = drive.media === 'cdrom'
  const common = {
    id: drive.slot,
    ...(options.node === undefined ? {} : { drive: options.node }),
    ...(drive.serial === undefined ? {} : { serial: drive.serial }),
    ...(options.bootIndex === undefined ? {} : { bootindex: options.bootIndex }),
  }
  if (kind === 'virtio') {
    if (cd) throw new Error(`${drive.slot}: a CD drive can't be on virtio`)
    return { driver: 'virtio-blk-pci', ...common, bus: 'pci.0', addr: (0xa + index).toString(16) }
  }
  if (kind === 'scsi') {
    const controller = scsiController(options.scsihw, index)
    const place = String(controller.driver).startsWith('virtio') ? { 'scsi-id': 0, lun: index } : { 'scsi-id': index, lun: 0 }
    // What QEMU itself made of `-drive` (hw/scsi/scsi-disk.c): the serial number, else the drive's name.
    return {
      driver: cd ? 'scsi-cd' : 'scsi-hd',
      ...common,
      bus: `${controller.id}.0`,
      channel: 0,
      ...place,
      device_id: drive.serial ?? `drive-${drive.slot}`,
    }
  }
  const bus = kind === 'ide' ? { bus: `ide.${index >> 1}`, unit: index & 1 } : { bus: `ahci0.${index}` }
  return { driver: cd ? 'ide-cd' : 'ide-hd', ...common, ...bus }
}

const nicDrivers: Readonly<Record<string, string>> = {
  virtio: 'virtio-net-pci',
  e1000: 'e1000',
  e1000e: 'e1000e',
  rtl8139: 'rtl8139',
  vmxnet3: 'vmxnet3',
}

export function nicDevice(nic: NicSpec): QemuObject {
  const { index } = parseSlot(nic.slot)
  const driver = nicDrivers[nic.model]
  if (driver === undefined) throw new Error(`${nic.slot}: unknown network card '${nic.model}'`)
  // No boot ROM: nothing in the lab boots from the network.
  return { driver, id: nic.slot, netdev: nic.slot, mac: nic.mac, bus: 'pci.0', addr: (0x12 + index).toString(16), romfile: '' }
}

export function nicBackend(nic: NicSpec, link: string): QemuObject {
  return { type: 'tap', id: nic.slot, ifname: link, script: 'no', downscript: 'no' }
}
