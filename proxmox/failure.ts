/**
 * An expected failure: something outside this program is not as it has to be. Everything else that is
 * thrown is a bug and keeps its stack trace.
 */
export class Failure extends Error {
  /** Stable, in kebab-case, for scripts and for searching the documentation. */
  readonly code: string
  /** The command or setting that mends it. */
  readonly hint: string

  constructor(code: string, message: string, hint: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'Failure'
    this.code = code
    this.hint = hint
  }
}
