/** Who may use a volume (PVE::Storage::check_volume_access). */
import type { Caller } from '../caller.ts'
import { fail } from '../errors.ts'
import { parseVolid, type Volume } from './volumes.ts'

/**
 * @param vmid the VM that is going to use it
 * @returns the volume; nothing for an absolute path, which only root may name
 */
export function requireVolumeAccess(caller: Caller, vmid: number | undefined, volid: string): Volume | undefined {
  const volume = parseVolid(volid)
  if (volume === undefined) {
    if (!caller.isRoot) fail('Only root can pass arbitrary filesystem paths.')
    return undefined
  }
  const path = `/storage/${volume.storage}`
  if (caller.has(path, 'Datastore.Allocate')) return volume
  if (volume.kind !== 'images') {
    if (volume.kind === 'snippets') fail(`missing privileges to access ${volid}`)
    caller.requireAny(path, 'Datastore.AllocateSpace', 'Datastore.Audit')
  } else if (volume.vmid !== vmid) {
    caller.require(path, 'Datastore.Audit')
    caller.require(`/vms/${volume.vmid}`, 'VM.Config.Disk')
  }
  return volume
}
