/** The fixed MAC addresses of VMs. */
import { sha256 } from '../core/canonical.ts'

/**
 * In Proxmox's own range (BC:24:11), so that it looks like any other VM's. The rest is of the VM's address as well as of
 * its VMID: two sites on different hosts of one LAN may have the same VMIDs, but never the same addresses.
 */
export function macOf(vmid: number, address: string): string {
  const digits = sha256(`${vmid} ${address}`).slice(0, 6).toUpperCase()
  return `BC:24:11:${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4)}`
}
