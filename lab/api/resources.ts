/** Entries of /cluster/resources, which pools show too. */
import type { Context } from './context.ts'
import { storageStatus } from './storage/storages.ts'
import { poolOf } from './pool-of.ts'

/** A VM that is being made has neither name nor numbers yet. */
export async function vmResource(context: Context, vmid: number, withPool = true): Promise<Record<string, unknown>> {
  const { lock, tags } = context.state.vms.get(vmid)?.value.config ?? {}
  const pool = poolOf(context, vmid)
  const about = { id: `qemu/${vmid}`, node: context.node, type: 'qemu', vmid, ...(withPool && pool !== undefined ? { pool } : {}) }
  if (lock === 'create' || lock === 'clone') return { ...about, status: 'unknown', lock }
  const seen = await context.listing.of(vmid)
  const live = { ...(tags === undefined ? {} : { tags: tags === '' ? ' ' : tags }), ...(lock === undefined ? {} : { lock }) }
  if (seen === undefined) return { ...about, status: 'unknown', ...live }
  const { qmpstatus: _, cpus, nics: _nics, pid: _pid, serial: _serial, template, tags: _tags, lock: _lock, ...status } = seen
  for (const key of Object.keys(status)) if (key.startsWith('pressure')) delete (status as Record<string, unknown>)[key]
  return { ...about, diskread: 0, diskwrite: 0, ...status, ...live, maxcpu: cpus, template: template ?? 0 }
}

export async function storageResource(context: Context, id: string): Promise<Record<string, unknown>> {
  const { total, used, type, content, shared, active } = await storageStatus(context, id)
  return {
    id: `storage/${context.node}/${id}`,
    node: context.node,
    type: 'storage',
    storage: id,
    status: active === 1 ? 'available' : 'unknown',
    plugintype: type,
    content,
    shared,
    disk: used,
    maxdisk: total,
  }
}
