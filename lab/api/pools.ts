/** Pools. */
import type { Call, Context, Handlers } from './context.ts'
import { fail, permissionError } from './errors.ts'
import { splitList } from './formats.ts'
import { poolOf } from './pool-of.ts'
import { storageResource, vmResource } from './resources.ts'

/** Puts a VM into a pool, or out of all of them. A VM is in one at most. */
export function joinPool(context: Context, pool: string | undefined, vmid: number): void {
  const pools = context.state.pools.value
  for (const other of Object.values(pools)) other.vms = other.vms.filter((id) => id !== vmid)
  if (pool !== undefined) pools[pool]?.vms.push(vmid)
  context.state.pools.save()
}

async function members(call: Call, id: string): Promise<unknown[]> {
  const { context, params } = call
  const pool = context.state.pools.value[id] ?? fail(`pool '${id}' does not exist`)
  const vms = params.type === undefined || params.type === 'qemu' ? pool.vms : []
  const storages = params.type === undefined || params.type === 'storage' ? pool.storages : []
  return [
    ...(await Promise.all(
      vms
        .filter((vmid) => context.state.vms.has(vmid))
        .sort((a, b) => a - b)
        .map((vmid) => vmResource(context, vmid, false)),
    )),
    ...(await Promise.all(
      storages.filter((name) => context.state.storages.value[name] !== undefined).map((name) => storageResource(context, name)),
    )),
  ]
}

const comment = (call: Call, id: string): { comment?: string } => {
  const text = call.context.state.pools.value[id]?.comment
  return text === undefined ? {} : { comment: text }
}

async function list(call: Call): Promise<unknown> {
  const { context, caller, params } = call
  const { poolid } = params
  if (poolid !== undefined) {
    if (context.state.pools.value[poolid] === undefined) fail(`pool '${poolid}' does not exist`)
    caller.require(`/pool/${poolid}`, 'Pool.Audit')
    return [{ poolid, ...comment(call, poolid), members: await members(call, poolid) }]
  }
  return Object.keys(context.state.pools.value)
    .sort()
    .filter((id) => caller.has(`/pool/${id}`, 'Pool.Audit'))
    .map((id) => ({ poolid: id, ...comment(call, id) }))
}

function update(call: Call): null {
  const { context, caller, params } = call
  const id = params.poolid as string
  const pool = context.state.pools.value[id] ?? fail(`update pools failed: pool '${id}' does not exist`)
  if (params.comment !== undefined) pool.comment = params.comment
  const remove = params.delete === '1'
  for (const vmid of splitList(params.vms ?? '').map(Number)) {
    caller.require(`/vms/${vmid}`, 'Permissions.Modify')
    if (remove) {
      if (!pool.vms.includes(vmid)) fail(`update pools failed: VM ${vmid} is not a pool member`)
      pool.vms = pool.vms.filter((other) => other !== vmid)
      continue
    }
    const before = poolOf(context, vmid)
    if (before === id) fail(`update pools failed: VM ${vmid} is already a pool member`)
    if (before !== undefined) {
      if (params['allow-move'] !== '1')
        fail(`update pools failed: VM ${vmid} belongs already to pool '${before}' and 'allow-move' is not set`)
      caller.require(`/pool/${before}`, 'Pool.Allocate')
    }
    joinPool(context, id, vmid)
  }
  for (const name of splitList(params.storage ?? '')) {
    caller.require(`/storage/${name}`, 'Permissions.Modify')
    if (remove) {
      if (!pool.storages.includes(name)) fail(`update pools failed: Storage '${name}' is not a pool member`)
      pool.storages = pool.storages.filter((other) => other !== name)
    } else {
      if (pool.storages.includes(name)) fail(`update pools failed: Storage '${name}' is already a pool member`)
      pool.storages.push(name)
    }
  }
  context.state.pools.save()
  return null
}

function create(call: Call): null {
  const { poolid = '', comment: text } = call.params
  const pools = call.context.state.pools
  if (pools.value[poolid] !== undefined) fail(`create pool failed: pool '${poolid}' already exists`)
  pools.value[poolid] = { vms: [], storages: [], ...(text === undefined ? {} : { comment: text }) }
  pools.save()
  return null
}

function remove(call: Call): null {
  const { state } = call.context
  const { poolid = '' } = call.params
  const pool = state.pools.value[poolid] ?? fail(`delete pool failed: pool '${poolid}' does not exist`)
  // VMs that are gone do not count.
  const vm = pool.vms.filter((vmid) => state.vms.has(vmid)).sort((a, b) => a - b)[0]
  if (vm !== undefined) fail(`delete pool failed: pool '${poolid}' is not empty (contains guest '${vm}')`)
  if (pool.storages[0] !== undefined) fail(`delete pool failed: pool '${poolid}' is not empty (contains storage '${pool.storages[0]}')`)
  delete state.pools.value[poolid]
  state.pools.save()
  state.access.value.acls = state.access.value.acls.filter((acl) => acl.path !== `/pool/${poolid}`)
  state.access.save()
  return null
}

/** A pool that does not exist is a 403 where a VM is to go there. */
export function requirePool(context: Context, pool: string): void {
  if (context.state.pools.value[pool] === undefined) throw permissionError(`pool '${pool}' does not exist`)
}

export const poolHandlers: Handlers = {
  'GET /pools': list,
  'POST /pools': create,
  'PUT /pools': update,
  'DELETE /pools': remove,
  'GET /pools/{poolid}': async (call) => {
    const id = call.params.poolid as string
    return { poolid: id, ...comment(call, id), members: await members(call, id) }
  },
  'PUT /pools/{poolid}': update,
  'DELETE /pools/{poolid}': remove,
}
