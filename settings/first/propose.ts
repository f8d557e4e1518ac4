/** From what was answered and what was seen to a whole site: what is open, what is proposed for it, and what is in the way. Pure. */
import { Failure } from '../../core/failure.ts'
import { hostOf } from '../../core/proxy.ts'
import type { HostSeen, NodeSeen } from '../../proxmox/survey.ts'
import { addressNumber, contains, parseNetwork } from '../address.ts'
import { slotNames, type Transport } from '../names.ts'
import { addressNames, vmidNames, type Answers, type Os } from './answers.ts'
import { dotted, freeAddresses, freeTemplates, freeVmids } from './free.ts'
import { lanOf, nameserversFor, sortBridges, sortStorages, type Bridge, type Lan, type StoragesSorted } from './place.ts'
import type { PublicHost } from './words.ts'

/** What people have said so far, by flags or at questions; null: that they want none. */
export interface Given {
  name?: string
  node?: string
  disks?: string
  bridge?: string
  vlan?: number | null
  subnet?: string
  gateway?: string
  nameservers?: readonly string[]
  admin?: readonly string[]
  socksProxy?: { readonly host: string; readonly port: number } | null
  oneVm?: boolean
  publicHost?: PublicHost
  os?: Os
  transports?: readonly Transport[]
  user?: string
  addressesFrom?: string
  vmidsFrom?: number
}

export interface Known {
  readonly url: string
  readonly host: HostSeen
  readonly node: NodeSeen
  /** Addresses that are somebody's, and whose. */
  readonly taken: ReadonlyMap<string, string>
  /** This computer's addresses with their prefixes: `192.168.1.7/24`. */
  readonly own: readonly string[]
  /** The one that Proxmox is reached from. */
  readonly from: string
}

export interface Proposal {
  readonly storages: StoragesSorted
  readonly bridge: Bridge
  readonly bridges: readonly Bridge[]
  /** Undefined: it has to be said. */
  readonly lan: (Lan & { readonly nameservers: readonly string[] }) | undefined
  /** Whether somebody has to say how this computer gets to the VMs. */
  readonly wayUnclear: boolean
  /** Why there are not enough addresses. */
  readonly short: Failure | undefined
  /** All that a site takes; undefined while `lan` is, or addresses are too few. */
  readonly answers: Answers | undefined
}

export type Question = 'disks' | 'bridge' | 'network' | 'way' | 'vms' | 'publicHost'

/** What a person is asked next: where there is a choice to make, and nobody has made it. Undefined: that is all. */
export function openQuestion(given: Given, { storages, bridges, lan, wayUnclear, short }: Proposal): Question | undefined {
  if (given.disks === undefined && storages.fit.length > 1) return 'disks'
  if (given.bridge === undefined && bridges.length > 1) return 'bridge'
  if (lan === undefined) return 'network'
  if (wayUnclear) return 'way'
  // One takes fewer addresses.
  if (given.oneVm === undefined) return 'vms'
  if (short !== undefined) return 'network'
  return given.publicHost === undefined ? 'publicHost' : undefined
}

export const usualToken = 'golden@pve!golden'
export const ownToken = (name: string): string => `golden-${name}@pve!golden`

/**
 * @throws Failure `no-disk-storage`, `bridge-missing`; `usage` for a storage or bridge that was said and is not there, or can't be
 * used
 */
export function propose(given: Given, known: Known): Proposal {
  const storages = sortStorages(known.node.storages)
  const disks = disksOf(given, storages, known.node.node)
  const bridges = sortBridges(known.node.bridges, known.node.interfaces)
  const bridge = bridgeOf(given, bridges, known.node.node)
  const lan = lanFor(given, known, bridge.name)
  const oneVm = given.oneVm ?? false
  const wayUnclear = lan !== undefined && given.socksProxy === undefined && !isReached(known, lan.subnet)
  const addresses = lan === undefined ? [] : addressesFor(given, known, lan)
  const short = lan === undefined ? undefined : tooFew(given, lan.subnet, addresses.length)
  const proposed = { storages, bridge, bridges, lan, wayUnclear, short }
  if (lan === undefined || short !== undefined) return { ...proposed, answers: undefined }
  const name = given.name ?? freeName(known.host)
  const templates = freeTemplates(vmidsOf(known.host))
  const tokenId = known.host.tokens.includes(usualToken) ? ownToken(name) : undefined
  const answers: Answers = {
    name,
    url: known.url,
    node: known.node.node,
    disks,
    bridge: bridge.name,
    vlan: given.vlan ?? undefined,
    socksProxy: given.socksProxy ?? undefined,
    tokenId,
    templates,
    ...lan,
    admin: given.admin ?? adminNetworks(known, lan.subnet),
    publicHost: given.publicHost?.host ?? addresses[1] ?? '',
    httpsPort: given.publicHost?.port,
    os: given.os ?? 'ubuntu-24.04',
    transports: given.transports,
    user: given.user ?? 'me',
    oneVm,
    addresses,
    vmids: freeVmids({ taken: vmidsOf(known.host), templates }, vmidNames(oneVm).length, given.vmidsFrom),
  }
  return { ...proposed, answers }
}

function disksOf({ disks }: Given, { fit, unfit }: StoragesSorted, node: string): string {
  const list = unfit.map(({ storage, why }) => `\n  ${storage}: ${why}`).join('')
  const [best] = fit
  if (best === undefined)
    throw new Failure(
      'no-disk-storage',
      unfit.length === 0 ? `node ${node} has no storage` : `no storage of node ${node} can have the VMs' disks:${list}`,
      'Make one that is LVM-thin, ZFS, Ceph RBD, Btrfs, a directory, NFS or SMB/CIFS, for disk images (Proxmox: Datacenter, Storage). Nothing was written.',
    )
  if (disks === undefined || fit.some(({ storage }) => storage === disks)) return disks ?? best.storage
  const why = unfit.find(({ storage }) => storage === disks)?.why ?? `node ${node} has no such storage`
  throw new Failure('usage', `--disks ${disks}: ${why}`, `Say one of: ${fit.map(({ storage }) => storage).join(', ')}.`)
}

function bridgeOf({ bridge: wanted }: Given, bridges: readonly Bridge[], node: string): Bridge {
  const [first] = bridges
  if (first === undefined)
    throw new Failure(
      'bridge-missing',
      `node ${node} has no bridge and no vnet for VMs`,
      `Make a bridge on the node (Proxmox, ${node}, Network). Nothing was written.`,
    )
  if (wanted === undefined) return first
  const found = bridges.find(({ name }) => name === wanted)
  if (found !== undefined) return found
  const names = bridges.map(({ name }) => name).join(', ')
  throw new Failure('usage', `--bridge ${wanted}: node ${node} has no such bridge or vnet`, `Say one of: ${names}.`)
}

/** What was said of it, and the rest as the node has it, if it is the node's. */
function lanFor(given: Given, { node }: Known, bridge: string): Proposal['lan'] {
  const seen = lanOf(bridge, given.vlan ?? undefined, node.interfaces)
  const subnet = given.subnet ?? seen?.subnet
  const gateway = given.gateway ?? (subnet === seen?.subnet ? seen?.gateway : undefined)
  if (subnet === undefined || gateway === undefined) return undefined
  return { subnet, gateway, nameservers: given.nameservers ?? nameserversFor(node.nameservers, gateway) }
}

function addressesFor({ oneVm = false, addressesFrom }: Given, known: Known, lan: NonNullable<Proposal['lan']>): string[] {
  const own = known.own.map((cidr) => cidr.split('/')[0] ?? '')
  const taken = new Set([...known.taken.keys(), ...own, lan.gateway, ...lan.nameservers, hostOf(known.url)])
  return freeAddresses(lan.subnet, taken, addressNames(oneVm).length, addressesFrom)
}

function tooFew({ oneVm = false, addressesFrom }: Given, subnet: string, found: number): Failure | undefined {
  const wanted = addressNames(oneVm).length
  if (found === wanted) return undefined
  const from = addressesFrom === undefined ? '' : ` from ${addressesFrom} on`
  const ways = [
    ...(oneVm ? [] : [`one VM for both roles takes ${addressNames(true).length} (--one-vm)`]),
    ...(addressesFrom === undefined ? [] : ['say an earlier address (--addresses-from)']),
    'say another network (--subnet, --gateway)',
  ].join('; or ')
  return new Failure(
    'no-free-addresses',
    `${subnet} has ${found} free addresses${from}, and this site takes ${wanted}`,
    `${ways.charAt(0).toUpperCase()}${ways.slice(1)}. Nothing was written.`,
  )
}

const vmidsOf = ({ guests }: HostSeen): Set<number> => new Set(guests.map(({ vmid }) => vmid))

/** VMs are called by it, and two sites of one name would take each other's for their own. */
function freeName({ guests }: HostSeen): string {
  const names = new Set(guests.map(({ name }) => name))
  const isFree = (name: string): boolean =>
    ['serena', 'logging', 'all'].every((group) => [...slotNames, 'depot'].every((part) => !names.has(`${name}-${group}-${part}`)))
  for (let count = 1; ; count++) {
    const name = count === 1 ? 'home' : `home${count}`
    if (isFree(name)) return name
  }
}

/** The VMs' LAN, and the network of this computer if that is another one: who works here wants to get at them. */
function adminNetworks({ own, from }: Known, subnet: string): string[] {
  const lan = parseNetwork(subnet)
  const [address = '', prefix = '32'] = own.find((cidr) => cidr.startsWith(`${from}/`))?.split('/') ?? []
  const number = addressNumber(address)
  if (number === undefined || lan === undefined || contains(lan, address)) return [subnet]
  const size = 2 ** (32 - Number(prefix))
  return [subnet, `${dotted(Math.floor(number / size) * size)}/${prefix}`]
}

/** This computer is in that network; or Proxmox is, and is reached there. */
function isReached({ url, own }: Known, subnet: string): boolean {
  const lan = parseNetwork(subnet)
  return lan !== undefined && [hostOf(url), ...own.map((cidr) => cidr.split('/')[0] ?? '')].some((address) => contains(lan, address))
}
