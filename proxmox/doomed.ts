/** The mark of a VM that is about to be deleted. */
import type { Proxmox } from './client.ts'
import { vmAt } from './vm.ts'

export const doomedTag = 'golden-doomed'

/**
 * Proxmox's DELETE takes no digest, so what it is to take is marked right before by a change that does: a VM that was
 * changed, or made anew under this VMID, since it was looked at refuses that (`isOutdated`), and whoever is about to use
 * this one finds it changed.
 * @param digest of the look that says that it may go
 */
export async function markDoomed(proxmox: Proxmox, node: string, vmid: number, digest: string | undefined): Promise<void> {
  await vmAt(proxmox, node, vmid).change({ tags: doomedTag, digest: String(digest) })
}
