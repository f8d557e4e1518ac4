/**
 * A data disk that is in no configuration, or in one that names a volume that is not there. Proxmox's reassignment
 * renames the volume, then writes the VM that loses it, then the one that gets it; killed in between, the volume is on
 * its storage under the number of the one that was to get it, and `qm disk rescan` on the node gives it to that VM.
 */
import { ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { storageAt } from '../proxmox/storage.ts'
import { vmAt } from '../proxmox/vm.ts'
import type { GroupPlaces } from './observe.ts'

export interface StrayVolume {
  readonly volume: string
  /** Whose number it bears. */
  readonly vmid: number
}

/** Volumes of the group's VMs that none of them names; as far as the token may see them, which takes Datastore.Audit. */
export async function strayVolumes(proxmox: Proxmox, { node, storage, depot, slots }: GroupPlaces): Promise<StrayVolume[]> {
  const list = async (vmid: number): Promise<StrayVolume[]> => {
    try {
      const config = await vmAt(proxmox, node, vmid).config()
      const named = Object.values(config).map((value) => String(value).split(',')[0])
      const volumes = await storageAt(proxmox, node, storage).disks(vmid)
      return volumes
        .filter(({ volid }) => !named.includes(volid) && !/cloudinit|-state-/.test(volid))
        .map(({ volid }) => ({ volume: volid, vmid }))
    } catch (error) {
      if (error instanceof ProxmoxError && error.status !== 0) return []
      throw error
    }
  }
  return (await Promise.all([depot.vmid, slots.blue.vmid, slots.green.vmid].map(list))).flat()
}

/** What to do about it, the most likely first; an empty disk is the last thing to think of. Pure. */
export function missingHint({ group, node, depot, slots }: GroupPlaces, strays: readonly StrayVolume[]): string {
  const last = `Only if it is lost for good: "npx golden delete-data ${group}", then "npx golden deploy" begins with an empty one.`
  const backup = `restore it into depot ${depot.vmid} from a backup`
  if (strays.length > 0) {
    const vmids = [...new Set(strays.map(({ vmid }) => vmid))]
    return `${strays.map(({ volume }) => volume).join(', ')} is on the storage and in no configuration, as after a handover that was interrupted on the node: ${vmids.map((vmid) => `"qm disk rescan --vmid ${vmid}"`).join(', ')} on node ${node} gives it back to the VM whose number it bears; then run the same command again. If that is not the data, ${backup}. ${last}`
  }
  return `A handover that was interrupted on the node leaves the volume in no configuration, under the number of the VM that was to get it: on node ${node} "qm disk rescan --vmid ${depot.vmid}" and "qm disk rescan --vmid ${slots.blue.vmid}" give it back; then run the same command again. If there is none, ${backup}. ${last}`
}
