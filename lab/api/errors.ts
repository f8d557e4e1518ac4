/** Failures as Proxmox VE puts them on the wire: a status, a reason phrase and, for parameters, a message each. */

export class ApiError extends Error {
  readonly status: number
  /** Per-parameter messages, `Parameter verification failed.` only. */
  readonly errors: Readonly<Record<string, string>> | undefined
  /** False for failures before the method is known: those have no body. */
  readonly body: boolean

  constructor(status: number, message: string, options: { errors?: Record<string, string>; body?: boolean } = {}) {
    super(message)
    this.status = status
    this.errors = options.errors
    this.body = options.body ?? true
  }
}

/** What Perl's `die` in a handler becomes: status 500, the message is the reason phrase. */
export const fail = (message: string): never => {
  throw new ApiError(500, message)
}

/** A 400 with one message for each parameter. */
export const parameterError = (errors: Record<string, string>): ApiError => new ApiError(400, 'Parameter verification failed.', { errors })

/** A 403; `what` is e.g. `/vms/100, VM.Config.CPU`, or nothing when one of several checks would have done. */
export const permissionError = (what?: string): ApiError =>
  new ApiError(403, what === undefined ? 'Permission check failed' : `Permission check failed (${what})`)

/** The text a task ends with: permission errors carry their status there. */
export function taskErrorText(error: unknown): string {
  if (error instanceof ApiError) {
    if (error.errors !== undefined) {
      return `400 ${error.message}\n${Object.entries(error.errors)
        .map(([name, text]) => `${name}: ${text}`)
        .join('\n')}`
    }
    return error.status === 500 ? error.message : `${error.status} ${error.message}`
  }
  return error instanceof Error ? error.message : String(error)
}
