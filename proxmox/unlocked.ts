/** Waits until nothing holds a VM: a backup, a clone, what is going on for a run that was killed. */
import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from '../core/failure.ts'

export interface UnlockedOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

const pauseMs = 1000

/**
 * @param look at the VM; undefined when it is not there
 * @returns what the first look without a lock has seen
 * @throws Failure `vm-locked`
 */
export async function untilUnlocked<T extends { readonly lock?: string | undefined }>(
  vmid: number,
  look: () => Promise<T | undefined>,
  { timeoutMs, signal }: UnlockedOptions,
): Promise<T | undefined> {
  const until = performance.now() + timeoutMs
  for (;;) {
    const vm = await look()
    if (vm?.lock === undefined) return vm
    if (performance.now() > until)
      throw new Failure(
        'vm-locked',
        `VM ${vmid} stays locked (${vm.lock})`,
        `Look at its tasks in Proxmox; "qm unlock ${vmid}" on the node ends a lock that nobody holds. Then run the same command again.`,
      )
    await delay(pauseMs, undefined, signal === undefined ? {} : { signal })
  }
}
