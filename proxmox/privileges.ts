/**
 * What the project's token may do, and where. Found on real Proxmox VE code by taking privileges away one at
 * a time; what each is for is said beside it. The lab enforces the same.
 */
import { createHash } from 'node:crypto'
import type { Release } from './version.ts'

/** Role for the pool of templates and slots: a whole Packer build, bpg's cycle, activation through the agent. */
export const poolPrivileges = [
  'Pool.Audit', // bpg plans a difference without it
  'VM.Allocate', // create, template, destroy
  'VM.Audit',
  'VM.Clone',
  'VM.Config.CDROM',
  'VM.Config.CPU',
  'VM.Config.Disk', // the slot's end of a disk handover, attach and detach
  'VM.Config.HWType',
  'VM.Config.Memory',
  'VM.Config.Network', // also VM firewall options and rules
  'VM.Config.Options', // name, description, tags, protection
  'VM.GuestAgent.Audit',
  'VM.GuestAgent.Unrestricted', // slotctl through the agent
  'VM.PowerMgmt',
] as const

/**
 * Role for the depots' pool: the depot's end of a disk handover, and the claim on a group in its depot's description.
 * VM.Config.Options is for that description alone, but Proxmox has no smaller privilege: it lets a token unprotect a depot as
 * well, and then free its disk with VM.Config.Disk. That is no more than reassigning the disk to a throw-away VM, as
 * delete-data does. Never VM.Allocate: nobody with this token destroys a depot.
 */
export const depotPrivileges = [
  'Pool.Audit',
  'VM.Audit',
  'VM.Config.Disk',
  'VM.Config.Options', // description
] as const

/**
 * Role for the storage of VM disks. Never Datastore.Allocate: it would let the token delete any VM's disk. Datastore.Audit
 * is for the provider, which looks at each disk by `GET …/content/VOLUME` where volumes' names have no ending (LVM, LVM-thin,
 * ZFS, RBD). With it and VM.Config.Disk on the owner a VM may attach another's volume (PVE::Storage's check_volume_access),
 * a depot's too, and overwrite it or delete it by moving it. Reassigning it to a throw-away VM, as delete-data does, is no less.
 */
export const diskStoragePrivileges = ['Datastore.AllocateSpace', 'Datastore.Audit'] as const

/** Role for the storage of seeds and imports, where deleting files is part of the work and no disk lives. */
export const isoStoragePrivileges = [
  'Datastore.Allocate',
  'Datastore.AllocateSpace',
  'Datastore.AllocateTemplate',
  'Datastore.Audit',
] as const

/** Role for the bridge. */
export const networkPrivileges = ['SDN.Use'] as const

/** Role for the node: lets Proxmox fetch the cloud image itself (`download-url`). */
export const nodePrivileges = ['Sys.AccessNetwork'] as const

/** Reading, and only of the datacenter itself: whether its firewall is on, without which VM rules do nothing. */
export const datacenterPrivileges = ['Sys.Audit'] as const

/** What VM.GuestAgent.* was before Proxmox VE 9 (libpve-access-control 9.0.2). It also lets look into QEMU's monitor. */
const agentPrivilegeBefore9 = 'VM.Monitor'

export interface PrivilegeTarget {
  readonly role: string
  readonly privileges: readonly string[]
  readonly path: string
  /** Whether it holds for everything below the path as well. */
  readonly propagate: boolean
}

export interface PrivilegeScope {
  readonly node: string
  readonly pool: string
  readonly depotPool: string
  readonly disks: string
  readonly iso: string
  readonly bridge: string
  /** Of SDN, if the bridge is one of its vnets. @default 'localnetwork', where Proxmox has a node's own bridges */
  readonly zone?: string | undefined
}

/**
 * A role is named by what it holds: sites and versions of this project that share a host each have the roles that they
 * need, and none can take a privilege from another's.
 */
const roleName = (kind: string, privileges: readonly string[]): string =>
  `${kind}-${createHash('sha256')
    .update([...privileges].sort().join(','))
    .digest('hex')
    .slice(0, 8)}`

/** Whether both roles are of one kind, whatever they hold. The first versions of this project gave roles the bare name of their kind. */
export function isSameKind(role: string, other: string): boolean {
  const kind = (name: string): string => /^(Golden[A-Z][a-z]+)(-[0-9a-f]{8})?$/.exec(name)?.[1] ?? name
  return kind(role) === kind(other)
}

const localZone = 'localnetwork'

/** Every role and the path on which the token gets it. */
export function privilegeTable(scope: PrivilegeScope, release?: Release): readonly PrivilegeTarget[] {
  const before9 = release !== undefined && release.major < 9
  const pool = before9
    ? [...poolPrivileges.filter((privilege) => !privilege.startsWith('VM.GuestAgent.')), agentPrivilegeBefore9]
    : poolPrivileges
  const target = (kind: string, privileges: readonly string[], path: string, propagate = true): PrivilegeTarget => ({
    role: roleName(kind, privileges),
    privileges,
    path,
    propagate,
  })
  return [
    target('GoldenPool', pool, `/pool/${scope.pool}`),
    target('GoldenDepot', depotPrivileges, `/pool/${scope.depotPool}`),
    target('GoldenDisks', diskStoragePrivileges, `/storage/${scope.disks}`),
    target('GoldenIso', isoStoragePrivileges, `/storage/${scope.iso}`),
    target('GoldenNetwork', networkPrivileges, `/sdn/zones/${scope.zone ?? localZone}/${scope.bridge}`),
    target('GoldenNode', nodePrivileges, `/nodes/${scope.node}`),
    target('GoldenDatacenter', datacenterPrivileges, '/', false),
  ]
}
