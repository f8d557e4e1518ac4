/** Who may do what: for an administrator, but for the last. */
import type { Proxmox } from './client.ts'

export interface Grant {
  readonly path: string
  readonly roleid: string
  /** A user, or a token as `user@realm!name`. */
  readonly ugid: string
  readonly propagate?: number
}

export const listRoles = (admin: Proxmox): Promise<{ readonly roleid: string; readonly privs?: string }[]> => admin.get('/access/roles')

export const listUsers = (admin: Proxmox): Promise<{ readonly userid: string; readonly comment?: string }[]> => admin.get('/access/users')

export async function userNames(admin: Proxmox): Promise<string[]> {
  return (await listUsers(admin)).map(({ userid }) => userid)
}

export async function tokenNames(admin: Proxmox, user: string): Promise<string[]> {
  return (await admin.get<{ tokenid: string }[]>(`/access/users/${encodeURIComponent(user)}/token`)).map(({ tokenid }) => tokenid)
}

export const listGrants = (admin: Proxmox): Promise<Grant[]> => admin.get('/access/acl')

/** By path of Proxmox's tree, privileges; 1: also on what is below. Of paths on which nobody was granted anything it says nothing. */
export type Permissions = Readonly<Record<string, Readonly<Record<string, number>>>>

/** What whoever asks may do. */
export const ownPermissions = (proxmox: Proxmox): Promise<Permissions> => proxmox.get('/access/permissions')
