/** Locks of files (flock(2)), for programs of a guest: until they are released, or the guest is switched off. */
export class Locks {
  /** By path; what they resolve with is nothing. */
  readonly #held = new Map<string, Promise<void>>()

  /**
   * @param waitMs how long whoever has it is waited for @param onWait called before that
   * @returns what releases it; undefined: somebody else has it
   */
  async take(path: string, waitMs: number, onWait: () => void, signal: AbortSignal): Promise<(() => void) | undefined> {
    const until = performance.now() + waitMs
    let waits = false
    for (let held = this.#held.get(path); held !== undefined; held = this.#held.get(path)) {
      const leftMs = until - performance.now()
      if (leftMs <= 0 || signal.aborted) return undefined
      if (!waits) onWait()
      waits = true
      await earliest(held, leftMs, signal)
    }
    let free = (): void => {}
    const lock = new Promise<void>((resolve) => (free = resolve))
    this.#held.set(path, lock)
    return () => {
      if (this.#held.get(path) === lock) this.#held.delete(path)
      free()
    }
  }
}

async function earliest(held: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  let end = (): void => {}
  const over = new Promise<void>((resolve) => (end = resolve))
  const timer = setTimeout(end, ms)
  signal.addEventListener('abort', end, { once: true })
  await Promise.race([held, over])
  clearTimeout(timer)
  signal.removeEventListener('abort', end)
}
