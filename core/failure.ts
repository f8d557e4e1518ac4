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
  /** A word that nobody knows, and those that would have been right: the CLI names the nearest one. */
  readonly unknown: UnknownWord | undefined
  /** What it stands for, where that is more than one thing. */
  readonly parts: readonly FailureFacts[]

  constructor(code: FailureCode, message: string, hint: string, options?: FailureOptions) {
    super(message, options)
    this.name = 'Failure'
    this.code = code
    this.hint = hint
    this.lost = options?.lost ?? false
    this.unknown = options?.unknown
    this.parts = options?.parts ?? []
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

  /** The same as a list: an entry for each thing that has to be mended. */
  toErrors(): readonly FailureFacts[] {
    return this.parts.length > 0 ? this.parts : [this.toJSON()]
  }
}

export interface FailureOptions {
  readonly cause?: unknown
  readonly lost?: boolean
  readonly unknown?: UnknownWord
  readonly parts?: readonly FailureFacts[]
}

export interface UnknownWord {
  readonly said: string
  readonly known: readonly string[]
}

/** What every failure says of itself; also what a pure decision refuses with, before anybody throws it. */
export interface FailureFacts {
  readonly code: FailureCode
  readonly message: string
  readonly hint: string
  /** The setting that it is about, e.g. `groups.serena.service`. */
  readonly path?: string
}

/** The first of several things that are in the way; the others are entries of its list. */
export function together(first: Failure, others: readonly FailureFacts[]): Failure {
  if (others.length === 0) return first
  const facts = ({ code, message, hint, path }: FailureFacts): FailureFacts => ({
    code,
    message,
    hint,
    ...(path === undefined ? {} : { path }),
  })
  return new Failure(first.code, first.message, first.hint, { cause: first, parts: [first, ...others].map(facts) })
}

export const isLost = (error: unknown): error is Failure => error instanceof Failure && error.lost
