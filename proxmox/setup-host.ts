/** What `golden setup` wants of a Proxmox host, and what it finds there. */
import { listGrants, listRoles, tokenNames, userNames } from './access.ts'
import type { Proxmox } from './client.ts'
import { listVnets } from './cluster.ts'
import { isUnknownMethod } from './conditions.ts'
import { observeFirewall, type FirewallObserved } from './datacenter-firewall.ts'
import { bridgesOf, listNodes, releaseOf } from './nodes.ts'
import { isOnline, observePoolMembers, type PoolMembers } from './pool-members.ts'
import { poolNames } from './pools.ts'
import type { PrivilegeScope } from './privileges.ts'
import { allStorages } from './storage.ts'
import { requireRelease, type Release } from './version.ts'

export interface DepotWanted {
  readonly vmid: number
  readonly name: string
}

export interface SetupWanted extends PrivilegeScope {
  /** `user@realm!name` */
  readonly tokenId: string
  /** Folder on the node for the storage of seeds and imports. */
  readonly isoPath: string
  readonly depots: readonly DepotWanted[]
  /** Networks that keep access to the host when the datacenter firewall is turned on. */
  readonly management: readonly string[]
  /** Turn the datacenter firewall on: only by explicit consent. */
  readonly enableFirewall: boolean
  /** Replace the token if it exists, which ends whoever uses it: only by explicit consent. */
  readonly replaceToken: boolean
  /** Where the token's secret should be on this computer but is not. */
  readonly secretMissing?: string | undefined
}

export interface SetupObserved extends PoolMembers {
  /** @default the newest */
  readonly release?: Release | undefined
  readonly nodes: readonly { node: string; status: string }[]
  /** Bridges and vnets of the wanted node; none of a node that does not answer. */
  readonly bridges: readonly string[]
  /** All vnets of SDN, and the zones that they are in. */
  readonly vnets?: readonly { vnet: string; zone?: string }[]
  readonly roles: readonly { roleid: string; privs?: string }[]
  readonly users: readonly string[]
  readonly tokens: readonly string[]
  readonly acl: readonly { path: string; roleid: string; ugid: string; propagate?: number }[]
  readonly pools: readonly string[]
  readonly storages: readonly { storage: string; type: string; content?: string; path?: string; nodes?: string }[]
  readonly firewall: FirewallObserved
}

/**
 * Reads what setup decides on. Needs an administrator's login or token.
 * @throws Failure `version-too-old`, `version-mixed`
 */
export async function observeSetup(admin: Proxmox, wanted: SetupWanted): Promise<SetupObserved> {
  const [user] = wanted.tokenId.split('!') as [string]
  // First of all: an older one does not even know what is asked next.
  const release = await releaseOf(admin)
  requireRelease(release, undefined)
  const nodes = await listNodes(admin)
  if (isOnline(nodes, wanted.node)) requireRelease(release, await releaseOf(admin, wanted.node))
  const bridges = isOnline(nodes, wanted.node) ? await bridgesOf(admin, wanted.node) : []
  const vnets = await observeVnets(admin)
  const roles = await listRoles(admin)
  const users = await userNames(admin)
  const tokens = users.includes(user) ? await tokenNames(admin, user) : []
  const acl = await listGrants(admin)
  const pools = await poolNames(admin)
  const storages = await allStorages(admin)
  const members = await observePoolMembers(admin, wanted, nodes, pools)
  const firewall = await observeFirewall(admin)
  return { release, nodes, bridges, vnets, roles, users, tokens, acl, pools, storages, ...members, firewall }
}

/** A Proxmox without SDN does not know the question. */
async function observeVnets(admin: Proxmox): Promise<NonNullable<SetupObserved['vnets']>> {
  try {
    return await listVnets(admin)
  } catch (error) {
    if (isUnknownMethod(error)) return []
    throw error
  }
}
