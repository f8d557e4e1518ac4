/** POST …/move_disk: to another storage or format, or to another VM. */
import type { DiskFormat } from '../../compute/driver.ts'
import { task, vmidOf, type Call, type Context } from '../context.ts'
import { fail, parameterError } from '../errors.ts'
import { jobsOf } from '../replication.ts'
import { hasFeature } from '../storage/kinds.ts'
import {
  diskFormat,
  freeVolume,
  makeBase,
  parseVolid,
  pathOf,
  renameVolume,
  storageConfig,
  usableStorage,
  volumeIn,
  volumeOf,
} from '../storage/volumes.ts'
import { applyAll, hotplug } from './apply.ts'
import { bootOrder, printBootOrder } from './boot.ts'
import { addUnused, digestOf, isTemplate, loadVm, requireUnlocked, saveVm, type VmFile } from './config.ts'
import { copyDrive } from './disks.ts'
import { isCdrom, isCloudinit, parseDrive, printDrive, printSize, withOptions, type Drive } from './drive.ts'
import { isUnusedSlot } from './options.ts'
import { requireImages } from './permission.ts'
import { snapshotsOf } from './snapshots.ts'

export function moveDisk(call: Call): unknown {
  const { 'target-vmid': target, storage } = call.params
  if (target !== undefined && storage !== undefined) {
    const text = "either set 'storage' or 'target-vmid', but not both"
    throw parameterError({ 'target-vmid': text, storage: text })
  }
  if (target !== undefined) return reassign(call, Number(target))
  if (storage !== undefined) return toStorage(call, storage)
  const text = "both 'storage' and 'target-vmid' missing, either needs to be set"
  throw parameterError({ 'target-vmid': text, storage: text })
}

const modified = 'detected modified configuration - file changed by other user? Try again.'

async function toStorage(call: Call, storage: string): Promise<unknown> {
  const { context, caller, params } = call
  const vmid = vmidOf(call)
  const disk = params.disk as string
  caller.require(`/storage/${storage}`, 'Datastore.AllocateSpace')
  const check = (): { vm: VmFile; drive: Drive } => {
    const vm = loadVm(context, vmid)
    requireUnlocked(vm)
    if (params.digest !== undefined && params.digest !== digestOf(vm)) fail(modified)
    const drive = parseDrive(disk, vm.value.config[disk] ?? fail(`disk '${disk}' does not exist`))
    if (isCdrom(drive) && !isCloudinit(drive)) fail("you can't move a cdrom")
    const volume = volumeOf(drive.file)
    if (volume.storage === storage && (params.format ?? volume.format) === volume.format)
      fail("you can't move to the same storage with same format")
    usableStorage(context, storage)
    requireImages(context, storage)
    return { vm, drive }
  }
  return context.locks.withVm(vmid, async () => {
    check()
    return task(call, 'qmmove', vmid, ({ signal }) =>
      context.locks.withVm(vmid, async () => {
        const { vm, drive } = check()
        if (context.running.has(vmid) && !isUnusedSlot(disk)) fail('the lab moves disks of stopped VMs only')
        const volume = volumeOf(drive.file)
        const copied = await copyDrive(context, drive, vmid, {
          storage,
          format: (params.format as DiskFormat | undefined) ?? diskFormat(volume),
          signal,
        })
        const moved = parseDrive(disk, copied)
        const file = isTemplate(vm) && !isCloudinit(drive) ? await makeBase(context, moved.file) : moved.file
        vm.value.config[disk] = isUnusedSlot(disk) ? file : printDrive({ ...moved, file })
        if (params.delete === '1' || isCloudinit(drive)) await freeVolume(context, drive.file)
        else addUnused(vm.value.config, drive.file)
        saveVm(vm)
      }),
    )
  })
}

/** Both VMs' locks, always in the same order. */
const withBoth = <T>(context: Context, a: number, b: number, work: () => Promise<T>): Promise<T> =>
  context.locks.withVm(Math.min(a, b), () => context.locks.withVm(Math.max(a, b), work))

async function reassign(call: Call, target: number): Promise<unknown> {
  const { context, caller, params } = call
  const vmid = vmidOf(call)
  const disk = params.disk as string
  const slot = params['target-disk'] ?? disk
  caller.require(`/vms/${target}`, 'VM.Config.Disk')
  if (target === vmid) throw parameterError({ 'target-vmid': 'must be different than source VMID to reassign disk' })
  const load = (): { source: VmFile; receiver: VmFile; drive: Drive } => {
    const source = loadVm(context, vmid)
    if (params.digest !== undefined && params.digest !== digestOf(source)) fail(`VM ${vmid}: ${modified}`)
    const receiver = context.state.vms.get(target) ?? fail(`could not find target VM ${target}`)
    if (params['target-digest'] !== undefined && params['target-digest'] !== digestOf(receiver)) fail(`VM ${target}: ${modified}`)
    if (isTemplate(source) || isTemplate(receiver)) fail("Can't move disks from or to template VMs")
    requireUnlocked(source)
    requireUnlocked(receiver)
    const value = source.value.config[disk] ?? fail(`Disk '${disk}' for VM '${vmid}' does not exist`)
    const drive = parseDrive(disk, value)
    if (receiver.value.config[slot] !== undefined) fail(`Target disk key '${slot}' is already in use for VM '${target}'`)
    if (isCdrom(drive) && !isCloudinit(drive)) fail("CD drive contents can't be moved to another VM")
    if (snapshotsOf(source, drive.file).length > 0) fail("Can't move disk used by a snapshot to another VM")
    if (parseVolid(drive.file) !== undefined && !isCdrom(drive)) {
      const volume = volumeIn(context, drive.file)
      if (!hasFeature(storageConfig(context, volume.storage), 'rename', volume))
        fail('Storage does not support moving of this disk to another VM')
    }
    if (context.running.has(vmid) && !isUnusedSlot(disk))
      fail('Cannot move disk to another VM while the source VM is running - detach first')
    if (jobsOf(context, target).length > 0 && storageConfig(context, volumeOf(drive.file).storage).type !== 'zfspool')
      fail('Cannot move disk to a replicated VM. Storage does not support replication!')
    return { source, receiver, drive }
  }
  const first = load()
  caller.require(`/storage/${volumeOf(first.drive.file).storage}`, 'Datastore.AllocateSpace')
  return task(call, 'qmmove', `${vmid}-${disk}>${target}-${slot}`, ({ log }) =>
    withBoth(context, vmid, target, async () => {
      const { source, receiver, drive } = load()
      const volid = await renameVolume(context, drive.file, target)
      log(`moving disk '${disk}' from VM '${vmid}' to '${target}': ${drive.file} -> ${volid}`)
      delete source.value.config[disk]
      const order = bootOrder(source.value.config.boot)
      if (order.includes(disk)) source.value.config.boot = printBootOrder(order.filter((device) => device !== disk))
      saveVm(source)
      await receive(context, receiver, slot, { ...drive, file: volid })
    }),
  )
}

/** Puts the renamed volume into its new slot; a running VM gets it plugged in. */
async function receive(context: Context, vm: VmFile, slot: string, drive: Drive): Promise<void> {
  if (isUnusedSlot(slot)) {
    vm.value.config[slot] = drive.file
    saveVm(vm)
    return
  }
  const { virtualBytes } = await context.driver.volumes.info(pathOf(context, drive.file))
  vm.value.pending[slot] = printDrive(withOptions(drive, { size: printSize(virtualBytes) }))
  const order = bootOrder(vm.value.config.boot)
  if (order.length > 0 && isCdrom(drive) && !order.includes(slot)) vm.value.pending.boot = printBootOrder([...order, slot])
  saveVm(vm)
  const running = context.running.get(vm.value.vmid)
  if (running === undefined) await applyAll(context, vm)
  else await hotplug(context, vm, running, new Set([slot]))
}
