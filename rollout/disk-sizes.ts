/** How large disks are, by what Proxmox calls them. */
import { ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { storageAt, storageOfVolume } from '../proxmox/storage.ts'

/** In bytes, as a VM sees them; without those of which Proxmox does not tell. */
export async function diskSizes(
  proxmox: Proxmox,
  disks: readonly { readonly node: string; readonly volume?: string | undefined }[],
): Promise<Map<string, number>> {
  const places = new Map(
    disks.flatMap(({ node, volume }) => (volume === undefined ? [] : [[`${node} ${storageOfVolume(volume)}`, { node, volume }] as const])),
  )
  const sizes = new Map<string, number>()
  for (const { node, volume } of places.values()) {
    try {
      for (const { volid, size } of await storageAt(proxmox, node, storageOfVolume(volume)).disks(undefined)) {
        if (size !== undefined) sizes.set(volid, size)
      }
    } catch (error) {
      // A storage that is away has disks of unknown size, and is no reason to say nothing at all.
      if (!(error instanceof ProxmoxError) || error.status === 0) throw error
    }
  }
  return sizes
}
