/** What goes wrong with Proxmox: a request that it refused or did not answer, or a task that did not end well. */
import { Failure } from '../core/failure.ts'
import type { FailureCode } from '../core/failures.ts'

/** What a refusal for want of a right says: what it takes, and where. */
export interface Denied {
  /** In Proxmox's tree of permissions, such as `/vms/100`. */
  readonly path: string
  /** Any one of them would do. */
  readonly privileges: readonly string[]
}

export interface ProxmoxErrorDetails {
  readonly status: number
  readonly method: string
  readonly path: string
  readonly parameters?: Readonly<Record<string, string>>
  readonly denied?: Denied | undefined
  readonly ofTask?: boolean
  readonly cause?: unknown
  readonly lost?: boolean
}

/** The API refused a request, or answered something that makes no sense; or a task of it failed. */
export class ProxmoxError extends Failure {
  /** HTTP status; 0 when there was no answer. */
  readonly status: number
  readonly method: string
  /** Of the API. */
  readonly path: string
  /** PVE's complaints by parameter. */
  readonly parameters: Readonly<Record<string, string>>
  /** With `permission-denied`, where Proxmox tells. */
  readonly denied: Denied | undefined
  /** A task ended so: the request that began it was taken. */
  readonly ofTask: boolean

  constructor(code: FailureCode, message: string, hint: string, details: ProxmoxErrorDetails) {
    super(code, message, hint, details)
    this.name = 'ProxmoxError'
    this.status = details.status
    this.method = details.method
    this.path = details.path
    this.parameters = details.parameters ?? {}
    this.denied = details.denied
    this.ofTask = details.ofTask ?? false
  }
}
