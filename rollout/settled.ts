/** An old slot passes on what still comes to it; it ends when nothing does any more. */
import type { ActivationContext } from './activate.ts'
import { guestOf } from './guest.ts'
import { untilNextLook } from './reconcile.ts'
import type { SlotName } from '../settings/site.ts'

/** The guest itself gives up after ten (images/guest/handover-address.ts). */
const waitMs = 12 * 60_000

/** Waits until clients' connections of before have ended, or are given up. One that does not answer has none. */
export async function untilSettled({ proxmox, places, signal }: ActivationContext, slot: SlotName): Promise<void> {
  const guest = guestOf(proxmox, places.node, places.slots[slot].vmid, signal)
  const until = performance.now() + waitMs
  for (;;) {
    const began = performance.now()
    const status = await guest.status()
    if (status?.handover === undefined || status.handover === 'none' || performance.now() >= until) return
    await untilNextLook(performance.now() - began, signal)
  }
}
