/** Room on the disks of the VMs, before a slot takes over. Pure. */
import type { SlotName } from '../settings/site.ts'
import type { GuestStatus } from './guest.ts'
import type { Refusal } from './reconcile.ts'

/**
 * A slot that serves on a full data disk is left alone: what is stopped for a handover may not start again without room,
 * neither there nor here.
 */
export function fullDataDisk(group: string, owner: GuestStatus | undefined): Refusal[] {
  if (owner?.full?.includes('data') !== true || !owner.healthy) return []
  return [
    {
      code: 'slot-disk-full',
      message: `the data disk of group ${group} is full, and slot ${owner.slot} serves: services that are stopped now might not start again`,
      hint: 'Make room: delete what is not needed of the projects over SFTP, or let the disk grow in Proxmox (Hardware, Disk Action, Resize; then "resize2fs /dev/golden/data" in the VM).',
    },
  ]
}

/** A new slot that can write nothing down is no good, though it may look well. */
export function fullRootDisk(group: string, slot: SlotName, guest: GuestStatus): Refusal | undefined {
  if (guest.full?.includes('root') !== true) return undefined
  return {
    code: 'slot-disk-full',
    message: `the root disk of slot ${slot} of group ${group} is full: ${guest.problems.join('; ')}`,
    hint: `Give it more in site.ts (image.build.diskGiB), bake, and roll out again; or see in the VM what has filled it.`,
  }
}
