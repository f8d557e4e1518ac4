/** Takes a VM away: waits for its lock, stops it, marks it (doomed.ts) and deletes it, as long as it is the one that is meant. */
import { setTimeout as delay } from 'node:timers/promises'
import { isLost } from '../core/failure.ts'
import type { Proxmox } from './client.ts'
import { isOutdated, isProtected, isStillRunning, isVmMissing } from './conditions.ts'
import { markDoomed } from './doomed.ts'
import { concerns, settleTasks } from './tasks.ts'
import { untilUnlocked, type UnlockedOptions } from './unlocked.ts'
import { vmAt } from './vm.ts'

export interface VmToRemove {
  readonly lock?: string | undefined
  readonly running: boolean
  readonly digest: string | undefined
}

/** How often what is there is looked at anew, because an answer was lost or somebody was quicker. */
const removeTries = 5
const pauseMs = 1000

/**
 * What it is, and whether it is still to go, is looked at again before each step: from the mark on a run that would use the
 * VM finds it changed, and one that has used it meanwhile is found here. Only its own disks go with it: whatever else has
 * this VMID in its name may be a volume that somebody keeps.
 * @param look undefined when there is nothing to take away, or not any more; throws for what has to stay
 * @returns whether there was one
 * @throws Failure `vm-locked`, or Proxmox's
 */
export async function removeVm(
  proxmox: Proxmox,
  node: string,
  vmid: number,
  look: () => Promise<VmToRemove | undefined>,
  options: UnlockedOptions,
): Promise<boolean> {
  const waiting = options.signal === undefined ? {} : { signal: options.signal }
  let stopped = false
  for (let tries = 1; ; ) {
    const vm = await untilUnlocked(vmid, look, options)
    if (vm === undefined) return stopped || tries > 1
    try {
      if (stopped || !vm.running) {
        await destroySeen(proxmox, node, vmid, vm.digest, waiting)
        return true
      }
      await proxmox.task(await vmAt(proxmox, node, vmid).stop(), waiting)
      // That takes its time: whose the VM is, and what it owns, is looked at again.
      stopped = true
    } catch (error) {
      // Whether it is gone, or somebody's by now, shows the next look; also when it was refused because the first request has arrived after all.
      const mayPass = [isLost, isOutdated, isProtected, isStillRunning, isVmMissing].some((is) => is(error)) || tries > 1
      if (!mayPass || tries === removeTries) {
        if ((await look()) === undefined) return true
        throw error
      }
      tries += 1
      stopped = false
      await settleTasks(proxmox, node, concerns([vmid]), options.signal)
      if (!isLost(error)) await delay(pauseMs, undefined, waiting)
    }
  }
}

/** Deletes a VM that was seen with this digest and may go, and waits for that. */
export async function destroySeen(
  proxmox: Proxmox,
  node: string,
  vmid: number,
  digest: string | undefined,
  waiting: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  await markDoomed(proxmox, node, vmid, digest)
  await proxmox.task(await vmAt(proxmox, node, vmid).destroy(), waiting)
}
