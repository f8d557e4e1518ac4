/** Who is in the site's pools, over which the token has rights, and which of them no site of this project made. */
import type { FailureFacts } from '../core/failure.ts'
import { sideBySide } from '../core/side-by-side.ts'
import type { Proxmox } from './client.ts'
import { listGuests, type Guest } from './cluster.ts'
import { isVmMissing } from './conditions.ts'
import type { NodeEntry } from './nodes.ts'
import { isOurs } from './ours.ts'
import { storagesInPool } from './pools.ts'
import { vmAt, type VmConfig } from './vm.ts'

export interface PoolsWanted {
  readonly node: string
  readonly pool: string
  readonly depotPool: string
  readonly depots: readonly { readonly vmid: number }[]
}

export interface ListedVm {
  readonly vmid: number
  readonly type: string
  readonly node: string
  /** Of depots and members of the site's pools as their configuration has it; a list of VMs tells names late. */
  readonly name?: string
  readonly pool?: string
  /** Its configuration says that this project made it. */
  readonly ours?: boolean
  /** Of those whose configuration was read. */
  readonly config?: VmConfig
}

export interface PoolMembers {
  /** VMs and containers of all nodes, as far as whoever asks may see them. */
  readonly vms: readonly ListedVm[]
  /** Storages that are members of pools. */
  readonly pooledStorages?: readonly { pool: string; storage: string }[]
  /** `protection` by VMID, of those VMs that are wanted as depots. */
  readonly protectedVms: ReadonlySet<number>
}

/** Configurations that are read at once. */
const atOnce = 4

/** @param pools those that there are */
export async function observePoolMembers(
  proxmox: Proxmox,
  wanted: PoolsWanted,
  nodes: readonly NodeEntry[],
  pools: readonly string[],
): Promise<PoolMembers> {
  const looks = await sideBySide(await listGuests(proxmox), atOnce, (guest) => lookAt(proxmox, wanted, nodes, guest))
  const pooledStorages: { pool: string; storage: string }[] = []
  for (const poolid of pools.filter((pool) => poolOf(wanted, pool) !== undefined)) {
    for (const storage of await storagesInPool(proxmox, poolid)) pooledStorages.push({ pool: poolid, storage })
  }
  const found = looks.filter((look) => look !== undefined)
  return {
    vms: found.map(({ vm }) => vm),
    pooledStorages,
    protectedVms: new Set(found.flatMap(({ vm, isProtected }) => (isProtected ? [vm.vmid] : []))),
  }
}

/**
 * Of the list of VMs only who is there, and in which pool, is believed: names come up to ten seconds late, so they are
 * read from the configurations of those that matter.
 * @returns undefined: it went since it was listed
 */
async function lookAt(
  proxmox: Proxmox,
  wanted: PoolsWanted,
  nodes: readonly NodeEntry[],
  { vmid, type, node, name, pool }: Guest,
): Promise<{ readonly vm: ListedVm; readonly isProtected: boolean } | undefined> {
  const listed: ListedVm = { vmid, type, node, ...(name === undefined ? {} : { name }), ...(pool === undefined ? {} : { pool }) }
  const isDepot = wanted.depots.some((depot) => depot.vmid === vmid)
  const matters = isDepot ? isVmHere(wanted, listed) : type === 'qemu' && poolOf(wanted, pool) !== undefined
  // Of a container, and on a node that is off, there is no such configuration to read.
  if (!matters || !isOnline(nodes, node)) return { vm: listed, isProtected: false }
  const config = await readConfig(proxmox, node, vmid)
  if (config === undefined) return undefined
  return {
    vm: { ...listed, ...(config.name === undefined ? {} : { name: config.name }), ours: isOurs(config), config },
    isProtected: isDepot && config.protection === 1,
  }
}

async function readConfig(proxmox: Proxmox, node: string, vmid: number): Promise<VmConfig | undefined> {
  try {
    return await vmAt(proxmox, node, vmid).config()
  } catch (error) {
    if (isVmMissing(error)) return undefined
    throw error
  }
}

/** Members of a pool that no site of this project made, for people. Pure. */
export function strangersIn(
  wanted: PoolsWanted,
  nodes: readonly NodeEntry[],
  { vms, pooledStorages }: PoolMembers,
  pool: string,
): string[] {
  const within = (name: string | undefined): boolean => poolOf(wanted, name) === pool
  const others = vms.filter((vm) => within(vm.pool) && vm.ours !== true && !wanted.depots.some((depot) => depot.vmid === vm.vmid))
  return [
    ...others.map(
      (vm) => `${nameOf(vm)}${isOnline(nodes, vm.node) ? '' : ` of node ${vm.node}, which is off, so that nothing more can be told of it`}`,
    ),
    ...(pooledStorages ?? []).filter((entry) => within(entry.pool)).map(({ storage }) => `storage ${storage}`),
  ]
}

/** Why that can't stay so. Pure. @param setting which of proxmox.* names the pool */
export const sharedPool = (setting: 'pool' | 'depotPool', pool: string, others: readonly string[]): FailureFacts => ({
  code: 'pool-shared',
  message: `pool ${pool} has what is not this project's, and the token would get rights over it: ${others.join(', ')}`,
  hint: `Set proxmox.${setting} in site.ts to a pool of its own (setup makes it), or take these out of ${pool} (Proxmox: Datacenter, Permissions, Pools). Nothing was touched.`,
})

export const nameOf = ({ type, vmid, name }: ListedVm): string =>
  `${type === 'qemu' ? 'VM' : 'container'} ${vmid}${name === undefined ? '' : ` (${name})`}`

/** Which of the site's pools this is, or lies in: permissions for a pool hold in those below it as well. */
export const poolOf = ({ pool, depotPool }: PoolsWanted, name: string | undefined): string | undefined =>
  [pool, depotPool].find((own) => name === own || name?.startsWith(`${own}/`))

export const isOnline = (nodes: readonly NodeEntry[], name: string): boolean =>
  nodes.some(({ node, status }) => node === name && status === 'online')

/** The API lists containers, too, and what is on the cluster's other nodes. */
export const isVmHere = ({ node }: PoolsWanted, vm: ListedVm): boolean => vm.type === 'qemu' && vm.node === node
