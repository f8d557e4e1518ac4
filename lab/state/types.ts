/** What the lab remembers. Every type here is one JSON document in the state folder. */

export interface Token {
  readonly secretHash: string
  comment?: string
  expire: number
  privsep: boolean
}
export interface User {
  enable: boolean
  expire: number
  comment?: string
  email?: string
  firstname?: string
  lastname?: string
  groups: string[]
  /** scrypt, pve realm only. */
  passwordHash?: string
  readonly tokens: Record<string, Token>
}
export interface Acl {
  readonly path: string
  readonly kind: 'user' | 'group' | 'token'
  readonly id: string
  readonly role: string
  propagate: boolean
}
export interface AccessState {
  readonly users: Record<string, User>
  readonly groups: Record<string, { comment?: string }>
  /** Roles that somebody made; the built-in ones are code. */
  readonly roles: Record<string, string[]>
  acls: Acl[]
  /** Signs tickets; they stay valid over a restart. */
  readonly ticketKey: string
}
export interface Pool {
  comment?: string
  vms: number[]
  storages: string[]
}
export type StorageType =
  | 'cephfs'
  | 'cifs'
  | 'dir'
  | 'esxi'
  | 'iscsi'
  | 'iscsidirect'
  | 'lvm'
  | 'lvmthin'
  | 'nfs'
  | 'pbs'
  | 'rbd'
  | 'zfs'
  | 'zfspool'
export interface StorageConfig {
  readonly type: StorageType
  /** Of directories. */
  path?: string
  content: string[]
  /** What else its type needs: `vgname`, `pool`, `server`, … Nothing of it is looked at. */
  properties?: Record<string, string>
  shared?: boolean
  disable?: boolean
  preallocation?: string
}
export interface VmDocument {
  readonly vmid: number
  /** In force now. */
  config: Record<string, string>
  /** Set while running, in force after the next stop and start. */
  pending: Record<string, string>
  /** To be deleted then: option → whether its disk is to be destroyed too. */
  deletions: Record<string, boolean>
  snapshots?: Record<string, SnapshotDocument>
}
export interface SnapshotDocument {
  readonly config: Record<string, string>
  readonly description: string
  readonly snaptime: number
  /** The one before it. */
  parent?: string
}
export interface ReplicationJob {
  readonly guest: number
  readonly target: string
}
export interface FirewallRuleDocument {
  [key: string]: string
}
export interface FirewallDocument {
  options: Record<string, string>
  rules: FirewallRuleDocument[]
  ipsets: Record<string, { comment?: string; entries: { cidr: string; nomatch?: boolean; comment?: string }[] }>
  aliases: Record<string, { cidr: string; comment?: string }>
}
export const emptyFirewall = (): FirewallDocument => ({ options: {}, rules: [], ipsets: {}, aliases: {} })
export interface TaskRecord {
  readonly upid: string
  readonly type: string
  readonly id: string
  /** `root@pam` or `root@pam!token`. */
  readonly user: string
  readonly pid: number
  readonly pstart: number
  readonly starttime: number
  endtime?: number
  status?: string
  log: string[]
}
