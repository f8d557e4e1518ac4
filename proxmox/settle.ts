/** Waits for what others have begun on the host: runs that are gone, requests whose answer was lost. */
import { Failure } from '../core/failure.ts'

/** Of proxmox/client.ts, which uses this too. */
interface TaskReader {
  get<T>(path: string, query: { readonly source: 'active'; readonly limit: number }): Promise<T>
  task(upid: string, options: { readonly timeoutMs?: number; readonly signal?: AbortSignal }): Promise<void>
}

export interface ActiveTask {
  readonly upid: string
  readonly type: string
  /** What it is at: mostly a VMID. A reassignment has both VMs in it: `9011-scsi1>9010-scsi1`. */
  readonly id: string
}

/** What became of them is for whoever looks next: that one failed is no failure here. */
export async function settleTasks(
  proxmox: TaskReader,
  node: string,
  matches: (task: ActiveTask) => boolean,
  signal?: AbortSignal,
  options: { readonly timeoutMs?: number } = {},
): Promise<void> {
  const tasks = await proxmox.get<ActiveTask[]>(`/nodes/${node}/tasks`, { source: 'active', limit: 500 })
  for (const { upid } of tasks.filter(matches)) {
    await proxmox.task(upid, { ...options, ...(signal === undefined ? {} : { signal }) }).catch((error: unknown) => {
      if (!(error instanceof Failure && (error.code === 'task-failed' || error.code === 'storage-full'))) throw error
    })
  }
}

/** Those that have one of these VMs in their id. */
export const concerns =
  (vmids: readonly number[]) =>
  ({ id }: ActiveTask): boolean =>
    id.split(/[->]/).some((part) => vmids.includes(Number(part)))
