/** Where on a Proxmox host a new site would go, by what its node tells. Pure. */
import { addressNumber, isOneMachine, parseNetwork } from '../address.ts'
import type { NodeInterface } from '../../proxmox/nodes.ts'
import type { StorageOnNode } from '../../proxmox/storage.ts'
import { kindOf, lackOf } from '../../proxmox/storage-kinds.ts'
import { dotted } from './free.ts'

export interface FittingStorage {
  readonly storage: string
  /** For people: what it is, what it can do, and how much room it has. */
  readonly about: string
}

export interface StoragesSorted {
  /** Disks of VMs can be there; the best one first. */
  readonly fit: readonly FittingStorage[]
  /** The others, and why they are no choice. */
  readonly unfit: readonly { readonly storage: string; readonly why: string }[]
}

/** What is worth a word: an image has 16 GiB, data disks have 32 each, and mostly little of that is used. */
const littleRoom = 50 * 2 ** 30

export function sortStorages(storages: readonly StorageOnNode[]): StoragesSorted {
  const looked = storages.map((one) => ({ ...one, kind: kindOf(one.type), why: whyNot(one) }))
  const fit = looked.filter(({ why }) => why === undefined)
  // Clones that share the image's disk are there in a second; on block devices there is no file system below the VM's.
  const rank = ({ kind }: (typeof looked)[number]): number => (kind.linkedClone ? 0 : 2) + (kind.files ? 1 : 0)
  fit.sort((a, b) => rank(a) - rank(b) || (b.avail ?? 0) - (a.avail ?? 0))
  return {
    fit: fit.map(({ storage, kind, avail = 0 }) => ({
      storage,
      about: [
        kind.called,
        kind.linkedClone ? 'templates and linked clones' : 'templates and full clones',
        `${Math.round(avail / 2 ** 30)} GiB free${avail < littleRoom ? ', which is little' : ''}`,
      ].join(', '),
    })),
    unfit: looked.flatMap(({ storage, why }) => (why === undefined ? [] : [{ storage, why }])),
  }
}

function whyNot({ storage, type, content, active, enabled }: StorageOnNode): string | undefined {
  const kind = kindOf(type)
  const lacks = lackOf(kind)
  if (lacks !== undefined) return `it is ${kind.called}, ${lacks}`
  if (active === 0 || enabled === 0) return 'it is not active on this node'
  const kinds = content.split(',')
  return kinds.includes('images')
    ? undefined
    : `it is not enabled for disk images ("pvesm set ${storage} --content ${[...kinds.filter((one) => one !== ''), 'images'].join(',')}" on the node does that)`
}

export interface Bridge {
  readonly name: string
  /** VMs may have VLANs of their own on it. */
  readonly vlans: boolean
  /** For people: the network that is on it, if the node has an address there. */
  readonly about: string
}

/** Bridges and vnets that VMs can be on; the one with the way to the world first. @param names those that Proxmox offers for VMs */
export function sortBridges(names: readonly string[], interfaces: readonly NodeInterface[]): Bridge[] {
  const ways = interfaces.filter(({ gateway }) => gateway !== undefined).map(({ iface }) => iface)
  // `vmbr0.20`: the node's own way may be a VLAN on the bridge.
  const rank = (name: string): number => (ways.includes(name) ? 0 : ways.some((way) => way.startsWith(`${name}.`)) ? 1 : 2)
  return [...names]
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
    .map((name) => {
      const own = interfaces.find(({ iface }) => iface === name)
      const network = lanOf(name, undefined, interfaces)
      return {
        name,
        vlans: own?.bridge_vlan_aware === 1 || own?.type === 'OVSBridge',
        about: network === undefined ? 'the node has no address there' : network.subnet,
      }
    })
}

export interface Lan {
  readonly subnet: string
  readonly gateway: string
}

/** VLANs on a bridge that the node has an interface in, and their networks where it has an address. For people. */
export function vlansOn(bridge: string, interfaces: readonly NodeInterface[]): string[] {
  const numbers = interfaces.flatMap((one) => {
    const [, number] = one.iface.startsWith(`${bridge}.`) ? (/\.(\d+)$/.exec(one.iface) ?? []) : []
    const said = one['vlan-raw-device'] === bridge ? one['vlan-id'] : undefined
    return number ?? said ?? []
  })
  return [...new Set(numbers.map(Number))]
    .sort((a, b) => a - b)
    .map((vlan) => {
      const network = lanOf(bridge, vlan, interfaces)
      return network === undefined ? String(vlan) : `${vlan} (${network.subnet})`
    })
}

/** The network of a bridge, or of a VLAN on it, by the address that the node has there; undefined: none, so that nobody can tell. */
export function lanOf(bridge: string, vlan: number | undefined, interfaces: readonly NodeInterface[]): Lan | undefined {
  const found = interfaces.find((one) =>
    vlan === undefined
      ? one.iface === bridge
      : one.iface === `${bridge}.${vlan}` || (one['vlan-raw-device'] === bridge && Number(one['vlan-id']) === vlan),
  )
  const [address = '', prefix] = found?.cidr?.split('/') ?? []
  const number = addressNumber(address)
  if (number === undefined || prefix === undefined || Number(prefix) > 30) return undefined
  const size = 2 ** (32 - Number(prefix))
  const subnet = `${dotted(Math.floor(number / size) * size)}/${prefix}`
  if (parseNetwork(subnet) === undefined) return undefined
  // A bridge whose way is another one is the node's own network, for which it is the router.
  return { subnet, gateway: found?.gateway ?? address }
}

/** Those of the node that VMs can ask, too; else the gateway, which is a router's usual job. */
export function nameserversFor(ofNode: readonly string[], gateway: string): string[] {
  const usable = [...new Set(ofNode)].filter(isOneMachine)
  return usable.length === 0 ? [gateway] : usable
}
