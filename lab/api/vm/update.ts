/** PUT and POST /config, PUT /unlink. */
import { task, vmidOf, type Call, type Context } from '../context.ts'
import { fail, parameterError } from '../errors.ts'
import { splitList } from '../formats.ts'
import { freeVolume, parseVolid, volumeExists } from '../storage/volumes.ts'
import { applyAll, hotplug, releaseDrive } from './apply.ts'
import { bootOrder, printBootOrder } from './boot.ts'
import {
  desiredConfig,
  digestOf,
  isTemplate,
  loadVm,
  requireUnlocked,
  requireUnprotected,
  saveVm,
  type Config,
  type VmFile,
} from './config.ts'
import { createDisks } from './disks.ts'
import { asCdrom, isCdrom, isCloudinit, parseDrive } from './drive.ts'
import { memoryMiB } from './machine.ts'
import { parseNet, printNet } from './net.ts'
import { isDriveSlot, isOption, isUnusedSlot } from './options.ts'
import {
  requireBridges,
  requireDevices,
  requireDrive,
  requireDriveSyntax,
  requireFreeing,
  requireOptions,
  requireStorages,
  requireTags,
} from './permission.ts'
import { cryptPassword } from './password.ts'
import { snapshotsOf } from './snapshots.ts'
import { requireSshKeys, uniqueTags } from './values.ts'

interface Change {
  readonly set: Config
  readonly remove: readonly string[]
  readonly revert: readonly string[]
  readonly force: boolean
  readonly digest: string | undefined
}

const notOptions = new Set([
  'node',
  'vmid',
  'delete',
  'revert',
  'digest',
  'force',
  'skiplock',
  'background_delay',
  'import-working-storage',
])

function readChange(params: Readonly<Record<string, string>>): Change {
  const set = Object.fromEntries(Object.entries(params).filter(([key]) => !notOptions.has(key)))
  const remove = splitList(params.delete ?? '').map((key) => (key === 'cdrom' ? 'ide2' : key))
  const revert = splitList(params.revert ?? '')
  if ([...Object.keys(set), ...remove, ...revert].length === 0) fail('no options specified')
  if (params.cdrom !== undefined) {
    set.ide2 = asCdrom(params.cdrom)
    delete set.cdrom
  }
  for (const key of revert) {
    if (!isOption(key)) throw parameterError({ revert: `unknown option '${key}'` })
    if (set[key] !== undefined) throw parameterError({ delete: `you can't use '-${key}' and -revert ${key}' at the same time` })
    if (remove.includes(key)) throw parameterError({ revert: `you can't use '-delete ${key}' and -revert ${key}' at the same time` })
  }
  for (const key of remove) {
    if (set[key] !== undefined) throw parameterError({ delete: `you can't use '-${key}' and -delete ${key}' at the same time` })
    if (!isOption(key)) throw parameterError({ delete: `unknown option '${key}'` })
  }
  return { set, remove, revert, force: params.force === '1', digest: params.digest }
}

/** `sync`: the answer comes when it is done. Else a task, unless a check refuses it before. */
export async function updateConfig(call: Call, sync: boolean): Promise<unknown> {
  const { context, caller } = call
  const vmid = vmidOf(call)
  if (call.params.skiplock === '1' && !caller.isRoot) throw parameterError({ skiplock: 'Only root may use this option.' })
  const change = readChange(call.params)
  loadVm(context, vmid)
  for (const [key, value] of Object.entries(change.set)) if (/^net\d+$/.test(key)) change.set[key] = printNet(parseNet(value))
  requireSshKeys(change.set)
  requireDriveSyntax(context, change.set)
  requireOptions(caller, vmid, undefined, change.remove)
  requireOptions(caller, vmid, undefined, Object.keys(change.set))
  requireStorages(context, caller, vmid, change.set)
  requireBridges(context, caller, change.set)
  const check = (): VmFile => {
    const vm = loadVm(context, vmid)
    if (change.digest !== undefined && change.digest !== digestOf(vm)) fail('checksum mismatch (file change by other user?)')
    if (call.params.skiplock !== '1') requireUnlocked(vm)
    requireSmallBalloon(vm, change)
    return vm
  }
  if (sync) {
    await context.locks.withVm(vmid, () => carryOut(call, check(), change, { signal: new AbortController().signal, log: () => undefined }))
    return null
  }
  check()
  return task(call, 'qmconfig', vmid, ({ signal, log }) =>
    context.locks.withVm(vmid, () => carryOut(call, check(), change, { signal, log })),
  )
}

/** @throws 500 when the guest could be left with more memory than it has */
function requireSmallBalloon(vm: VmFile, change: Change): void {
  const { config, pending } = vm.value
  const reverted = Object.fromEntries(change.revert.flatMap((key) => (config[key] === undefined ? [] : [[key, config[key]]])))
  const wished: Config = { ...change.set, ...reverted }
  if (wished.memory === undefined && wished.balloon === undefined) return
  const after = { ...config, ...pending, ...wished }
  if (Number(after.balloon ?? 0) > memoryMiB(after)) fail('balloon value too large (must be smaller than assigned memory)')
}

interface Progress {
  readonly signal: AbortSignal
  log(line: string): void
}

async function carryOut(call: Call, vm: VmFile, change: Change, progress: Progress): Promise<void> {
  const { context, caller } = call
  const { vmid } = vm.value
  const set = { ...change.set }
  const remove = [...change.remove]
  for (const key of change.revert) {
    if (vm.value.config[key] !== undefined) set[key] = vm.value.config[key]
    else if (vm.value.pending[key] !== undefined) remove.push(key)
  }
  const modified = new Set<string>()
  if (/^order=/.test(set.boot ?? '')) {
    // An explicit order replaces the old way to name the boot disk.
    delete set.bootdisk
    delete vm.value.config.bootdisk
  }
  // What the caller says about the order goes before what follows from the drives.
  let order = set.boot === undefined ? bootOrder(desiredConfig(vm).boot) : []
  const setOrder = (devices: string[]): void => {
    order = devices
    vm.value.pending.boot = printBootOrder(devices)
    modified.add('boot')
  }
  for (const key of remove) {
    const value = vm.value.config[key] ?? vm.value.pending[key]
    if (value === undefined) {
      progress.log(`cannot delete '${key}' - not set in current configuration!`)
      continue
    }
    modified.add(key)
    await removeOption(call, vm, key, value, change.force)
    if (order.includes(key)) setOrder(order.filter((device) => device !== key))
  }
  const drives = Object.entries(set).filter(([key]) => isDriveSlot(key))
  for (const [key, value] of [...Object.entries(set).filter(([name]) => !isDriveSlot(name)), ...drives]) {
    modified.add(key)
    if (vm.value.pending[key] === value) continue
    if (isDriveSlot(key)) {
      const old = vm.value.config[key]
      if (old !== undefined) requireDrive(caller, vmid, undefined, parseDrive(key, old))
      const wished = parseDrive(key, value)
      requireDrive(caller, vmid, undefined, wished)
      const waiting = vm.value.pending[key]
      const made = await createDisks(
        context,
        vmid,
        { [key]: value },
        { ...progress, template: isTemplate(vm), config: { ...vm.value.config, ...vm.value.pending } },
      )
      if (waiting !== undefined) await releaseDrive(context, vm, parseDrive(key, waiting))
      vm.value.pending[key] = made[key] as string
      const stored = parseDrive(key, made[key] as string)
      // The legacy order boots from all CD drives anyway; an explicit one has to name a new drive.
      if (old === undefined && order.length > 0 && isCdrom(stored) && !isCloudinit(stored) && !order.includes(key))
        setOrder([...order, key])
    } else if (key === 'tags') {
      requireTags(caller, vmid)
      vm.value.pending[key] = uniqueTags(value)
    } else if (key === 'cipassword') {
      vm.value.pending[key] = cryptPassword(value)
    } else {
      // The bridge that a card leaves, too.
      requireBridges(context, caller, { [key]: vm.value.config[key] ?? '' })
      requireDevices(caller, vmid, undefined, { [key]: value })
      vm.value.pending[key] = value
    }
    delete vm.value.deletions[key]
    saveVm(vm)
  }
  for (const [key, value] of Object.entries(vm.value.pending))
    if (vm.value.config[key] === value && !(key in vm.value.deletions)) delete vm.value.pending[key]
  const running = context.running.get(vmid)
  if (running === undefined) {
    await applyAll(context, vm)
    return
  }
  saveVm(vm)
  const errors = await hotplug(context, vm, running, modified)
  if (Object.keys(errors).length > 0) throw parameterError(errors)
}

async function removeOption(call: Call, vm: VmFile, key: string, value: string, force: boolean): Promise<void> {
  const { context, caller } = call
  const { vmid } = vm.value
  const waiting = vm.value.pending[key]
  if (isUnusedSlot(key)) {
    const volid = value.split(',')[0] as string
    requireUnprotected(vm, `can't remove unused disk '${volid}'`)
    caller.requireOnVm(vmid, undefined, 'VM.Config.Disk')
    requireFreeing(caller, vmid, volid)
    await removeUnused(context, vm, key, volid)
    return
  }
  if (isDriveSlot(key)) {
    requireUnprotected(vm, `can't remove drive '${key}'`)
    const drive = parseDrive(key, value)
    requireDrive(caller, vmid, undefined, drive)
    if (force) {
      // PVE asks when it is destroyed, which may be at the VM's next stop; the lab before it promises to.
      caller.requireOnVm(vmid, undefined, 'VM.Config.Disk')
      if (!isCdrom(drive)) requireFreeing(caller, vmid, drive.file)
    }
    if (waiting !== undefined) await releaseDrive(context, vm, parseDrive(key, waiting))
  }
  requireBridges(context, caller, { [key]: vm.value.config[key] ?? '' })
  requireDevices(caller, vmid, undefined, { [key]: value }, 'delete')
  if (key === 'tags') requireTags(caller, vmid)
  delete vm.value.pending[key]
  if (vm.value.config[key] !== undefined) vm.value.deletions[key] = force
  saveVm(vm)
}

async function removeUnused(context: Context, vm: VmFile, key: string, volid: string): Promise<void> {
  if (snapshotsOf(vm, volid).length > 0) fail(`unable to delete '${volid}' - volume is still in use (snapshot?)`)
  if (parseVolid(volid)?.vmid === vm.value.vmid && volumeExists(context, volid)) await freeVolume(context, volid)
  delete vm.value.config[key]
  saveVm(vm)
}

/** PUT /unlink: the same as deleting these drives. */
export async function unlink(call: Call): Promise<unknown> {
  const { idlist, ...rest } = call.params
  return updateConfig({ ...call, params: { ...rest, delete: idlist as string } }, true)
}
