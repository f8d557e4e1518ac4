/** Tasks: what runs on after a request, and what became of it. */
import type { State } from '../state/state.ts'
import type { TaskRecord } from '../state/types.ts'
import { taskErrorText } from './errors.ts'

export interface TaskContext {
  readonly upid: string
  /** Aborted when somebody stops the task or the lab ends. */
  readonly signal: AbortSignal
  log(line: string): void
}

export interface RunningTask {
  readonly record: TaskRecord
  readonly done: Promise<void>
  stop(): void
}

/** Lets a test delay or fail a task before its work starts; rejects to fail it. */
export type TaskGate = (type: string, id: string, signal: AbortSignal) => Promise<void>

export interface Tasks {
  /** Starts `work` and returns its UPID at once. `undo` takes back what was prepared for it when it never begins. */
  start(type: string, id: string, user: string, work: (task: TaskContext) => Promise<void>, undo?: () => unknown): string
  find(upid: string): TaskRecord | undefined
  /** Running ones first, then finished ones, the newest first. */
  list(): TaskRecord[]
  running(): TaskRecord[]
  /** Asks a running task to stop. */
  stop(upid: string): void
  /** Stops all and waits for them. */
  close(): Promise<void>
}

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')

export function createTasks(state: State, node: string, gate: TaskGate): Tasks {
  const active = new Map<string, RunningTask>()
  let counter = 0
  const begin = Date.now()
  return {
    start(type, id, user, work, undo) {
      counter += 1
      const pid = 0x1000 + (counter % 0xffff)
      const pstart = Math.floor((Date.now() - begin) / 10) + counter
      const starttime = Math.floor(Date.now() / 1000)
      const upid = `UPID:${node}:${hex(pid)}:${hex(pstart)}:${hex(starttime)}:${type}:${id}:${user}:`
      const record: TaskRecord = { upid, type, id, user, pid, pstart, starttime, log: [] }
      const abort = new AbortController()
      const run = async (): Promise<void> => {
        try {
          await gate(type, id, abort.signal)
        } catch (error) {
          await undo?.()
          throw error
        }
        await work({ upid, signal: abort.signal, log: (line) => void record.log.push(line) })
      }
      const finish = (status: string): void => {
        record.status = status
        record.endtime = Math.floor(Date.now() / 1000)
        record.log.push(status === 'OK' ? 'TASK OK' : `TASK ERROR: ${status}`)
        active.delete(upid)
        state.keepTask(record)
      }
      // Work that heeds the signal rejects; work that does not, ends as it would have.
      const done = run().then(
        () => finish('OK'),
        (error: unknown) => finish(abort.signal.aborted ? 'received interrupt' : taskErrorText(error).trimEnd().replaceAll('\n', ' ')),
      )
      active.set(upid, { record, done, stop: () => abort.abort() })
      return upid
    },
    find: (upid) => active.get(upid)?.record ?? state.finishedTasks.find((task) => task.upid === upid),
    running: () => [...active.values()].map((task) => task.record),
    list() {
      return [...this.running(), ...state.finishedTasks.toReversed()]
    },
    stop(upid) {
      active.get(upid)?.stop()
    },
    async close() {
      const left = [...active.values()]
      for (const task of left) task.stop()
      await Promise.all(left.map((task) => task.done))
    },
  }
}
