/** When a slot's VM has been cloned, seen from outside: the engine tells only when it has booted, too. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Proxmox } from '../proxmox/client.ts'
import type { SlotName } from '../settings/site.ts'
import { observeVm, type GroupPlaces } from './observe.ts'

/** Looking costs Proxmox little, and a clone takes a second where it is linked, minutes where it is full. */
const pauseMs = 2000

/**
 * @param slots whose VM is not there yet
 * @returns when all of them are there. Proxmox locks a VM while it is being cloned, and gives it its name at the very end
 * @throws when the signal is aborted; an API that is away is waited for
 */
export async function untilCloned(proxmox: Proxmox, places: GroupPlaces, slots: readonly SlotName[], signal: AbortSignal): Promise<void> {
  const isCloned = async (slot: SlotName): Promise<boolean> => {
    const { vmid, name } = places.slots[slot]
    const vm = await observeVm(proxmox, places.node, vmid, 'scsi0').catch(() => undefined)
    return vm?.there === true && vm.name === name && vm.lock === undefined
  }
  for (const slot of slots) while (!(await isCloned(slot))) await delay(pauseMs, undefined, { signal })
}
