/** Codes are stable: callers and tests may rely on them. */
export type LabFailureCode = 'lab-running' | 'state-folder' | 'port' | 'guests'

/** An expected failure to start: `message` says what and why, `next` what to do about it. */
export class LabFailure extends Error {
  readonly code: LabFailureCode
  readonly next: string

  constructor(code: LabFailureCode, message: string, next: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'LabFailure'
    this.code = code
    this.next = next
  }
}
