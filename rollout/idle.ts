/** The slot that does not own the data: it waits for its turn, rests, or makes room for the next release. */
import { vmAt } from '../proxmox/vm.ts'
import { Failure } from '../core/failure.ts'
import type { SlotName } from '../settings/site.ts'
import type { ActivationContext } from './activate.ts'
import { settleGroup, shutdown, unprotect } from './depot.ts'
import { observeGroup, type VmThere } from './observe.ts'

/** In seconds; there is nothing in it that could be lost. */
const shutdownSeconds = 180

async function lookAtIdle({ proxmox, places, signal }: ActivationContext, slot: SlotName): Promise<VmThere | undefined> {
  await settleGroup(proxmox, places, signal)
  const vm = (await observeGroup(proxmox, places)).slots[slot]
  if (vm.there !== true) return undefined
  if (vm.disks.length > 0)
    throw new Failure(
      'data-in-use',
      `slot ${slot} of group ${places.group} has a disk that could be data: ${vm.disks.map(({ volume }) => volume).join(', ')}`,
      'Nothing was touched. Run the same command again: it looks first, and goes on from there.',
    )
  return vm
}

/** Proxmox lets its VM be deleted again. Nothing to do where there is none. @throws Failure `data-in-use` */
export async function letBeRemoved(context: ActivationContext, slot: SlotName): Promise<void> {
  const vm = await lookAtIdle(context, slot)
  if (vm?.protected === true) await unprotect(context.proxmox, context.places, { vmid: context.places.slots[slot].vmid, vm })
}

/** It does not run, nor start with the host, until it is wanted again. @throws Failure `data-in-use` */
export async function rest(context: ActivationContext, slot: SlotName): Promise<void> {
  const { proxmox, places, signal } = context
  const vm = await lookAtIdle(context, slot)
  if (vm === undefined) return
  const { vmid } = places.slots[slot]
  await vmAt(proxmox, places.node, vmid).change({ onboot: false, digest: vm.digest })
  if (vm.running) await shutdown(proxmox, places, vmid, shutdownSeconds, signal)
}

/** It starts with the host again. */
export async function wake({ proxmox, places }: ActivationContext, slot: SlotName): Promise<void> {
  await vmAt(proxmox, places.node, places.slots[slot].vmid).change({ onboot: true })
}
