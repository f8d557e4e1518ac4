/** The state folder: one JSON document for each thing, read once, written at each change. */
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { openDocument, writeAtomically, type Document } from './document.ts'
import {
  emptyFirewall,
  type AccessState,
  type FirewallDocument,
  type Pool,
  type ReplicationJob,
  type StorageConfig,
  type TaskRecord,
  type VmDocument,
} from './types.ts'

const keptTasks = 2000

export interface State {
  readonly folder: string
  readonly access: Document<AccessState>
  readonly pools: Document<Record<string, Pool>>
  readonly storages: Document<Record<string, StorageConfig>>
  readonly vms: Map<number, Document<VmDocument>>
  /** HA resources by `vm:VMID`. */
  readonly ha: Document<Record<string, { readonly state: string }>>
  readonly replication: Document<Record<string, ReplicationJob>>
  readonly clusterFirewall: Document<FirewallDocument>
  readonly vmFirewalls: Document<Record<string, FirewallDocument>>
  readonly finishedTasks: TaskRecord[]
  createVm(vmid: number, config: Record<string, string>): Document<VmDocument>
  removeVm(vmid: number): void
  keepTask(task: TaskRecord): void
}

/** Opens (or starts) the state in `folder`. */
export function openState(folder: string): State {
  mkdirSync(join(folder, 'vms'), { recursive: true, mode: 0o700 })
  const vmFile = (vmid: number): string => join(folder, 'vms', `${vmid}.json`)
  const vms = new Map<number, Document<VmDocument>>()
  for (const file of readdirSync(join(folder, 'vms'))) {
    const vmid = /^(\d+)\.json$/.exec(file)?.[1]
    if (vmid !== undefined) vms.set(+vmid, openDocument<VmDocument>(vmFile(+vmid), { vmid: +vmid, config: {}, pending: {}, deletions: {} }))
  }
  const tasksFile = join(folder, 'tasks.jsonl')
  const finishedTasks = existsSync(tasksFile)
    ? readFileSync(tasksFile, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .slice(-keptTasks)
        .flatMap(parseLine)
    : []
  writeAtomically(tasksFile, finishedTasks.map((task) => `${JSON.stringify(task)}\n`).join(''))
  return {
    folder,
    access: openDocument<AccessState>(join(folder, 'access.json'), {
      users: {},
      groups: {},
      roles: {},
      acls: [],
      ticketKey: randomBytes(32).toString('hex'),
    }),
    pools: openDocument<Record<string, Pool>>(join(folder, 'pools.json'), {}),
    storages: openDocument<Record<string, StorageConfig>>(join(folder, 'storages.json'), {}),
    vms,
    ha: openDocument<Record<string, { readonly state: string }>>(join(folder, 'ha.json'), {}),
    replication: openDocument<Record<string, ReplicationJob>>(join(folder, 'replication.json'), {}),
    clusterFirewall: openDocument(join(folder, 'firewall-cluster.json'), emptyFirewall()),
    vmFirewalls: openDocument<Record<string, FirewallDocument>>(join(folder, 'firewall-vms.json'), {}),
    finishedTasks,
    createVm(vmid, config) {
      const document = openDocument<VmDocument>(vmFile(vmid), { vmid, config, pending: {}, deletions: {} })
      document.save()
      vms.set(vmid, document)
      return document
    },
    removeVm(vmid) {
      vms.get(vmid)?.remove()
      vms.delete(vmid)
    },
    keepTask(task) {
      finishedTasks.push(task)
      if (finishedTasks.length > keptTasks) finishedTasks.shift()
      appendFileSync(tasksFile, `${JSON.stringify(task)}\n`, { mode: 0o600 })
    },
  }
}

/** A line that a crash left half-written is dropped. */
function parseLine(line: string): TaskRecord[] {
  try {
    return [JSON.parse(line) as TaskRecord]
  } catch {
    return []
  }
}
