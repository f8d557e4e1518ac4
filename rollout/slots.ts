/** Where the state and the host differ: what an interrupted run made and could not note, and VMs that vanished. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Proxmox } from '../proxmox/client.ts'
import { Failure } from '../proxmox/failure.ts'
import type { SlotName } from '../stacks/site.ts'
import type { Engine } from './engine.ts'
import { observeVm, type GroupPlaces, type VmSeen } from './observe.ts'

/** A clone that goes on without anybody waiting for it. */
const unlockTimeoutMs = 1_800_000

/**
 * Deletes a slot's VM through the API: only one that has this slot's name (or none yet, because it was just being
 * made), is not protected and owns no data disk.
 * @returns whether there was one
 * @throws Failure `vmid-taken` for somebody else's VM, `vm-not-in-state` when it is more than a leftover
 */
export async function removeLeftover(proxmox: Proxmox, places: GroupPlaces, slot: SlotName, signal: AbortSignal): Promise<boolean> {
  const { vmid, name } = places.slots[slot]
  const path = `/nodes/${places.node}/qemu/${vmid}`
  const { vm, inTheMaking } = await unlocked(proxmox, places.node, vmid, signal)
  if (vm.there === false) return false
  // Proxmox gives a clone its name at the very end: one that stopped before that has none.
  if (vm.there === 'foreign' || (vm.name !== name && !(vm.name === '' && inTheMaking))) {
    throw new Failure('vmid-taken', `VMID ${vmid}, wanted for ${name}, is ${vm.there === true ? `VM "${vm.name}"` : 'a VM'} of somebody else`, `Choose another groups.${places.group}.slots.${slot}.vmid in site.ts. That VM was not touched.`)
  }
  if (vm.protected || vm.disks.length > 0) {
    throw new Failure('vm-not-in-state', `VM ${vmid} (${name}) runs, but Terraform's state does not know it`, `Restore the state (backend in site.ts), or end the release with "npx golden destroy ${places.group}". The data is kept.`)
  }
  if (vm.running) await proxmox.task(await proxmox.post<string>(`${path}/status/stop`))
  await proxmox.task(await proxmox.del<string>(path, { purge: 1 }))
  return true
}

/** @returns the VM once nothing locks it, and whether it was being made at the first look */
async function unlocked(proxmox: Proxmox, node: string, vmid: number, signal: AbortSignal): Promise<{ vm: VmSeen; inTheMaking: boolean }> {
  const until = performance.now() + unlockTimeoutMs
  let inTheMaking: boolean | undefined
  for (;;) {
    const vm = await observeVm(proxmox, node, vmid, 'scsi0')
    const lock = vm.there === true ? vm.lock : undefined
    inTheMaking ??= lock === 'clone' || lock === 'create'
    if (lock === undefined) return { vm, inTheMaking }
    if (performance.now() > until) throw new Failure('vm-locked', `VM ${vmid} stays locked (${lock})`, `Look at its tasks in Proxmox; "qm unlock ${vmid}" on the node removes a stale lock.`)
    await delay(1000, undefined, { signal })
  }
}

/**
 * Removes a VM's firewall rules: the provider refuses to add its own to any that are there.
 * @returns how many there were
 */
async function removeLeftoverRules(proxmox: Proxmox, places: GroupPlaces, slot: SlotName): Promise<number> {
  const path = `/nodes/${places.node}/qemu/${places.slots[slot].vmid}/firewall/rules`
  const rules = await proxmox.get<{ pos: number }[]>(path)
  // From the last one, so that the others keep their numbers.
  for (const { pos } of rules.toSorted((a, b) => b.pos - a.pos)) await proxmox.del(`${path}/${pos}`)
  return rules.length
}

/**
 * Makes the state agree with the host, one slot at a time, so that the engine can go on.
 * @param known what the state has
 */
export async function settleSlot(proxmox: Proxmox, places: GroupPlaces, slot: SlotName, engine: Engine, stack: string, known: readonly string[], note: (text: string) => void, signal: AbortSignal): Promise<void> {
  const { vmid, name } = places.slots[slot]
  const vm = `proxmox_virtual_environment_vm.${slot}`
  const rules = `proxmox_virtual_environment_firewall_rules.${slot}_rules`
  const firewall = `proxmox_virtual_environment_firewall_options.${slot}_firewall`
  if (!known.includes(vm)) {
    if (await removeLeftover(proxmox, places, slot, signal)) note(`removed what an interrupted run left of ${name}`)
  } else if ((await observeVm(proxmox, places.node, vmid, 'scsi0')).there === false) {
    // The provider can't find that out: Proxmox answers 403 for a VM that is in no pool any more.
    await engine.forget(stack, [vm, rules, firewall].filter((address) => known.includes(address)))
    note(`${name} is not on the host any more`)
  } else if (!known.includes(rules) && await removeLeftoverRules(proxmox, places, slot) > 0) {
    note(`removed firewall rules that an interrupted run left of ${name}`)
  }
}
