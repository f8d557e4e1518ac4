/** What is asked of a storage, as a node has it. */
import type { Proxmox } from './client.ts'
import type { Upid } from './tasks.ts'

export interface StorageStatus {
  readonly type: string
  readonly active: number
  readonly enabled: number
  readonly content: string
  readonly avail: number
  /** In bytes. */
  readonly used: number
  readonly total: number
}

/** Of storage.cfg, for all nodes. */
export interface StorageEntry {
  readonly storage: string
  readonly type: string
  readonly content?: string
  readonly path?: string
  /** Those that have it, by commas; without, all. */
  readonly nodes?: string
}

export interface Volume {
  /** `STORAGE:iso/FILE`, `STORAGE:vm-100-disk-0` */
  readonly volid: string
  /** In bytes; of a disk, what its VM sees. */
  readonly size?: number
  /** When it was made, or as a file changed last, in seconds, where the storage tells. */
  readonly ctime?: number
}

export interface NewVolume {
  readonly filename: string
  readonly vmid: number
  readonly size: string
  /** @default the storage's own */
  readonly format?: string | undefined
}

export interface Download {
  readonly url: string
  readonly filename: string
  readonly sha256: string
}

export interface StorageOfNode {
  status(): Promise<StorageStatus>
  /** Files of a kind. */
  files(content: 'iso' | 'import'): Promise<Volume[]>
  /** Disks. @param vmid the VM whose number they bear; undefined: all */
  disks(vmid: number | string | undefined): Promise<Volume[]>
  /** One volume. @returns where the node has it */
  volume(volid: string): Promise<{ readonly path: string }>
  allocate(volume: NewVolume): Promise<void>
  /** Waits until it is gone. One that is not there is no error to Proxmox either, so that it may be asked twice. */
  remove(volid: string): Promise<void>
  /** Lets Proxmox fetch a file itself, for disks to be imported from. */
  download(file: Download): Promise<Upid>
}

/** Asks nothing by itself. */
export function storageAt(proxmox: Proxmox, node: string, storage: string): StorageOfNode {
  const path = `/nodes/${node}/storage/${storage}`
  const pathOf = (volid: string): string => `${path}/content/${encodeURIComponent(volid)}`
  return {
    status: () => proxmox.get(`${path}/status`),
    files: (content) => proxmox.get(`${path}/content`, { content }),
    disks: (vmid) => proxmox.get(`${path}/content`, { content: 'images', vmid }),
    volume: (volid) => proxmox.get(pathOf(volid)),
    async allocate(volume) {
      await proxmox.post(`${path}/content`, { ...volume })
    },
    async remove(volid) {
      const upid = await proxmox.del<Upid | null>(pathOf(volid), {}, { repeatable: true })
      if (upid) await proxmox.task(upid)
    },
    download: ({ url, filename, sha256 }) =>
      proxmox.post(`${path}/download-url`, { content: 'import', filename, url, checksum: sha256, 'checksum-algorithm': 'sha256' }),
  }
}

/** The storage that a volume is on. */
export const storageOfVolume = (volid: string): string => volid.split(':')[0] ?? ''

export const allStorages = (proxmox: Proxmox): Promise<StorageEntry[]> => proxmox.get('/storage')

/** A storage as one node has it. */
export interface StorageOnNode {
  readonly storage: string
  readonly type: string
  readonly content: string
  readonly active?: number
  readonly enabled?: number
  /** In bytes; of one that is not active nothing is known. */
  readonly avail?: number
}

/** Those that are for this node. */
export const storagesOf = (proxmox: Proxmox, node: string): Promise<StorageOnNode[]> => proxmox.get(`/nodes/${node}/storage`)
