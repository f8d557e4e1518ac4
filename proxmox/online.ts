/** Which of a list of VMs can be asked anything. */
import type { Proxmox } from './client.ts'
import { listNodes } from './nodes.ts'

/**
 * Without those on nodes that are down, whose configuration nobody can read: pveproxy hands such a request on to nobody,
 * and it would be waited for as for an API that is away.
 * @param here the site's node: only for others is it asked which are online
 */
export async function onOnlineNodes<T extends { readonly node: string }>(proxmox: Proxmox, here: string, vms: readonly T[]): Promise<T[]> {
  if (vms.every(({ node }) => node === here)) return [...vms]
  const nodes = await listNodes(proxmox)
  return vms.filter((vm) => !nodes.some(({ node, status }) => node === vm.node && status !== 'online'))
}
