/** Puts pending changes into force: all of them when the VM is stopped, what can be plugged when it runs. */
import type { Context, RunningVm } from '../context.ts'
import { fail } from '../errors.ts'
import { freeVolume, parseVolid, volumeExists } from '../storage/volumes.ts'
import { addUnused, saveVm, type VmFile } from './config.ts'
import { isCdrom, isCloudinit, parseDrive, type Drive } from './drive.ts'
import { driveSpec, nicSpec } from './machine.ts'
import { isDriveSlot } from './options.ts'

/** Options that take effect without the guest's doing (PVE::QemuServer: fast-plug options, and the cloud-init ones). */
const live =
  /^(lock|migrate_downtime|migrate_speed|name|onboot|protection|shares|startup|description|vmstatestorage|hookscript|tags|cpuunits|cpulimit|cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+)$/

/** Whether the VM owns that volume: its number is in the name. */
const owns = (vmid: number, drive: Drive): boolean => parseVolid(drive.file)?.vmid === vmid

/** A drive that leaves its slot: cloud-init volumes go, own disks become unused, CDs are only let go of. */
export async function releaseDrive(context: Context, vm: VmFile, drive: Drive): Promise<void> {
  if (isCloudinit(drive)) await freeVolume(context, drive.file)
  else if (!isCdrom(drive) && owns(vm.value.vmid, drive)) addUnused(vm.value.config, drive.file)
}

/** For deletions: `force` destroys the disk instead of keeping it as unused. */
export async function deleteOrDetach(context: Context, vm: VmFile, slot: string, force: boolean): Promise<void> {
  const value = vm.value.config[slot]
  if (value === undefined) return
  const drive = parseDrive(slot, value)
  if (force && !isCdrom(drive) && owns(vm.value.vmid, drive)) {
    if (volumeExists(context, drive.file)) await freeVolume(context, drive.file)
  } else await releaseDrive(context, vm, drive)
}

const drop = (vm: VmFile, key: string): void => {
  delete vm.value.config[key]
  delete vm.value.deletions[key]
}
const adopt = (vm: VmFile, key: string): void => {
  vm.value.config[key] = vm.value.pending[key] as string
  delete vm.value.pending[key]
}

/** Everything, for a VM that does not run. */
export async function applyAll(context: Context, vm: VmFile): Promise<void> {
  const { config, pending, deletions } = vm.value
  for (const key of Object.keys(deletions).sort()) {
    if (isDriveSlot(key)) await deleteOrDetach(context, vm, key, deletions[key] === true)
    drop(vm, key)
  }
  for (const key of Object.keys(pending).sort()) {
    const old = config[key]
    if (old !== undefined && isDriveSlot(key)) {
      const before = parseDrive(key, old)
      if (before.file !== parseDrive(key, pending[key] as string).file) await releaseDrive(context, vm, before)
    }
    adopt(vm, key)
  }
  saveVm(vm)
}

/** Changes of a disk that stays in its slot which QEMU can't carry out on a plugged device. */
const needsReplug = ['aio', 'discard', 'iothread', 'queues', 'product', 'cache', 'ssd', 'vendor', 'ro']

/**
 * What can be changed while it runs; the rest stays pending.
 * @returns errors by option; those changes stay pending too
 */
export async function hotplug(
  context: Context,
  vm: VmFile,
  running: RunningVm,
  selection: ReadonlySet<string>,
): Promise<Record<string, string>> {
  const { config, pending, deletions } = vm.value
  const features = (config.hotplug ?? 'network,disk,usb') === '1' ? 'network,disk,usb' : (config.hotplug ?? 'network,disk,usb')
  const can = (feature: string): boolean => features.split(/[,;]/).includes(feature)
  const errors: Record<string, string> = {}
  const attempt = async (key: string, work: () => Promise<boolean>, done: () => void): Promise<void> => {
    try {
      if (await work()) {
        done()
        saveVm(vm)
      }
    } catch (error) {
      errors[key] = `hotplug problem - ${error instanceof Error ? error.message : String(error)}\n`
    }
  }
  for (const key of Object.keys(deletions)
    .filter((name) => selection.has(name))
    .sort()) {
    await attempt(
      key,
      async () => {
        if (live.test(key)) return true
        if (/^net\d+$/.test(key)) {
          if (!can('network')) return false
          await running.machine.unplugNic(key)
          return true
        }
        if (isDriveSlot(key)) {
          if (!can('disk') || /^(efidisk|tpmstate|ide|sata)/.test(key)) return false
          await running.machine.unplugDrive(key)
          await deleteOrDetach(context, vm, key, deletions[key] === true)
          return true
        }
        return false
      },
      () => drop(vm, key),
    )
  }
  for (const key of Object.keys(pending)
    .filter((name) => selection.has(name))
    .sort()) {
    await attempt(
      key,
      async () => {
        if (live.test(key)) return true
        if (/^net\d+$/.test(key)) return can('network') && plugNic(running, vm, key)
        if (isDriveSlot(key)) return changeDrive(context, vm, running, key, can('disk'))
        return false
      },
      () => adopt(vm, key),
    )
  }
  return errors
}

async function plugNic(running: RunningVm, vm: VmFile, key: string): Promise<boolean> {
  if (vm.value.config[key] !== undefined) await running.machine.unplugNic(key)
  await running.machine.plugNic(nicSpec(key, vm.value.pending[key] as string))
  return true
}

async function changeDrive(context: Context, vm: VmFile, running: RunningVm, slot: string, canPlug: boolean): Promise<boolean> {
  if (/^(efidisk|tpmstate)/.test(slot)) return false
  const drive = parseDrive(slot, vm.value.pending[slot] as string)
  const old = vm.value.config[slot]
  if (isCloudinit(drive)) return false
  if (old !== undefined) {
    const before = parseDrive(slot, old)
    if (isCdrom(drive) !== isCdrom(before)) return fail('unable to change media type')
    if (isCdrom(before)) {
      await running.machine.changeMedium(slot, driveSpec(context, slot, drive).path)
      if (before.file !== drive.file) await releaseDrive(context, vm, before)
      return true
    }
    if (before.file === drive.file) return needsReplug.every((option) => before.options[option] === drive.options[option])
    if (!canPlug) return false
    await running.machine.unplugDrive(slot)
    await releaseDrive(context, vm, before)
    drop(vm, slot)
  }
  if (!canPlug || /^(ide|sata)/.test(slot)) return false
  await running.machine.plugDrive(driveSpec(context, slot, drive))
  return true
}
