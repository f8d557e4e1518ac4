/** The VM methods and where they are. */
import { vmidOf, type Call, type Handlers } from '../context.ts'
import { fail, parameterError } from '../errors.ts'
import { hasFeature, type Feature } from '../storage/kinds.ts'
import { storageConfig, volumeIn } from '../storage/volumes.ts'
import { cloneVm } from './clone.ts'
import { cloudinitHandlers } from './cloudinit.ts'
import { loadVm, shownConfig, shownPending } from './config.ts'
import { createVm } from './create.ts'
import { destroyVm } from './destroy.ts'
import { isCdrom, parseDrive } from './drive.ts'
import { moveDisk } from './move.ts'
import { driveSlots } from './options.ts'
import { resizeDisk } from './resize.ts'
import { snapshotConfig, snapshotHandlers } from './snapshots.ts'
import { currentStatus, vmStatus } from './status.ts'
import { makeTemplate } from './template.ts'
import { unlink, updateConfig } from './update.ts'

async function list(call: Call): Promise<unknown> {
  const { context, caller } = call
  const visible = [...context.state.vms.keys()].filter((vmid) => caller.has(`/vms/${vmid}`, 'VM.Audit'))
  return Promise.all(
    visible.map(async (vmid) => {
      const { qmpstatus: _, nics: _nics, ...status } = await vmStatus(context, vmid)
      return status
    }),
  )
}

function config(call: Call): unknown {
  const vm = loadVm(call.context, vmidOf(call))
  const { snapshot, current } = call.params
  if (snapshot !== undefined && current === '1')
    throw parameterError({
      snapshot: "cannot use 'snapshot' parameter with 'current'",
      current: "cannot use 'snapshot' parameter with 'current'",
    })
  if (snapshot !== undefined) return snapshotConfig(vm, snapshot)
  return shownConfig(vm, current === '1')
}

/** Whether the disks' storages can do it. */
function feature(call: Call): unknown {
  const vm = loadVm(call.context, vmidOf(call))
  if (call.params.snapname !== undefined) fail(`snapshot '${call.params.snapname}' does not exist`)
  const disks = driveSlots
    .map((slot) => [slot, vm.value.config[slot]] as const)
    .filter((entry): entry is [string, string] => entry[1] !== undefined)
  const volumes = disks
    .map(([slot, value]) => parseDrive(slot, value))
    .filter((drive) => !isCdrom(drive))
    .map((drive) => volumeIn(call.context, drive.file))
  const has = volumes.every((volume) => hasFeature(storageConfig(call.context, volume.storage), call.params.feature as Feature, volume))
  return { hasFeature: has ? 1 : 0, nodes: [call.context.node] }
}

const at = '/nodes/{node}/qemu/{vmid}'
export const vmHandlers: Handlers = {
  'GET /nodes/{node}/qemu': list,
  'POST /nodes/{node}/qemu': createVm,
  [`GET ${at}`]: () =>
    [
      'agent',
      'clone',
      'cloudinit',
      'config',
      'feature',
      'firewall',
      'move_disk',
      'pending',
      'resize',
      'sendkey',
      'snapshot',
      'status',
      'template',
      'unlink',
    ].map((subdir) => ({ subdir })),
  [`DELETE ${at}`]: destroyVm,
  [`GET ${at}/config`]: config,
  [`PUT ${at}/config`]: (call) => updateConfig(call, true),
  [`POST ${at}/config`]: (call) => updateConfig(call, false),
  [`GET ${at}/pending`]: (call) => shownPending(loadVm(call.context, vmidOf(call))),
  [`GET ${at}/feature`]: feature,
  [`POST ${at}/clone`]: cloneVm,
  [`POST ${at}/template`]: makeTemplate,
  [`PUT ${at}/resize`]: resizeDisk,
  [`POST ${at}/move_disk`]: moveDisk,
  [`PUT ${at}/unlink`]: unlink,
  [`GET ${at}/status/current`]: (call) => currentStatus(call.context, vmidOf(call)),
  ...cloudinitHandlers,
  ...snapshotHandlers,
}
