/** Entries of /cluster/resources, which pools show too. */
import type { Context } from './context.ts'
import { storageStatus } from './storage/storages.ts'
import { poolOf } from './pools.ts'
import { vmStatus } from './vm/status.ts'

/** A VM that is being made has neither name nor numbers yet. */
export async function vmResource(context: Context, vmid: number, withPool = true): Promise<Record<string, unknown>> {
  const lock = context.state.vms.get(vmid)?.value.config.lock
  const pool = poolOf(context, vmid)
  const about = { id: `qemu/${vmid}`, node: context.node, type: 'qemu', vmid, ...(withPool && pool !== undefined ? { pool } : {}) }
  if (lock === 'create' || lock === 'clone') return { ...about, status: 'unknown', lock }
  const { qmpstatus: _, cpus, nics: _nics, pid: _pid, serial: _serial, template, ...status } = await vmStatus(context, vmid)
  for (const key of Object.keys(status)) if (key.startsWith('pressure')) delete (status as Record<string, unknown>)[key]
  return { ...about, diskread: 0, diskwrite: 0, ...status, maxcpu: cpus, template: template ?? 0 }
}

export async function storageResource(context: Context, id: string): Promise<Record<string, unknown>> {
  const { total, used, type, content, shared, active } = await storageStatus(context, id)
  return {
    id: `storage/${context.node}/${id}`, node: context.node, type: 'storage', storage: id, status: active === 1 ? 'available' : 'unknown',
    plugintype: type, content, shared, disk: used, maxdisk: total,
  }
}
