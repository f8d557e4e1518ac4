/** DELETE of a VM. */
import { task, vmidOf, type Call } from '../context.ts'
import { fail, parameterError } from '../errors.ts'
import { forgetHa, haState } from '../ha.ts'
import { joinPool } from '../pools.ts'
import { forgetJobs, jobsOf } from '../replication.ts'
import { freeVolume, imageVolumes, linkedTo, parseVolid } from '../storage/volumes.ts'
import { loadVm, requireUnlocked, requireUnprotected, type VmFile } from './config.ts'
import { parseDrive } from './drive.ts'
import { driveSlots, isDriveSlot, isUnusedSlot } from './options.ts'
import { dropFirewall } from './firewall-state.ts'

/** Volumes that the configuration names and the VM owns. */
const owned = (vm: VmFile): string[] => {
  const { config, pending, vmid } = vm.value
  const named = [config, pending, ...Object.values(vm.value.snapshots ?? {}).map((one) => one.config)].flatMap((section) =>
    Object.entries(section)
      .filter(([key]) => isDriveSlot(key) || isUnusedSlot(key))
      .map(([key, value]) => parseDrive(key, value).file),
  )
  return [...new Set(named)].filter((volid) => parseVolid(volid)?.vmid === vmid)
}

/** Attached ones first, in the order of their slots, then unused ones. */
function inOrder(vm: VmFile, volumes: readonly string[]): string[] {
  const { config } = vm.value
  const attached = driveSlots
    .flatMap((slot) => (config[slot] === undefined ? [] : [parseDrive(slot, config[slot]).file]))
    .filter((volid) => volumes.includes(volid))
  return [...new Set([...attached, ...volumes])]
}

export function destroyVm(call: Call): unknown {
  const { context, caller, params } = call
  const vmid = vmidOf(call)
  if (params.skiplock === '1' && !caller.isRoot) throw parameterError({ skiplock: 'Only root may use this option.' })
  const check = (): VmFile => {
    const vm = loadVm(context, vmid)
    requireUnlocked(vm)
    requireUnprotected(vm, `can't remove VM ${vmid}`)
    if (params.purge !== '1') {
      if (haState(context, vmid) !== undefined) fail(`unable to remove VM ${vmid} - used in HA resources and purge parameter not set.`)
      const [job] = jobsOf(context, vmid)
      if (job !== undefined) fail(`There is a replication job '${job}' for guest '${vmid}' - Please remove that first.`)
    }
    if (context.running.has(vmid)) fail(`VM ${vmid} is running - destroy failed`)
    return vm
  }
  check()
  return task(call, 'qmdestroy', vmid, async ({ log }) => {
    await context.locks.withVm(vmid, async () => {
      const vm = check()
      const volumes = inOrder(vm, owned(vm))
      for (const volid of volumes) {
        if (parseVolid(volid)?.isBase && linkedTo(context, volid).length > 0)
          fail(`base volume '${volid}' is still in use by linked cloned`)
      }
      for (const volid of volumes)
        await freeVolume(context, volid).catch((error: unknown) =>
          log(`Could not remove disk '${volid}', check manually: ${String(error)}`),
        )
      if (params['destroy-unreferenced-disks'] === '1') {
        for (const [storage, { disable }] of Object.entries(context.state.storages.value)) {
          if (disable) continue
          for (const { volid } of await imageVolumes(context, storage, vmid)) await freeVolume(context, volid)
        }
      }
      const { state } = context
      state.removeVm(vmid)
      joinPool(context, undefined, vmid)
      forgetHa(context, vmid)
      forgetJobs(context, vmid)
      state.access.value.acls = state.access.value.acls.filter((acl) => acl.path !== `/vms/${vmid}`)
      state.access.save()
      await dropFirewall(context, vmid)
    })
  })
}
