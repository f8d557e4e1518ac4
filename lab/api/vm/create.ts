/** POST /nodes/{node}/qemu. */
import { task, vmidOf, type Call } from '../context.ts'
import { ApiError, fail, parameterError, permissionError, taskErrorText } from '../errors.ts'
import { storageConfig } from '../storage/volumes.ts'
import { defaultBootOrder } from './boot.ts'
import { saveVm, type Config } from './config.ts'
import { createDisks } from './disks.ts'
import { asCdrom, isCloudinit, parseDrive } from './drive.ts'
import { parseNet, printNet } from './net.ts'
import { isDriveSlot } from './options.ts'
import { joinPool, requirePool } from '../pools.ts'
import { cryptPassword } from './password.ts'
import { startVm } from './power.ts'
import {
  requireBridges,
  requireDevices,
  requireDrive,
  requireDriveSyntax,
  requireOptions,
  requireStorages,
  requireTags,
} from './permission.ts'
import { newUuid, requireSshKeys, uniqueTags, withNewUuid } from './values.ts'

/** What the lab says made a VM. */
export const creator = 'creation-qemu=10.1.2'

const notOptions = new Set([
  'node',
  'vmid',
  'pool',
  'start',
  'storage',
  'archive',
  'force',
  'unique',
  'bwlimit',
  'live-restore',
  'ha-managed',
  'import-working-storage',
  'cdrom',
])

export function createVm(call: Call): unknown {
  const { context, caller, params } = call
  const vmid = vmidOf(call)
  const { pool, storage } = params
  if (params.archive !== undefined) fail('the lab restores no archives')
  const wanted: Config = Object.fromEntries(Object.entries(params).filter(([key]) => !notOptions.has(key)))
  if (params.cdrom !== undefined) wanted.ide2 = asCdrom(params.cdrom)
  if (pool !== undefined) requirePool(context, pool)
  if (storage !== undefined) caller.require(`/storage/${storage}`, 'Datastore.AllocateSpace')
  if (params.start === '1') caller.requireOnVm(vmid, pool, 'VM.PowerMgmt')
  if (!caller.has(`/vms/${vmid}`, 'VM.Allocate') && !(pool !== undefined && caller.has(`/pool/${pool}`, 'VM.Allocate')))
    throw permissionError()
  if (storage !== undefined) storageConfig(context, storage)
  for (const [key, value] of Object.entries(wanted)) if (/^net\d+$/.test(key)) wanted[key] = printNet(parseNet(value))
  if (wanted.cipassword !== undefined) wanted.cipassword = cryptPassword(wanted.cipassword)
  requireSshKeys(wanted)
  requireStorages(context, caller, vmid, wanted, storage)
  requireBridges(context, caller, wanted)
  requireOptions(caller, vmid, pool, Object.keys(wanted))
  requireDevices(caller, vmid, pool, wanted)
  for (const [slot, value] of Object.entries(wanted)) {
    const drive = isDriveSlot(slot) ? parseDrive(slot, value) : undefined
    // PVE looks at cloud-init drives of existing VMs only.
    if (drive !== undefined && !isCloudinit(drive)) requireDrive(caller, vmid, pool, drive)
  }
  requireDriveSyntax(context, wanted)
  for (const slot of Object.keys(wanted)) if (/^unused\d+$/.test(slot)) throw parameterError({ [slot]: 'unused disks can not be set' })
  if (context.state.vms.has(vmid)) fail(`unable to create VM ${vmid} - VM ${vmid} already exists on node '${context.node}'`)
  const vm = context.state.createVm(vmid, { lock: 'create' })
  return task(
    call,
    'qmcreate',
    vmid,
    async ({ signal, log }) => {
      try {
        await context.locks.withVm(vmid, async () => {
          if (wanted.tags !== undefined) {
            requireTags(caller, vmid)
            wanted.tags = uniqueTags(wanted.tags)
          }
          const wishes = Object.fromEntries(Object.entries(wanted).filter(([key]) => isDriveSlot(key)))
          const disks = await createDisks(context, vmid, wishes, {
            signal,
            log,
            template: wanted.template === '1',
            config: wanted,
            storage,
          })
          const config: Config = { ...wanted, ...disks, meta: `${creator},ctime=${Math.floor(Date.now() / 1000)}` }
          config.smbios1 ??= `uuid=${newUuid()}`
          if (!config.smbios1.includes('uuid=')) config.smbios1 = withNewUuid(config.smbios1)
          config.vmgenid = config.vmgenid === undefined || config.vmgenid === '1' ? newUuid() : config.vmgenid
          if (config.vmgenid === '0') delete config.vmgenid
          config.boot ??= defaultBootOrder(config)
          vm.value.config = config
          saveVm(vm)
          // Only now, as on PVE: until here the pool's ACL does not count for the VM.
          if (pool !== undefined) joinPool(context, pool, vmid)
        })
      } catch (error) {
        context.state.removeVm(vmid)
        const text = taskErrorText(error)
        throw new ApiError(500, `unable to create VM ${vmid} - ${text}`)
      }
      if (params.start === '1') await startVm(context, vmid)
    },
    () => context.state.removeVm(vmid),
  )
}
