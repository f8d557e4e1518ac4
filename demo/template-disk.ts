/** Where a template's disk is on this computer. */
import type { Proxmox } from '../proxmox/client.ts'
import { storageAt, storageOfVolume } from '../proxmox/storage.ts'
import { vmAt } from '../proxmox/vm.ts'

/** What is a block device on a node is a file here, and the lab tells which. */
export async function templateDisk(proxmox: Proxmox, node: string, vmid: number): Promise<string> {
  const config = await vmAt(proxmox, node, vmid).config()
  const [volume = ''] = String(config.scsi0 ?? '').split(',')
  return (await storageAt(proxmox, node, storageOfVolume(volume)).volume(volume)).path
}
