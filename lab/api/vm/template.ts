/** POST …/template. */
import { task, vmidOf, type Call } from '../context.ts'
import { fail } from '../errors.ts'
import { makeBase, parseVolid } from '../storage/volumes.ts'
import { isTemplate, loadVm, requireUnlocked, saveVm } from './config.ts'
import { isCdrom, parseDrive, printDrive } from './drive.ts'
import { driveSlots } from './options.ts'

export async function makeTemplate(call: Call): Promise<unknown> {
  const { context, params } = call
  const vmid = vmidOf(call)
  loadVm(context, vmid)
  return context.locks.withVm(vmid, async () => {
    const vm = loadVm(context, vmid)
    requireUnlocked(vm)
    if (isTemplate(vm) && params.disk === undefined) fail("you can't convert a template to a template")
    if (Object.keys(vm.value.snapshots ?? {}).length > 0) fail('unable to create template, because VM contains snapshots')
    if (context.running.has(vmid)) fail("you can't convert a VM to template if VM is running")
    return task(call, 'qmtemplate', vmid, () =>
      context.locks.withVm(vmid, async () => {
        const { config } = vm.value
        config.template = '1'
        for (const slot of driveSlots.filter((name) => config[name] !== undefined && (params.disk ?? name) === name)) {
          const drive = parseDrive(slot, config[slot] as string)
          if (isCdrom(drive) || parseVolid(drive.file) === undefined) continue
          config[slot] = printDrive({ ...drive, file: await makeBase(context, drive.file) })
          saveVm(vm)
        }
        saveVm(vm)
      }),
    )
  })
}
