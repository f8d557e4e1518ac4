/** What `golden setup` wants of a Proxmox host, and what it finds there. */
import { listGrants, listRoles, tokenNames, userNames } from './access.ts'
import type { Proxmox } from './client.ts'
import { listGuests, listVnets } from './cluster.ts'
import { isUnknownMethod, isVmMissing } from './conditions.ts'
import { observeFirewall, type FirewallObserved } from './datacenter-firewall.ts'
import { bridgesOf, listNodes, releaseOf } from './nodes.ts'
import { isOurs } from './ours.ts'
import { poolNames, storagesInPool } from './pools.ts'
import type { PrivilegeScope } from './privileges.ts'
import { allStorages } from './storage.ts'
import { requireRelease, type Release } from './version.ts'
import { vmAt, type VmConfig } from './vm.ts'

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

export interface SetupObserved {
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
  /** VMs and containers of all nodes. */
  readonly vms: readonly SetupVm[]
  /** Storages that are members of pools. */
  readonly pooledStorages?: readonly { pool: string; storage: string }[]
  /** `protection` by VMID, of those VMs that are wanted as depots. */
  readonly protectedVms: ReadonlySet<number>
  readonly firewall: FirewallObserved
}

export interface SetupVm {
  readonly vmid: number
  readonly type: string
  readonly node: string
  /** Of depots and members of the site's pools as their configuration has it; a list of VMs tells names late. */
  readonly name?: string
  readonly pool?: string
  /** Its configuration says that this project made it. */
  readonly ours?: boolean
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
  const { vms, protectedVms } = await observeVms(admin, wanted, nodes)
  const pooledStorages = await observePooledStorages(admin, wanted, pools)
  const firewall = await observeFirewall(admin)
  return { release, nodes, bridges, vnets, roles, users, tokens, acl, pools, storages, vms, pooledStorages, protectedVms, firewall }
}

/**
 * Of the list of VMs only who is there, and in which pool, is believed: names come up to ten seconds late, so they are
 * read from the configurations of those that setup decides on.
 */
async function observeVms(
  admin: Proxmox,
  wanted: SetupWanted,
  nodes: SetupObserved['nodes'],
): Promise<Pick<SetupObserved, 'vms' | 'protectedVms'>> {
  const vms: SetupVm[] = []
  const protectedVms = new Set<number>()
  for (const { vmid, type, node, name, pool } of await listGuests(admin)) {
    const listed: SetupVm = { vmid, type, node, ...(name === undefined ? {} : { name }), ...(pool === undefined ? {} : { pool }) }
    const isDepot = wanted.depots.some((depot) => depot.vmid === vmid)
    const matters = isDepot ? isVmHere(wanted, listed) : type === 'qemu' && poolOf(wanted, pool) !== undefined
    // Of a container, and on a node that is off, there is no such configuration to read.
    if (!matters || !isOnline(nodes, node)) {
      vms.push(listed)
      continue
    }
    const config = await readConfig(admin, node, vmid)
    if (config === undefined) continue
    vms.push({ ...listed, ...(config.name === undefined ? {} : { name: config.name }), ours: isOurs(config) })
    if (isDepot && config.protection === 1) protectedVms.add(vmid)
  }
  return { vms, protectedVms }
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

/** Undefined: it went since it was listed. */
async function readConfig(admin: Proxmox, node: string, vmid: number): Promise<VmConfig | undefined> {
  try {
    return await vmAt(admin, node, vmid).config()
  } catch (error) {
    if (isVmMissing(error)) return undefined
    throw error
  }
}

async function observePooledStorages(
  admin: Proxmox,
  wanted: SetupWanted,
  pools: readonly string[],
): Promise<{ pool: string; storage: string }[]> {
  const found: { pool: string; storage: string }[] = []
  for (const poolid of pools.filter((pool) => poolOf(wanted, pool) !== undefined)) {
    for (const storage of await storagesInPool(admin, poolid)) found.push({ pool: poolid, storage })
  }
  return found
}

/** Which of the site's pools this is, or lies in: permissions for a pool hold in those below it as well. */
export const poolOf = ({ pool, depotPool }: SetupWanted, name: string | undefined): string | undefined =>
  [pool, depotPool].find((own) => name === own || name?.startsWith(`${own}/`))

export const isOnline = (nodes: SetupObserved['nodes'], name: string): boolean =>
  nodes.some(({ node, status }) => node === name && status === 'online')

/** The API lists containers, too, and what is on the cluster's other nodes. */
export const isVmHere = ({ node }: SetupWanted, vm: SetupVm): boolean => vm.type === 'qemu' && vm.node === node
