/** One change at a time for each VM, as PVE's lock files: who waits too long gets an error. */

export interface Locks {
  /** Runs `work` alone for this VM. @throws after `timeoutMs` (PVE: 10 s) with PVE's message */
  withVm<T>(vmid: number, work: () => Promise<T>): Promise<T>
}

export function createLocks(timeoutMs: number): Locks {
  const tails = new Map<number, Promise<void>>()
  return {
    async withVm(vmid, work) {
      const before = tails.get(vmid) ?? Promise.resolve()
      const { promise: released, resolve: release } = Promise.withResolvers<void>()
      const tail = before.then(() => released)
      tails.set(vmid, tail)
      void tail.then(() => {
        if (tails.get(vmid) === tail) tails.delete(vmid)
      })
      const { promise: late, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => reject(new Error(`can't lock file '/var/lock/qemu-server/lock-${vmid}.conf' - got timeout`)), timeoutMs)
      try {
        await Promise.race([before, late])
        clearTimeout(timer)
        return await work()
      } finally {
        clearTimeout(timer)
        release()
      }
    },
  }
}
