import { exitCodeOf, type ExitCode, type FailureCode } from './failures.ts'

/**
 * An expected failure: something outside this program is not as it has to be. Everything else that is
 * thrown is a bug and keeps its stack trace. The one type for all rooms; what extends it has facts that callers use.
 */
export class Failure extends Error {
  /** Stable, in kebab-case, for scripts and for searching the documentation. */
  readonly code: FailureCode
  /** The command or setting that mends it. */
  readonly hint: string
  /** What was asked for may have been done all the same: only the answer is missing. Whoever asked has to look. */
  readonly lost: boolean

  constructor(code: FailureCode, message: string, hint: string, options?: { cause?: unknown; lost?: boolean }) {
    super(message, options)
    this.name = 'Failure'
    this.code = code
    this.hint = hint
    this.lost = options?.lost ?? false
  }

  /** What a program ends with because of it. */
  get exitCode(): ExitCode {
    return exitCodeOf(this.code)
  }

  /** For people. */
  toText(): string {
    return `error ${this.code}: ${this.message}\n→ ${this.hint}`
  }

  /** For programs: what stands in a document of `--json`. */
  toJSON(): FailureFacts {
    return { code: this.code, message: this.message, hint: this.hint }
  }
}

/** What every failure says of itself; also what a pure decision refuses with, before anybody throws it. */
export interface FailureFacts {
  readonly code: FailureCode
  readonly message: string
  readonly hint: string
}

export const isLost = (error: unknown): error is Failure => error instanceof Failure && error.lost
