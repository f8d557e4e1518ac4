/**
 * An expected failure: something outside this program is not as it has to be. Everything else that is
 * thrown is a bug and keeps its stack trace.
 */
export class Failure extends Error {
  /** Stable, in kebab-case, for scripts and for searching the documentation. */
  readonly code: string
  /** The command or setting that mends it. */
  readonly hint: string
  /** What was asked for may have been done all the same: only the answer is missing. Whoever asked has to look. */
  readonly lost: boolean

  constructor(code: string, message: string, hint: string, options?: { cause?: unknown; lost?: boolean }) {
    super(message, options)
    this.name = 'Failure'
    this.code = code
    this.hint = hint
    this.lost = options?.lost ?? false
  }
}

export const isLost = (error: unknown): error is Failure => error instanceof Failure && error.lost
