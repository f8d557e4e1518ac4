/** Where the state and the host differ: what an interrupted run made and could not note, and VMs that vanished. */
import type { Proxmox } from '../proxmox/client.ts'
import { Failure, isLost } from '../core/failure.ts'
import { isOutdated } from '../proxmox/conditions.ts'
import { vmFirewall } from '../proxmox/firewall.ts'
import { removeVm, type VmToRemove } from '../proxmox/remove-vm.ts'
import type { SlotName } from '../settings/site.ts'
import type { Engine } from './engine.ts'
import { madeFor } from './outdated.ts'
import { checkSlot, observeVm, taken, type GroupPlaces, type VmSeen, type VmThere } from './observe.ts'

/** A clone that goes on without anybody waiting for it. */
const unlockTimeoutMs = 1_800_000
/** How often the rules are looked at anew, because an answer was lost or somebody was quicker. */
const removeTries = 5

/**
 * Deletes a slot's VM through the API: only one that has this slot's name (or none yet, because it was just being
 * made), is not protected and owns no data disk, and only the one that was seen so. One that gets the data between the
 * mark and the deletion has been protected before (depot.ts), and Proxmox refuses to delete it.
 * @returns whether there was one
 * @throws Failure `vmid-taken` for somebody else's VM, `vm-not-in-state` when it is more than a leftover
 */
export async function removeLeftover(proxmox: Proxmox, places: GroupPlaces, slot: SlotName, signal: AbortSignal): Promise<boolean> {
  const { vmid } = places.slots[slot]
  let inTheMaking = false
  const look = async (): Promise<VmToRemove | undefined> => {
    const vm = await observeVm(proxmox, places.node, vmid, 'scsi0')
    if (vm.there === false) return undefined
    // Whose it is shows when it is made.
    if (vm.there === true && vm.lock !== undefined) {
      inTheMaking ||= vm.lock === 'clone' || vm.lock === 'create'
      return vm
    }
    return checkLeftover(places, slot, vm, inTheMaking)
  }
  return removeVm(proxmox, places.node, vmid, look, { timeoutMs: unlockTimeoutMs, signal })
}

/** @throws Failure for any VM that is not a leftover of this slot */
function checkLeftover(places: GroupPlaces, slot: SlotName, vm: VmSeen, inTheMaking: boolean): VmThere {
  const { vmid, name } = places.slots[slot]
  checkSlot(places, slot, vm)
  // Proxmox gives a clone its name at the very end: one that stopped before that has none.
  if (vm.there !== true || (vm.name !== name && !(vm.name === '' && inTheMaking)))
    throw taken(places, slot, vm.there === true ? vm.name : undefined)
  if (vm.protected || vm.disks.length > 0) {
    throw new Failure(
      'vm-not-in-state',
      `VM ${vmid} (${name}) runs, but Terraform's state does not know it`,
      `Put the state back to where backend in site.ts says, or that setting to where the state is; or end the release with "npx golden destroy ${places.group}". The data is kept.`,
    )
  }
  return vm
}

/**
 * Removes a VM's firewall rules: the provider refuses to add its own to any that are there.
 * @returns how many there were
 */
async function removeLeftoverRules(proxmox: Proxmox, places: GroupPlaces, slot: SlotName): Promise<number> {
  const firewall = vmFirewall(proxmox, places.node, places.slots[slot].vmid)
  for (let removed = 0, lost = 0; ; removed++) {
    // One a look: a number means another rule as soon as somebody else has changed the list, which its digest tells; and
    // nobody knows whether one is gone whose answer was lost.
    const [rule] = await firewall.rules()
    if (rule === undefined) return removed
    await firewall.removeRule(rule).catch((error: unknown) => {
      if (!(isLost(error) || isOutdated(error)) || ++lost === removeTries) throw error
    })
  }
}

/**
 * Takes a slot's VM that serves into a state that has lost it: an older checkout was applied, or the state is of a backup.
 * Only one that says itself that it is what is pinned.
 * @returns whether it did
 */
async function adopt(
  { node, slots }: GroupPlaces,
  slot: SlotName,
  release: string,
  seen: VmSeen,
  engine: Engine,
  stack: string,
  known: readonly string[],
): Promise<boolean> {
  const { vmid, name } = slots[slot]
  if (seen.there !== true || seen.lock !== undefined || seen.name !== name || madeFor(seen) !== release) return false
  // Anything less than this is a leftover of a run that was interrupted.
  if (!seen.protected && seen.disks.length === 0) return false
  // The VM last: killed before, this is done again.
  for (const [address, id] of [
    [`proxmox_virtual_environment_firewall_options.${slot}_firewall`, `vm/${node}/${vmid}`],
    [`proxmox_virtual_environment_firewall_rules.${slot}_rules`, `vm/${node}/${vmid}`],
    [`proxmox_virtual_environment_vm.${slot}`, `${node}/${vmid}`],
  ] as const)
    if (!known.includes(address)) await engine.adopt(stack, address, id)
  return true
}

/** Addresses of a slot in the state, the VM's and all that hang on it. */
export const ofSlot = (known: readonly string[], slot: SlotName): string[] =>
  known.filter((address) => new RegExp(`\\.${slot}(_\\w+)?$`).test(address))

/**
 * Makes the state agree with the host, one slot at a time, so that the engine can go on. What a run on another computer
 * is making right now looks like a leftover: it holds the state's lock, and when it has ended the state knows.
 * @param known what the state has
 * @param release the pinned one, whose VM is taken into the state where it serves; undefined: all goes anyway
 * @returns whether that was done
 * @throws Failure `state-locked` when there is something to settle and another run is at work
 */
export async function settleSlot(
  proxmox: Proxmox,
  places: GroupPlaces,
  slot: SlotName,
  engine: Engine,
  stack: string,
  known: readonly string[],
  release: string | undefined,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<'adopted' | 'settled'> {
  const { vmid, name } = places.slots[slot]
  const vm = `proxmox_virtual_environment_vm.${slot}`
  const rules = `proxmox_virtual_environment_firewall_rules.${slot}_rules`
  const firewall = `proxmox_virtual_environment_firewall_options.${slot}_firewall`
  const newly = async (address: string): Promise<boolean> => {
    await engine.tryLock(stack)
    return (await engine.listState(stack)).includes(address)
  }
  const seen = await observeVm(proxmox, places.node, vmid, 'scsi0')
  const { there } = seen
  if (!known.includes(vm)) {
    if (there === false || (await newly(vm))) return 'settled'
    if (release !== undefined && (await adopt(places, slot, release, seen, engine, stack, known))) {
      note(`${name} was not in the state, and is release ${release}: taken in`)
      return 'adopted'
    }
    if (await removeLeftover(proxmox, places, slot, signal)) note(`removed what an interrupted run left of ${name}`)
  } else if (there === false) {
    // The provider can't find that out: Proxmox answers 403 for a VM that is in no pool any more.
    await engine.forget(
      stack,
      [vm, rules, firewall].filter((address) => known.includes(address)),
    )
    note(`${name} is not on the host any more`)
  } else if (!known.includes(rules)) {
    if (await newly(rules)) return 'settled'
    if ((await removeLeftoverRules(proxmox, places, slot)) > 0) note(`removed firewall rules that an interrupted run left of ${name}`)
  }
  return 'settled'
}
