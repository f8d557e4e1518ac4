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
