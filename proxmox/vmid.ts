/** VMIDs, which belong to the whole cluster. */
import { ProxmoxError, type Proxmox } from './client.ts'

/** Whether no VM or container has it; `cluster/nextid` knows of those, too, that the token may not see. */
export async function isFree(proxmox: Proxmox, vmid: number): Promise<boolean> {
  try {
    await proxmox.get('/cluster/nextid', { vmid })
    return true
  } catch (error) {
    if (error instanceof ProxmoxError && error.status === 400) return false
    throw error
  }
}
