/** Proxmox's tasks: what goes on in the background, its end and how it is waited for. */
import { setTimeout as delay } from 'node:timers/promises'
import { conditionError, saysFull, storageFullHint } from './conditions.ts'
import { ProxmoxError } from './error.ts'
import type { Wire } from './wire.ts'

/** The id of a task: what most changes answer with. */
export type Upid = string

export interface TaskOptions {
  /** @default 600000 */
  readonly timeoutMs?: number
  /** The task's newest log line, whenever there is one. */
  readonly onLog?: (line: string) => void
  readonly signal?: AbortSignal
  /**
   * When the wait ends before the task does (aborted, no answer, no patience), Proxmox is asked to stop the task and its
   * end is waited for all the same: only then can what it has made be taken away. @default false
   */
  readonly stop?: boolean
}

/** As `Proxmox.task`. */
export async function waitForTask(wire: Wire, upid: Upid, options: TaskOptions = {}): Promise<void> {
  try {
    await watch(wire, upid, options)
  } catch (error) {
    if (options.stop) await stop(wire, upid)
    throw error
  }
}

const pathOf = (upid: Upid): string => `/nodes/${upid.split(':')[1]}/tasks/${encodeURIComponent(upid)}`

/** Why the wait ended matters more than what goes wrong here. */
async function stop(wire: Wire, upid: Upid): Promise<void> {
  const path = pathOf(upid)
  try {
    if ((await wire.look<{ status: string }>(`${path}/status`)).status === 'stopped') return
    await wire.call({ method: 'DELETE', path, repeatable: true })
    await watch(wire, upid, {})
  } catch {
    /* a task that was stopped has failed */
  }
}

async function watch(wire: Wire, upid: string, options: TaskOptions): Promise<void> {
  const node = upid.split(':')[1]
  if (node === undefined || !upid.startsWith('UPID:')) throw new Error(`not a task id: ${upid}`)
  const path = pathOf(upid)
  const until = wire.clock() + (options.timeoutMs ?? 600_000)
  let seen = 0
  for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
    const status = await wire.look<{ status: string; exitstatus?: string }>(`${path}/status`, {}, options.signal)
    if (options.onLog) {
      const lines = await wire.look<{ n: number; t: string }[]>(`${path}/log`, { start: seen, limit: 500 }, options.signal)
      for (const line of lines) if (line.t !== 'no content') options.onLog(line.t)
      seen += lines.length
    }
    if (status.status === 'stopped') {
      const exit = status.exitstatus ?? 'unknown'
      if (exit === 'OK' || exit.startsWith('WARNINGS')) return
      throw failed(wire, upid, path, exit)
    }
    if (wire.clock() > until)
      throw new ProxmoxError(
        'task-timeout',
        `Proxmox task ${upid} still runs`,
        `Look at it in Proxmox (node ${node}, Tasks), then run the same command again.`,
        { status: 0, method: 'GET', path },
      )
    await delay(pause, undefined, { signal: options.signal })
  }
}

/** @param exit Proxmox's own words for how it ended */
function failed(wire: Wire, upid: Upid, path: string, exit: string): ProxmoxError {
  const [, node, , , , type = '', id = ''] = upid.split(':')
  const what = `Proxmox task ${type} ${id} failed: ${exit}`.replace(/ +/g, ' ')
  const details = { status: 0, method: 'GET', path, ofTask: true }
  if (saysFull(exit)) return new ProxmoxError('storage-full', `a storage of ${wire.url} is full: ${exit}`, storageFullHint, details)
  return (
    conditionError(what, details) ?? new ProxmoxError('task-failed', what, `See the task's log in Proxmox (node ${node}, Tasks).`, details)
  )
}

/** Of proxmox/client.ts, which uses this too. */
export interface TaskReader {
  get<T>(path: string, query: { readonly source: 'active'; readonly limit: number }): Promise<T>
  task(upid: Upid, options: TaskOptions): Promise<void>
}

export interface ActiveTask {
  readonly upid: string
  readonly type: string
  /** What it is at: mostly a VMID. A reassignment has both VMs in it: `9011-scsi1>9010-scsi1`. */
  readonly id: string
}

/** What goes on at a node at the moment. */
export const activeTasks = (proxmox: Pick<TaskReader, 'get'>, node: string): Promise<ActiveTask[]> =>
  proxmox.get<ActiveTask[]>(`/nodes/${node}/tasks`, { source: 'active', limit: 500 })

/** A task has ended, and not well; as opposed to a wait that has ended before it. */
const hasFailed = (error: unknown): boolean => error instanceof ProxmoxError && error.ofTask

/** Waits for what others have begun on the host: runs that are gone, requests whose answer was lost. What became of them is for whoever looks next: that one failed is no failure here. */
export async function settleTasks(
  proxmox: TaskReader,
  node: string,
  matches: (task: ActiveTask) => boolean,
  signal?: AbortSignal,
  options: { readonly timeoutMs?: number } = {},
): Promise<void> {
  for (const { upid } of (await activeTasks(proxmox, node)).filter(matches)) {
    await proxmox.task(upid, { ...options, ...(signal === undefined ? {} : { signal }) }).catch((error: unknown) => {
      if (!hasFailed(error)) throw error
    })
  }
}

/** Those that have one of these VMs in their id. */
export const concerns =
  (vmids: readonly number[]) =>
  ({ id }: ActiveTask): boolean =>
    id.split(/[->]/).some((part) => vmids.includes(Number(part)))
