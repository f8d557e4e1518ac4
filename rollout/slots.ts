/** What interrupted runs leave behind and Terraform does not know: VMs of slots, and their firewall rules. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Proxmox } from '../proxmox/client.ts'
import { Failure } from '../proxmox/failure.ts'
import type { SlotName } from '../stacks/site.ts'
import { observeVm, type GroupPlaces, type VmSeen } from './observe.ts'

/** A clone that goes on without anybody waiting for it. */
const unlockTimeoutMs = 1_800_000

/**
 * Deletes a slot's VM through the API: only one that has this slot's name, is not protected and owns no data disk.
 * @returns whether there was one
 * @throws Failure `vm-not-in-state` when it is more than a leftover
 */
export async function removeLeftover(proxmox: Proxmox, places: GroupPlaces, slot: SlotName, signal: AbortSignal): Promise<boolean> {
  const { vmid, name } = places.slots[slot]
  const path = `/nodes/${places.node}/qemu/${vmid}`
  const vm = await unlocked(proxmox, places.node, vmid, signal)
  if (vm.there === false) return false
  if (vm.there === 'foreign' || (vm.name !== name && vm.name !== '')) {
    throw new Failure('vmid-taken', `VMID ${vmid}, wanted for ${name}, is ${vm.there === true ? `VM "${vm.name}"` : 'a VM'} of somebody else`, `Choose another groups.${places.group}.slots.${slot}.vmid in site.ts. That VM was not touched.`)
  }
  if (vm.protected || vm.disks.length > 0) {
    throw new Failure('vm-not-in-state', `VM ${vmid} (${name}) runs, but Terraform's state does not know it`, `Restore the state (backend in site.ts), or end the release with "npx golden destroy ${places.group}". The data is kept.`)
  }
  if (vm.running) await proxmox.task(await proxmox.post<string>(`${path}/status/stop`))
  await proxmox.task(await proxmox.del<string>(path, { purge: 1 }))
  return true
}

async function unlocked(proxmox: Proxmox, node: string, vmid: number, signal: AbortSignal): Promise<VmSeen> {
  const until = performance.now() + unlockTimeoutMs
  for (;;) {
    const vm = await observeVm(proxmox, node, vmid, 'scsi0')
    if (vm.there !== true || vm.lock === undefined) return vm
    if (performance.now() > until) throw new Failure('vm-locked', `VM ${vmid} stays locked (${vm.lock})`, `Look at its tasks in Proxmox; "qm unlock ${vmid}" on the node removes a stale lock.`)
    await delay(1000, undefined, { signal })
  }
}

/**
 * Removes a VM's firewall rules: the provider refuses to add its own to any that are there.
 * @returns how many there were
 */
export async function removeLeftoverRules(proxmox: Proxmox, places: GroupPlaces, slot: SlotName): Promise<number> {
  const path = `/nodes/${places.node}/qemu/${places.slots[slot].vmid}/firewall/rules`
  const rules = await proxmox.get<{ pos: number }[]>(path)
  // From the last one, so that the others keep their numbers.
  for (const { pos } of rules.toSorted((a, b) => b.pos - a.pos)) await proxmox.del(`${path}/${pos}`)
  return rules.length
}
