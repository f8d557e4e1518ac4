/** Replication jobs, as far as they stand in the way of something (PVE::ReplicationConfig). None of them is ever run. */
import type { Call, Context, Handlers } from './context.ts'
import { fail, permissionError } from './errors.ts'

export const jobsOf = (context: Context, vmid: number): string[] =>
  Object.entries(context.state.replication.value)
    .filter(([, job]) => job.guest === vmid)
    .map(([id]) => id)

export function forgetJobs(context: Context, vmid: number): void {
  for (const id of jobsOf(context, vmid)) delete context.state.replication.value[id]
  context.state.replication.save()
}

function list(call: Call): Record<string, unknown>[] {
  const { context, caller, params } = call
  return Object.entries(context.state.replication.value)
    .filter(([, { guest }]) => caller.has(`/vms/${guest}`, 'VM.Audit') && (params.guest === undefined || params.guest === String(guest)))
    .map(([id, { guest, target }]) => ({ id, type: 'local', guest, jobnum: Number(id.split('-')[1]), source: context.node, target }))
}

function mayReplicate(call: Call): number {
  const guest = Number((call.params.id as string).split('-')[0])
  if (!call.caller.has(`/vms/${guest}`, 'VM.Replicate')) throw permissionError(`/vms/${guest}, VM.Replicate`)
  return guest
}

export const replicationHandlers: Handlers = {
  'GET /cluster/replication': list,
  'GET /nodes/{node}/replication': list,
  'POST /cluster/replication': (call) => {
    const guest = mayReplicate(call)
    const { id = '', target = '' } = call.params
    const { replication, vms } = call.context.state
    if (!vms.has(guest)) fail(`VM ${guest} does not exist`)
    if (replication.value[id] !== undefined) fail(`replication job '${id}' already exists`)
    replication.value[id] = { guest, target }
    replication.save()
    return null
  },
  'DELETE /cluster/replication/{id}': (call) => {
    mayReplicate(call)
    const { id = '' } = call.params
    const { replication } = call.context.state
    if (replication.value[id] === undefined) fail(`no such job '${id}'`)
    delete replication.value[id]
    replication.save()
    return null
  },
}
