/** Codes are stable: callers and tests may rely on them. */
export type DebianFailureCode =
  | 'not-root'
  | 'program-missing'
  | 'bootstrap-failed'
  | 'build-failed'
  | 'registry-failed'

/** An expected failure: `message` says what and why, `next` what to do about it. */
export class DebianFailure extends Error {
  readonly code: DebianFailureCode
  readonly next: string

  constructor(code: DebianFailureCode, message: string, next: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DebianFailure'
    this.code = code
    this.next = next
  }
}
