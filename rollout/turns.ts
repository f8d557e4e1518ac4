/** Whose turn it is: groups are deployed side by side, but for what Proxmox wants one after another. */

export class Turns {
  #last: Promise<void> = Promise.resolve()
  #waiting = 0

  /** How many wait for theirs. */
  get waiting(): number {
    return this.#waiting
  }

  /**
   * Waits for the turns that were asked for before.
   * @returns ends this turn; calling it again does nothing
   * @throws when the signal is aborted before it has come
   */
  async take(signal: AbortSignal): Promise<() => void> {
    const before = this.#last
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last = before.then(() => promise)
    const aborted = Promise.withResolvers<void>()
    const abort = (): void => aborted.resolve()
    signal.addEventListener('abort', abort)
    this.#waiting += 1
    try {
      await Promise.race([before, aborted.promise])
      signal.throwIfAborted()
      return resolve
    } catch (error) {
      resolve()
      throw error
    } finally {
      this.#waiting -= 1
      signal.removeEventListener('abort', abort)
    }
  }
}
