/** What the lab can't do because something around it is not as it has to be. */
export class ExpectedFailure<Code extends string> extends Error {
  /** Stable: callers and tests may rely on it. */
  readonly code: Code
  /** What to do about what `message` says. */
  readonly next: string

  constructor(code: Code, message: string, next: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.next = next
  }
}

/** It does not start. */
export class LabFailure extends ExpectedFailure<'lab-running' | 'state-folder' | 'port' | 'guests'> {}
