/** Why a tool could not be provided. Codes are stable: tests and callers may rely on them. */
export type ToolFailureCode =
  | 'unsupported-platform'
  | 'go-missing'
  | 'go-too-old'
  | 'build-needs-package'
  | 'build-failed'
  | 'wrong-version'
  | 'release-unreachable'
  | 'release-digest-mismatch'
  | 'release-unreadable'
  | 'terraform-missing'
  | 'plugin-not-installable'

/** An expected failure: `message` says what and why, `hint` what to do about it. Neither holds a secret. */
export class ToolFailure extends Error {
  readonly code: ToolFailureCode
  readonly hint: string

  constructor(code: ToolFailureCode, message: string, hint: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ToolFailure'
    this.code = code
    this.hint = hint
  }
}
