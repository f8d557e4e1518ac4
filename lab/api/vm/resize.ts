/** PUT …/resize. */
import { task, vmidOf, type Call } from '../context.ts'
import { fail, parameterError } from '../errors.ts'
import { pathOf, usableStorage, volumeOf } from '../storage/volumes.ts'
import { digestOf, loadVm, requireUnlocked, saveVm } from './config.ts'
import { isCdrom, parseDrive, parseSize, printDrive, printSize, withOptions } from './drive.ts'

export function resizeDisk(call: Call): unknown {
  const { context, caller, params } = call
  const vmid = vmidOf(call)
  const disk = params.disk as string
  const size = params.size as string
  if (params.skiplock === '1' && !caller.isRoot) throw parameterError({ skiplock: 'Only root may use this option.' })
  return task(call, 'resize', vmid, () =>
    context.locks.withVm(vmid, async () => {
      const vm = loadVm(context, vmid)
      if (params.digest !== undefined && params.digest !== digestOf(vm)) fail('checksum mismatch (file change by other user?)')
      requireUnlocked(vm)
      const value = vm.value.config[disk] ?? fail(`disk '${disk}' does not exist`)
      const drive = parseDrive(disk, value)
      if (isCdrom(drive) && drive.file !== 'none') fail("you can't resize a cdrom")
      const volume = volumeOf(drive.file)
      caller.require(`/storage/${volume.storage}`, 'Datastore.AllocateSpace')
      usableStorage(context, volume.storage)
      const path = pathOf(context, drive.file)
      const { virtualBytes } = await context.driver.volumes.info(path)
      const wanted = parseSize(size.replace(/^\+/, '')) + (size.startsWith('+') ? virtualBytes : 0)
      if (wanted < virtualBytes) fail('shrinking disks is not supported')
      if (wanted === virtualBytes) return
      if (volume.isBase) fail(`command 'qemu-img resize -f ${volume.format} ${volume.name} ${wanted}' failed: exit code 1`) // read-only
      // PVE pads what it hands to QEMU to whole KiB, and writes down what was asked for.
      const padded = Math.ceil(wanted / 1024) * 1024
      const running = context.running.get(vmid)
      if (running === undefined) await context.driver.volumes.resize(path, padded)
      else await running.machine.resizeDrive(disk, padded)
      vm.value.config[disk] = printDrive(withOptions(drive, { size: printSize(wanted) }))
      saveVm(vm)
    }),
  )
}
