/** Watches a slot that has just taken over: what gets ill now is better taken back. */
import { Failure } from '../core/failure.ts'
import type { ActivationContext } from './activate.ts'
import { guestOf } from './guest.ts'
import { observeVm } from './observe.ts'
import { untilNextLook } from './reconcile.ts'
import type { SlotName } from '../settings/site.ts'

const lookEveryMs = 10_000
/** One bad answer may be a moment's; so many in a row are not. */
const badLooks = 3

/** @throws Failure `rollout-failed` with what is wrong, as soon as that is certain */
export async function soak({ proxmox, places, progress, signal }: ActivationContext, slot: SlotName, soakMs: number): Promise<void> {
  if (soakMs === 0) return
  const { vmid } = places.slots[slot]
  const guest = guestOf(proxmox, places.node, vmid, signal)
  const until = performance.now() + soakMs
  await progress.step(`watch slot ${slot} of group ${places.group}`, async (note) => {
    for (let bad = 0; ; ) {
      const began = performance.now()
      const vm = await observeVm(proxmox, places.node, vmid, 'scsi0')
      const status = vm.there === true && vm.running ? await guest.status() : undefined
      const wrong =
        status === undefined
          ? vm.there === true && vm.running
            ? 'its guest does not answer'
            : 'its VM does not run'
          : status.healthy && status.active
            ? undefined
            : status.problems.join('; ') || 'it is not healthy'
      bad = wrong === undefined ? 0 : bad + 1
      if (bad >= badLooks)
        throw new Failure('rollout-failed', `slot ${slot} of group ${places.group} got ill: ${wrong}`, 'Mend that, then roll out again.')
      // Who looks ill at the end is looked at until it is one or the other.
      if (performance.now() >= until && bad === 0) return
      note(wrong ?? `well; ${Math.max(0, Math.round((until - performance.now()) / 1000))} s to go`)
      await untilNextLook(performance.now() - began, signal, Math.min(lookEveryMs, soakMs))
    }
  })
}
