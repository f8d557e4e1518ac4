/** What clients saw of their calls: one entry a call, whoever made it. */

export interface Call {
  /** Who made it. */
  readonly client: string
  /** Milliseconds since 1970. */
  readonly began: number
  readonly ms: number
  /** The error's whole text. Undefined: it was answered as it should be. */
  readonly error?: string
  /** The session that it belongs to, as the client knows it. */
  readonly session?: string
}

export const ended = ({ began, ms }: Call): number => began + ms

/** All of them, in the order in which they ended. */
export class CallRecord {
  readonly #calls: Call[] = []
  readonly #heard: ((call: Call) => void)[] = []

  /** Tells of each call as it ends. */
  onEnd(hear: (call: Call) => void): void {
    this.#heard.push(hear)
  }

  get calls(): readonly Call[] {
    return this.#calls
  }

  /**
   * Carries a call out and writes down how it went.
   * @param session asked when it has ended: the first call is the one that opens it
   * @returns whether it succeeded
   */
  async measure(client: string, session: () => string | undefined, work: () => Promise<void>): Promise<boolean> {
    // Wall time for people, the monotonic clock for how long: a machine under load has its clock set now and then.
    const [began, start] = [Date.now(), performance.now()]
    const note = (error?: string): void => {
      const id = session()
      const call = {
        client,
        began,
        ms: performance.now() - start,
        ...(error === undefined ? {} : { error }),
        ...(id === undefined ? {} : { session: id }),
      }
      this.#calls.push(call)
      for (const hear of this.#heard) hear(call)
    }
    try {
      await work()
      note()
      return true
    } catch (error) {
      note(wholeText(error))
      return false
    }
  }
}

/** With its causes: "fetch failed" alone does not tell a reset from a certificate. */
export function wholeText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = (error as NodeJS.ErrnoException).code
  const own = `${error.message}${code === undefined || error.message.includes(String(code)) ? '' : ` (${code})`}`
  return error.cause === undefined ? own : `${own}: ${wholeText(error.cause)}`
}
