/** Snapshots, as far as configurations go: what refers to which volume. The volumes themselves keep nothing of them. */
import type { SnapshotDocument } from '../../state/types.ts'
import { task, vmidOf, type Call, type Handlers } from '../context.ts'
import { fail } from '../errors.ts'
import { isTemplate, loadVm, requireUnlocked, saveVm, shownConfig, shownValue, type VmFile } from './config.ts'
import { parseDrive } from './drive.ts'
import { isDriveSlot, isUnusedSlot } from './options.ts'

const found = (vm: VmFile, name: string): SnapshotDocument => vm.value.snapshots?.[name] ?? fail(`snapshot '${name}' does not exist`)

/** Names of the snapshots that refer to this volume. */
export const snapshotsOf = (vm: VmFile, volid: string): string[] =>
  Object.entries(vm.value.snapshots ?? {})
    .filter(([, { config }]) => Object.entries(config).some(([key, value]) => isDriveSlot(key) && parseDrive(key, value).file === volid))
    .map(([name]) => name)

/** A configuration as it was. */
export function snapshotConfig(vm: VmFile, name: string): Record<string, unknown> {
  const { config, snaptime, parent } = found(vm, name)
  return {
    ...Object.fromEntries(Object.entries(config).map(([key, value]) => [key, shownValue(key, value)])),
    snaptime,
    ...(parent === undefined ? {} : { parent }),
    digest: shownConfig(vm, true).digest,
  }
}

function list(call: Call): unknown {
  const vm = loadVm(call.context, vmidOf(call))
  const { parent } = vm.value.config
  return [
    ...Object.entries(vm.value.snapshots ?? {}).map(([name, one]) => ({
      name,
      description: one.description,
      snaptime: one.snaptime,
      vmstate: 0,
      ...(one.parent === undefined ? {} : { parent: one.parent }),
    })),
    {
      name: 'current',
      description: 'You are here!',
      digest: shownConfig(vm, true).digest,
      running: call.context.running.has(vmidOf(call)) ? 1 : 0,
      ...(parent === undefined ? {} : { parent }),
    },
  ]
}

function make(call: Call): unknown {
  const { snapname = '', description = '' } = call.params
  if (snapname === 'current') fail("unable to use snapshot name 'current' (reserved name)")
  if (snapname === 'pending') fail("unable to use snapshot name 'pending' (reserved name)")
  return task(call, 'qmsnapshot', vmidOf(call), () =>
    call.context.locks.withVm(vmidOf(call), async () => {
      const vm = loadVm(call.context, vmidOf(call))
      if (isTemplate(vm)) fail("you can't take a snapshot if it's a template")
      requireUnlocked(vm)
      if (vm.value.snapshots?.[snapname] !== undefined) fail(`snapshot name '${snapname}' already used`)
      const { parent, ...config } = Object.fromEntries(Object.entries(vm.value.config).filter(([key]) => !isUnusedSlot(key)))
      vm.value.snapshots = {
        ...vm.value.snapshots,
        [snapname]: { config, description, snaptime: Math.floor(Date.now() / 1000), ...(parent === undefined ? {} : { parent }) },
      }
      vm.value.config.parent = snapname
      saveVm(vm)
    }),
  )
}

function remove(call: Call): unknown {
  const { snapname = '' } = call.params
  return task(call, 'qmdelsnapshot', vmidOf(call), () =>
    call.context.locks.withVm(vmidOf(call), async () => {
      const vm = loadVm(call.context, vmidOf(call))
      requireUnlocked(vm)
      const { parent } = found(vm, snapname)
      const { [snapname]: _gone, ...others } = vm.value.snapshots ?? {}
      // Whatever came after it comes after the one before it.
      for (const one of [...Object.values(others), vm.value.config as { parent?: string }]) {
        if (one.parent !== snapname) continue
        if (parent === undefined) delete one.parent
        else one.parent = parent
      }
      vm.value.snapshots = others
      saveVm(vm)
    }),
  )
}

const at = '/nodes/{node}/qemu/{vmid}/snapshot'
export const snapshotHandlers: Handlers = {
  [`GET ${at}`]: list,
  [`POST ${at}`]: make,
  [`DELETE ${at}/{snapname}`]: remove,
  [`GET ${at}/{snapname}/config`]: (call) => snapshotConfig(loadVm(call.context, vmidOf(call)), call.params.snapname as string),
}
