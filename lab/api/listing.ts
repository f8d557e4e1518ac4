/**
 * What lists of VMs know of each: its name, whether it runs, whether it is a template. Proxmox's status daemon looks
 * every ten seconds and /cluster/resources and pools tell what it saw, so a new VM has neither name nor status at
 * first. Which VMs there are, their pools, tags and locks come from the configurations, and are never late.
 */
import type { Context } from './context.ts'
import { vmStatus } from './vm/status.ts'

export type Seen = Record<string, unknown>

export interface Listing {
  /** Undefined: the daemon has not seen it yet. */
  of(vmid: number): Promise<Seen | undefined>
  close(): void
}

/** @param lagMs how often the daemon looks; 0: lists are never behind */
export function createListing(context: () => Context, lagMs: number): Listing {
  if (lagMs === 0) return { of: (vmid) => vmStatus(context(), vmid), close: () => undefined }
  let seen = new Map<number, Seen>()
  const look = async (): Promise<void> => {
    const now = new Map<number, Seen>()
    for (const [
      vmid,
      {
        value: { config },
      },
    ] of [...context().state.vms]) {
      // Of one that goes meanwhile there is nothing to tell; one that is being made shows once it is done.
      if (config.lock !== 'create' && config.lock !== 'clone')
        await vmStatus(context(), vmid).then(
          (status) => now.set(vmid, status),
          () => undefined,
        )
    }
    seen = now
  }
  const timer = setInterval(() => void look(), lagMs)
  timer.unref()
  return { of: async (vmid) => seen.get(vmid), close: () => clearInterval(timer) }
}
