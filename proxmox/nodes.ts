/** The nodes of the cluster, and what is asked of one. */
import type { Proxmox } from './client.ts'
import { parseRelease, type Release } from './version.ts'

export interface NodeEntry {
  readonly node: string
  readonly status: string
}

export const listNodes = (proxmox: Proxmox): Promise<NodeEntry[]> => proxmox.get('/nodes')

/** Of bridges and vnets those that the token may use. */
export async function bridgesOf(proxmox: Proxmox, node: string): Promise<string[]> {
  return (await proxmox.get<{ iface: string }[]>(`/nodes/${node}/network`, { type: 'any_bridge' })).map(({ iface }) => iface)
}

/** An interface of a node's network, as it is configured: bridges, VLANs on them, and what they are made of. */
export interface NodeInterface {
  readonly iface: string
  /** `bridge`, `OVSBridge`, `vlan`, `eth`, … */
  readonly type: string
  readonly address?: string
  /** The same with its prefix: `192.168.1.5/24`. */
  readonly cidr?: string
  readonly gateway?: string
  /** Of a bridge: VMs may have VLANs of their own on it. */
  readonly bridge_vlan_aware?: number
  /** Of a VLAN: which it is, and what it is on. */
  readonly 'vlan-id'?: number | string
  readonly 'vlan-raw-device'?: string
}

export const interfacesOf = (proxmox: Proxmox, node: string): Promise<NodeInterface[]> => proxmox.get(`/nodes/${node}/network`)

/** Those that a node asks for names. It takes Sys.Audit on the node. */
export async function nameserversOf(proxmox: Proxmox, node: string): Promise<string[]> {
  const { dns1, dns2, dns3 } = await proxmox.get<{ dns1?: string; dns2?: string; dns3?: string }>(`/nodes/${node}/dns`)
  return [dns1, dns2, dns3].filter((address) => address !== undefined)
}

/** The version of Proxmox VE on a node. @param node @default the one that answers */
export async function releaseOf(proxmox: Proxmox, node?: string): Promise<Release | undefined> {
  return parseRelease(await proxmox.get(node === undefined ? '/version' : `/nodes/${node}/version`))
}

/** The least that can be asked. Rejects when there is no answer. */
export async function requireAnswer(proxmox: Proxmox): Promise<void> {
  await proxmox.get('/version')
}

/** PEM of the certificates that a node has. */
export async function certificatesOf(proxmox: Proxmox, node: string): Promise<string[]> {
  return (await proxmox.get<{ pem?: string }[]>(`/nodes/${node}/certificates/info`)).map(({ pem }) => pem ?? '')
}
