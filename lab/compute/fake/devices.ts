/** The disks of a running fake guest: loaded from volumes, seen as block devices with udev's links, written back. */
import { readIsoFile } from '../../iso/read.ts'
import type { DriveSpec } from '../driver.ts'
import { debianRoot } from './debian.ts'
import { blockNode, fileNode, Filesystem, linkNode, loadTree, storeTree, type BlobStore } from './filesystem.ts'
import { isFakeVolume, loadContent, saveContent, type StoredContent } from './volumes.ts'

/** What a disk or a partition holds, while its guest runs. */
export type Content =
  | { readonly kind: 'blank' }
  | { readonly kind: 'filesystem'; readonly filesystem: Filesystem }
  | { readonly kind: 'foreign'; readonly type: string; readonly uuid: string }
  | { readonly kind: 'partitions'; readonly partitions: Map<string, Content> }

export interface Disk {
  readonly slot: string
  /** The kernel's name: `sda`, `vda`, `sr0`. */
  readonly name: string
  readonly media: 'disk' | 'cdrom'
  readonly serial: string | undefined
  readonly path: string | null
  bytes: number
  content: Content
  /** State of the file systems when the volume was last written. */
  saved: number
  replaced: boolean
}

/** A block device by its name, whole disk or partition. */
export interface Device {
  readonly disk: Disk
  /** Number of the partition, undefined for the whole disk. */
  readonly partition?: string
  readonly name: string
  readonly content: Content
}

function load(stored: StoredContent, blobs: BlobStore, packages: readonly string[]): Content {
  switch (stored.kind) {
    case 'blank':
      return { kind: 'blank' }
    case 'foreign':
      return stored
    case 'image':
      return {
        kind: 'partitions',
        partitions: new Map([
          ['1', { kind: 'filesystem', filesystem: new Filesystem('ext4', { root: debianRoot(packages), label: 'root' }) }],
        ]),
      }
    case 'partitions':
      return {
        kind: 'partitions',
        partitions: new Map(Object.entries(stored.partitions).map(([number, content]) => [number, load(content, blobs, packages)])),
      }
    case 'filesystem': {
      const root = loadTree(stored.tree, blobs)
      if (root.kind !== 'directory') throw new Error('a file system without a root folder')
      return { kind: 'filesystem', filesystem: new Filesystem(stored.type, { root, uuid: stored.uuid, label: stored.label }) }
    }
  }
}

function store(content: Content, blobs: BlobStore): StoredContent {
  switch (content.kind) {
    case 'blank':
    case 'foreign':
      return content
    case 'partitions':
      return {
        kind: 'partitions',
        partitions: Object.fromEntries([...content.partitions].map(([number, part]) => [number, store(part, blobs)])),
      }
    case 'filesystem': {
      const { type, uuid, label, root } = content.filesystem
      const tree = storeTree(root, blobs)
      if (!tree) throw new Error('a root folder is always stored')
      return { kind: 'filesystem', type, uuid, label, tree }
    }
  }
}

function changes(content: Content): number {
  if (content.kind === 'filesystem') return content.filesystem.changes
  return content.kind === 'partitions' ? [...content.partitions.values()].reduce((sum, part) => sum + changes(part), 0) : 0
}

export interface DevicesOptions {
  readonly blobs: BlobStore
  /** Packages that the modelled cloud image has on top of Debian's own. */
  readonly packages: readonly string[]
  /** Size of the volume at this path. */
  readonly bytesOf: (path: string) => Promise<number>
}

export class Devices {
  readonly disks: Disk[] = []
  readonly #options: DevicesOptions

  constructor(options: DevicesOptions) {
    this.#options = options
  }

  /** Loads a drive. Rejects if its volume can't be read. */
  async attach(drive: DriveSpec): Promise<Disk> {
    const prefix = drive.media === 'cdrom' ? 'sr' : drive.slot.startsWith('virtio') ? 'vd' : 'sd'
    const disk: Disk = {
      slot: drive.slot,
      name: this.#freeName(prefix),
      media: drive.media,
      serial: drive.serial,
      path: drive.path,
      bytes: drive.path === null ? 0 : await this.#options.bytesOf(drive.path),
      content: await this.#read(drive),
      saved: 0,
      replaced: false,
    }
    this.disks.push(disk)
    return disk
  }

  /** Writes a disk back and forgets it. */
  async detach(slot: string): Promise<Disk | undefined> {
    const index = this.disks.findIndex((disk) => disk.slot === slot)
    const disk = this.disks[index]
    if (!disk) return undefined
    this.#save(disk)
    this.disks.splice(index, 1)
    return disk
  }

  /** Writes every changed disk to its volume. */
  async flush(): Promise<void> {
    for (const disk of this.disks) this.#save(disk)
  }

  find(name: string): Device | undefined {
    return this.all().find((device) => device.name === name)
  }

  all(): Device[] {
    return this.disks.flatMap((disk): Device[] => [
      { disk, name: disk.name, content: disk.content },
      ...(disk.content.kind === 'partitions'
        ? [...disk.content.partitions].map(([partition, content]) => ({ disk, partition, name: `${disk.name}${partition}`, content }))
        : []),
    ])
  }

  /** Puts something else on a device, e.g. a new file system. */
  replace(name: string, content: Content): void {
    const device = this.find(name)
    if (!device) throw new Error(`no device ${name}`)
    if (device.partition === undefined) device.disk.content = content
    else if (device.disk.content.kind === 'partitions') device.disk.content.partitions.set(device.partition, content)
    device.disk.replaced = true
  }

  wipe(name: string): void {
    this.replace(name, { kind: 'blank' })
  }

  #save(disk: Disk): void {
    if (disk.path === null || disk.media === 'cdrom') return
    const now = changes(disk.content)
    if (!disk.replaced && now === disk.saved) return
    saveContent(disk.path, store(disk.content, this.#options.blobs))
    disk.saved = now
    disk.replaced = false
  }

  async #read(drive: DriveSpec): Promise<Content> {
    if (drive.path === null) return { kind: 'blank' }
    if (drive.media === 'disk')
      return load(
        (await isFakeVolume(drive.path)) ? loadContent(drive.path) : { kind: 'blank' },
        this.#options.blobs,
        this.#options.packages,
      )
    const iso = await readIsoFile(drive.path)
    const filesystem = new Filesystem('iso9660', { label: iso.label, uuid: '2026-11-24-00-00-00-00' })
    for (const [path, data] of iso.files) filesystem.put(path, fileNode(data, 0o555))
    filesystem.readOnly = true
    return { kind: 'filesystem', filesystem }
  }

  #freeName(prefix: string): string {
    const names = this.disks.map((disk) => disk.name)
    for (let index = 0; ; index++) {
      const name = prefix === 'sr' ? `sr${index}` : `${prefix}${String.fromCharCode(97 + index)}`
      if (!names.includes(name)) return name
    }
  }
}

/** udev's properties of a device, as far as rules look at them (systemd's 60-persistent-storage.rules, scsi_id). */
export function udevProperties(device: Device): Record<string, string> {
  const { disk, content } = device
  const serial = disk.serial ?? (disk.slot.startsWith('virtio') ? '' : `drive-${disk.slot}`)
  const model = disk.media === 'cdrom' ? 'QEMU_DVD-ROM' : 'QEMU_HARDDISK'
  const id = disk.slot.startsWith('virtio') ? serial : disk.slot.startsWith('scsi') ? `0QEMU_${model}_${serial}` : `${model}_${serial}`
  return {
    ACTION: 'add',
    SUBSYSTEM: 'block',
    KERNEL: device.name,
    DEVNAME: `/dev/${device.name}`,
    DEVTYPE: device.partition === undefined ? 'disk' : 'partition',
    ID_SERIAL: id,
    ID_SERIAL_SHORT: serial,
    ID_SCSI_SERIAL: serial,
    ID_MODEL: model,
    ID_BUS: disk.slot.startsWith('scsi') ? 'scsi' : disk.slot.startsWith('virtio') ? '' : 'ata',
    ...(content.kind === 'filesystem' && {
      ID_FS_TYPE: content.filesystem.type,
      ID_FS_LABEL: content.filesystem.label,
      ID_FS_UUID: content.filesystem.uuid,
      ID_FS_USAGE: 'filesystem',
    }),
    ...(content.kind === 'foreign' && { ID_FS_TYPE: content.type, ID_FS_UUID: content.uuid }),
  }
}

/** The links below /dev that udev makes by itself. */
export function udevLinks(device: Device): string[] {
  const properties = udevProperties(device)
  const part = device.partition === undefined ? '' : `-part${device.partition}`
  const bus = device.disk.slot.startsWith('scsi') ? 'scsi' : device.disk.slot.startsWith('virtio') ? 'virtio' : 'ata'
  return [
    ...(properties.ID_SERIAL ? [`disk/by-id/${bus}-${properties.ID_SERIAL}${part}`] : []),
    ...(properties.ID_FS_UUID ? [`disk/by-uuid/${properties.ID_FS_UUID}`] : []),
    ...(properties.ID_FS_LABEL ? [`disk/by-label/${properties.ID_FS_LABEL}`] : []),
  ]
}

export function deviceNode(device: Device): ReturnType<typeof blockNode> {
  return blockNode(device.name, device.disk.media === 'cdrom' ? 24 : 6)
}

export function deviceLink(link: string, device: Device): ReturnType<typeof linkNode> {
  return linkNode(`${'../'.repeat(link.split('/').length - 1)}${device.name}`)
}
