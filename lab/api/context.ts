/** What every handler works with. */
import type { ComputeDriver, Machine } from '../compute/driver.ts'
import type { Recorder } from '../record.ts'
import type { State } from '../state/state.ts'
import type { Caller } from './caller.ts'
import type { Faults } from './faults.ts'
import type { Listing } from './listing.ts'
import type { Locks } from './locks.ts'
import type { Tasks } from './tasks.ts'

export interface RunningVm {
  readonly machine: Machine
  readonly startedAt: number
  paused: boolean
  /** Slots and network cards that are plugged in; options that a running guest keeps although the configuration changed. */
  readonly serialLog: string
}

export interface Context {
  readonly node: string
  readonly bridge: string
  /** Vnets of SDN, and the zones that they are in. */
  readonly vnets: Readonly<Record<string, string>>
  readonly state: State
  readonly driver: ComputeDriver
  readonly tasks: Tasks
  readonly locks: Locks
  readonly listing: Listing
  readonly faults: Faults
  readonly running: Map<number, RunningVm>
  /** Where serial logs are (`VMID.log`). */
  readonly serialFolder: string
  /** Short folder for the machines' sockets. */
  readonly runFolder: string
  readonly uploadFolder: string
  /** Where the API's certificate and its CA are. */
  readonly tlsFolder: string
  /** Of Proxmox VE, e.g. `9.1.1`. */
  readonly version: string
  /** Gets what guest agents are asked. */
  readonly recorder: Recorder | undefined
  log(line: string): void
}

export interface Call {
  readonly context: Context
  readonly caller: Caller
  /** Verified parameters, path and query included. */
  readonly params: Readonly<Record<string, string>>
  readonly lists: Readonly<Record<string, string[]>>
  readonly upload?: { readonly path: string; readonly bytes: number }
  /** Put beside `data` in the answer, e.g. `total`. */
  readonly attributes: Record<string, unknown>
}

export type Handler = (call: Call) => unknown
export type Handlers = Readonly<Record<string, Handler>>

export const vmidOf = (call: Call): number => Number(call.params.vmid)
/** Starts a task in the caller's name. */
export const task = (call: Call, type: string, id: string | number, work: Parameters<Tasks['start']>[3], undo?: () => unknown): string =>
  call.context.tasks.start(type, String(id), call.caller.authId, work, undo)
