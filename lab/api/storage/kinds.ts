/**
 * What each type of storage can do and how it names its volumes (PVE::Storage::*Plugin). Whatever a volume is called,
 * a file of this computer is behind it: names, formats and capabilities are what shows.
 */
import type { DiskFormat } from '../../compute/driver.ts'
import type { StorageConfig, StorageType } from '../../state/types.ts'

/** PVE's `volume_has_feature`: of an ordinary volume, of a base volume. */
export type Feature = 'clone' | 'copy' | 'rename' | 'snapshot' | 'template'

/**
 * `folder`: `100/vm-100-disk-0.qcow2`, a linked clone `9000/base-9000-disk-0.qcow2/100/vm-100-disk-0.qcow2`.
 * `base`: `vm-100-disk-0`, a linked clone `base-9000-disk-0/vm-100-disk-0`. `flat`: `vm-100-disk-0`, a linked clone too.
 */
export type Naming = 'folder' | 'base' | 'flat'

export interface StorageKind {
  readonly naming: Naming
  /** What can be enabled; what is, unless somebody says else. */
  readonly content: readonly string[]
  readonly defaults: readonly string[]
  /** The first is what a disk has unless somebody says else. None: no disk can be made there. */
  readonly formats: readonly DiskFormat[]
  readonly features: { readonly [feature in Feature]?: { readonly current?: readonly DiskFormat[]; readonly base?: readonly DiskFormat[] } }
  /** Properties without which Proxmox makes none of this type. */
  readonly needs: readonly string[]
  /** All nodes see the same, without anybody saying so. */
  readonly shared?: true
  /** How the plugin calls itself when a volume's name makes no sense to it. */
  readonly called: string
}

const files = ['images', 'rootdir', 'vztmpl', 'iso', 'backup', 'snippets', 'import']
const any: readonly DiskFormat[] = ['raw', 'qcow2', 'vmdk']
const raw: readonly DiskFormat[] = ['raw']

const folder = {
  naming: 'folder',
  content: files,
  defaults: ['images'],
  formats: any,
  called: 'directory',
  features: {
    clone: { base: any },
    copy: { base: any, current: any },
    rename: { current: any },
    snapshot: { current: ['qcow2'] },
    template: { current: any },
  },
} as const satisfies Partial<StorageKind>

const block = {
  content: ['images', 'rootdir'],
  formats: raw,
  features: {
    clone: { base: raw },
    copy: { base: raw, current: raw },
    rename: { current: raw },
    snapshot: { current: raw },
    template: { current: raw },
  },
} as const satisfies Partial<StorageKind>

/** Disks that somebody else has made; Proxmox only picks them. */
const luns = {
  naming: 'flat',
  content: ['images'],
  defaults: ['images'],
  formats: [],
  features: { copy: { current: raw } },
  shared: true,
} as const satisfies Partial<StorageKind>
const noDisks = { naming: 'folder', formats: [], features: {} } as const satisfies Partial<StorageKind>

export const storageKinds: Readonly<Record<StorageType, StorageKind>> = {
  dir: { ...folder, defaults: ['images', 'rootdir'], needs: ['path'] },
  nfs: { ...folder, needs: ['server', 'export'], shared: true },
  cifs: { ...folder, needs: ['server', 'share'], shared: true },
  lvmthin: { ...block, naming: 'flat', defaults: ['images', 'rootdir'], needs: ['vgname', 'thinpool'], called: 'lvm' },
  zfspool: { ...block, naming: 'base', defaults: ['images', 'rootdir'], needs: ['pool'], called: 'zfs' },
  rbd: { ...block, naming: 'base', defaults: ['images'], needs: [], shared: true, called: 'rbd' },
  // A plugin may be without a feature that its storage has: neither is this one's fault.
  zfs: {
    ...block,
    naming: 'base',
    content: ['images'],
    defaults: ['images'],
    features: { ...block.features, rename: {} },
    needs: ['pool', 'portal', 'target', 'iscsiprovider', 'blocksize'],
    shared: true,
    called: 'zfs',
  },
  lvm: {
    ...block,
    naming: 'flat',
    defaults: ['images'],
    features: { copy: block.features.copy, rename: block.features.rename },
    needs: ['vgname'],
    called: 'lvm',
  },
  iscsi: { ...luns, needs: ['portal', 'target'], called: 'iscsi' },
  iscsidirect: { ...luns, needs: ['portal', 'target'], called: 'iscsi' },
  cephfs: {
    ...noDisks,
    content: ['vztmpl', 'iso', 'backup', 'snippets', 'import'],
    defaults: ['backup'],
    needs: [],
    shared: true,
    called: 'directory',
  },
  esxi: { ...noDisks, content: ['import'], defaults: ['import'], needs: ['server', 'username'], called: 'esxi' },
  pbs: { ...noDisks, content: ['backup'], defaults: ['backup'], needs: ['server', 'datastore', 'username'], shared: true, called: 'pbs' },
}

/** Thick LVM has qcow2 once its snapshots are chains of volumes, and still neither templates nor linked clones. */
const chains: StorageKind = {
  ...storageKinds.lvm,
  formats: ['qcow2', 'raw'],
  features: { copy: { current: any }, rename: { current: any }, snapshot: { current: ['qcow2'] } },
}

export const kindOf = (config: StorageConfig): StorageKind =>
  config.type === 'lvm' && config.properties?.['snapshot-as-volume-chain'] === '1' ? chains : storageKinds[config.type]

/** The format that PVE makes of a wish; one that the storage does not know is only a hint (resolve_format_hint). */
export const formatFor = (config: StorageConfig, hint: DiskFormat | undefined): DiskFormat => {
  const { formats } = kindOf(config)
  return hint !== undefined && formats.includes(hint) ? hint : (formats[0] ?? 'raw')
}

export function hasFeature(
  config: StorageConfig,
  feature: Feature,
  volume: { readonly isBase: boolean; readonly format: string },
): boolean {
  const where = kindOf(config).features[feature]
  return (volume.isBase ? where?.base : where?.current)?.some((format) => format === volume.format) ?? false
}
