/** One change at a time for each VM, as PVE's lock files: who waits too long gets an error. */

export interface Locks {
  /** Runs `work` alone for this VM. @throws after `timeoutMs` (PVE: 10 s) with PVE's message */
  withVm<T>(vmid: number, work: () => Promise<T>): Promise<T>
  /** Runs `work` beside others of its kind, while nobody has the VM alone: what a clone does with its source. */
  withVmShared<T>(vmid: number, work: () => Promise<T>): Promise<T>
}

export function createLocks(timeoutMs: number): Locks {
  /** What the next one has to wait for: the last exclusive holder, and everybody who shares since then. */
  const holders = new Map<number, { exclusive: Promise<void>; readonly shared: Set<Promise<void>> }>()

  async function run<T>(vmid: number, alone: boolean, work: () => Promise<T>): Promise<T> {
    const now = holders.get(vmid) ?? { exclusive: Promise.resolve(), shared: new Set() }
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    const before = alone ? Promise.all([now.exclusive, ...now.shared]) : now.exclusive
    const over = before.then(() => released)
    const next = alone ? { exclusive: over, shared: new Set<Promise<void>>() } : now
    if (!alone) next.shared.add(over)
    holders.set(vmid, next)
    void over.then(() => {
      next.shared.delete(over)
      // Nobody came after: nothing to wait for any more.
      if (holders.get(vmid) === next && next.shared.size === 0 && alone) holders.delete(vmid)
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
  }
  return { withVm: (vmid, work) => run(vmid, true, work), withVmShared: (vmid, work) => run(vmid, false, work) }
}
