/**
 * What Proxmox's types of storage can do with a VM's disks, read in its plugins (PVE::Storage::*Plugin:
 * `volume_has_feature`, `plugindata`, `alloc_image`), and whether that is enough for what a site does with them.
 */
import type { Failure } from '../core/failure.ts'

export interface StorageKind {
  /** For people. */
  readonly called: string
  /** Proxmox can make disks of VMs there. */
  readonly disks: boolean
  /** A template's disk becomes a base volume, which nothing writes to any more. */
  readonly template: boolean
  /** Clones that share a template's disk. Else each is a whole copy. */
  readonly linkedClone: boolean
  /** A disk can be given to another VM (`rename`): the handover of a data disk. */
  readonly reassign: boolean
  /** Holds ISO images, and files that disks are imported from. */
  readonly files: boolean
  /** Formats of disks, the default first. */
  readonly formats: readonly string[]
}

const folder = { disks: true, template: true, linkedClone: true, reassign: true, files: true, formats: ['raw', 'qcow2', 'vmdk'] }
const block = { disks: true, template: true, linkedClone: true, reassign: true, files: false, formats: ['raw'] }
const none = { disks: false, template: false, linkedClone: false, reassign: false, files: false, formats: [] }

export const storageKinds: Readonly<Record<string, StorageKind>> = {
  lvmthin: { called: 'LVM-thin', ...block },
  zfspool: { called: 'ZFS', ...block },
  rbd: { called: 'Ceph RBD', ...block },
  dir: { called: 'a directory', ...folder },
  nfs: { called: 'NFS', ...folder },
  cifs: { called: 'SMB/CIFS', ...folder },
  btrfs: { called: 'Btrfs', ...folder, formats: ['raw'] },
  // Of Proxmox VE 8; 9 has it no longer.
  glusterfs: { called: 'GlusterFS', ...folder },
  // Proxmox marks a VM there as a template and leaves its disk an ordinary one. `snapshot-as-volume-chain` brings qcow2
  // and snapshots, and neither templates nor linked clones.
  lvm: { called: 'thick LVM', ...block, template: false, linkedClone: false, formats: ['raw', 'qcow2'] },
  zfs: { called: 'ZFS over iSCSI', ...block, reassign: false },
  iscsi: { called: 'iSCSI', ...none },
  iscsidirect: { called: 'iSCSI (direct)', ...none },
  cephfs: { called: 'CephFS', ...none, files: true },
  esxi: { called: 'an ESXi import source', ...none },
  pbs: { called: 'Proxmox Backup Server', ...none },
}

/**
 * Of plugins that do not come with Proxmox it can't be asked what they do. Most of them copy and reassign volumes; few make
 * linked clones (LINBIT's `drbd` makes none, nor base volumes). So full clones are made, and setup says what it does not know.
 */
const unknown = (type: string): StorageKind => ({
  called: `of type ${type}, which does not come with Proxmox`,
  ...block,
  linkedClone: false,
})

export const kindOf = (type: string): StorageKind => (Object.hasOwn(storageKinds, type) ? storageKinds[type] : undefined) ?? unknown(type)

export interface StorageNamed {
  readonly storage: string
  /** As `storage.cfg` and the API call it. */
  readonly type: string
}

export type StorageProblem = Pick<Failure, 'code' | 'message' | 'hint'>

/** What keeps disks of VMs away from such storages, for people: it goes on after what the storage is called. Pure. */
export const lackOf = (kind: StorageKind): string | undefined =>
  !kind.disks
    ? 'where Proxmox can make no disks of VMs'
    : !kind.template
      ? 'where Proxmox makes no templates and no linked clones: an image would stay an ordinary disk that anything may write to'
      : !kind.reassign
        ? "where Proxmox can't give a disk to another VM, which is how data gets from a VM to the next one"
        : undefined

/** Why disks of VMs can't be on that storage as a site wants them to. Pure. */
export function diskStorageProblem({ storage, type }: StorageNamed, others: readonly StorageNamed[] = []): StorageProblem | undefined {
  const kind = kindOf(type)
  const lacks = lackOf(kind)
  if (lacks === undefined) return undefined
  const fit = others.filter((one) => one.storage !== storage && diskStorageProblem(one) === undefined).map((one) => one.storage)
  const here = fit.length === 0 ? '' : ` Here: ${fit.join(', ')}.`
  return {
    code: 'storage-kind',
    message: `storage ${storage} (proxmox.storage.disks) is ${kind.called}, ${lacks}`,
    hint: `Set proxmox.storage.disks in site.ts to a storage of another type: ${fitting((one) => one.disks && one.template && one.reassign)}.${here}`,
  }
}

/** Why seeds and imports can't be on that storage. Pure. */
export function fileStorageProblem({ storage, type }: StorageNamed): StorageProblem | undefined {
  if (!Object.hasOwn(storageKinds, type) || kindOf(type).files) return undefined
  return {
    code: 'storage-kind',
    message: `storage ${storage} (proxmox.storage.iso) is ${kindOf(type).called}, which holds no ISO images and no files to import`,
    hint: `Choose another name for proxmox.storage.iso in site.ts (setup makes that storage), or one that is ${fitting((one) => one.files)}.`,
  }
}

/** What is worth knowing before anything is made there. Pure. */
export function diskStorageNote({ storage, type }: StorageNamed): string | undefined {
  const kind = kindOf(type)
  if (diskStorageProblem({ storage, type }) !== undefined || kind.linkedClone) return undefined
  return `storage ${storage} (proxmox.storage.disks) is ${kind.called}: VMs there are full copies of the image, which take its whole size and longer to make; whether disks can be handed over from VM to VM there is not known`
}

const fitting = (fits: (kind: StorageKind) => boolean): string =>
  Object.entries(storageKinds)
    .filter(([type, kind]) => type !== 'glusterfs' && fits(kind))
    .map(([, { called }]) => called)
    .join(', ')
