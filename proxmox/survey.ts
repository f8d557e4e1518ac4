/** What there is on a Proxmox host, read by an administrator before there is a site. Nothing is changed. */
import { tokenNames, userNames } from './access.ts'
import { addressesInUse } from './addresses-in-use.ts'
import type { Proxmox } from './client.ts'
import { answeringNode, listGuests, type Guest } from './cluster.ts'
import { isDenied } from './conditions.ts'
import { bridgesOf, interfacesOf, listNodes, nameserversOf, releaseOf, type NodeEntry, type NodeInterface } from './nodes.ts'
import { storagesOf, type StorageOnNode } from './storage.ts'
import { requireRelease } from './version.ts'

export interface HostSeen {
  readonly nodes: readonly NodeEntry[]
  /** The node that answers. */
  readonly here: string | undefined
  readonly guests: readonly Guest[]
  /** `user@realm!name` of those tokens that were asked for and are there. */
  readonly tokens: readonly string[]
}

export interface NodeSeen {
  readonly node: string
  readonly storages: readonly StorageOnNode[]
  /** Bridges and vnets that VMs can be on. */
  readonly bridges: readonly string[]
  readonly interfaces: readonly NodeInterface[]
  /** None where the node does not tell. */
  readonly nameservers: readonly string[]
}

/**
 * @param tokens which of them are there already, of others nothing is told
 * @throws Failure `version-too-old`; what Proxmox refuses
 */
export async function lookAtHost(admin: Proxmox, tokens: readonly string[]): Promise<HostSeen> {
  requireRelease(await releaseOf(admin), undefined)
  const [nodes, here, guests, users] = await Promise.all([
    listNodes(admin),
    unlessDenied(answeringNode(admin), undefined),
    listGuests(admin),
    unlessDenied(userNames(admin), []),
  ])
  const there: string[] = []
  for (const token of tokens) {
    const [user = '', name = ''] = token.split('!')
    if (users.includes(user) && (await tokenNames(admin, user)).includes(name)) there.push(token)
  }
  return { nodes, here, guests, tokens: there }
}

/** @param node one that is online */
export async function lookAtNode(admin: Proxmox, node: string): Promise<NodeSeen> {
  const [storages, bridges, interfaces, nameservers] = await Promise.all([
    storagesOf(admin, node),
    bridgesOf(admin, node),
    interfacesOf(admin, node),
    unlessDenied(nameserversOf(admin, node), []),
  ])
  return { node, storages, bridges, interfaces, nameservers }
}

/** Addresses that nodes and guests have, as far as Proxmox knows them, and whose they are. */
export async function lookForAddresses(admin: Proxmox, { nodes, guests }: HostSeen): Promise<Map<string, string>> {
  const online = nodes.filter(({ status }) => status === 'online').map(({ node }) => node)
  const ofNodes = await Promise.all(
    online.map(async (node) =>
      (await interfacesOf(admin, node)).flatMap(({ address }) => (address === undefined ? [] : [{ address, by: `node ${node}` }])),
    ),
  )
  const ofGuests = await addressesInUse(
    admin,
    guests.filter(({ node }) => online.includes(node)),
  )
  return new Map([...ofGuests, ...ofNodes.flat()].map(({ address, by }) => [address, by]))
}

async function unlessDenied<T>(asked: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await asked
  } catch (error) {
    if (isDenied(error)) return otherwise
    throw error
  }
}
