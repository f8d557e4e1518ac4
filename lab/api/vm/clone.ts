/** POST …/clone. */
import type { DiskFormat } from '../../compute/driver.ts'
import { task, vmidOf, type Call, type Context } from '../context.ts'
import { ApiError, fail, taskErrorText } from '../errors.ts'
import { joinPool, requirePool } from '../pools.ts'
import { hasFeature } from '../storage/kinds.ts'
import { nextDisk, parseVolid, pathOf, storageConfig, takeBack, usableStorage, volumeIn } from '../storage/volumes.ts'
import { isTemplate, loadVm, requireUnlocked, saveVm, type Config, type VmFile } from './config.ts'
import { copyDrive } from './disks.ts'
import { isCdrom, isCloudinit, parseDrive, printDrive, type Drive } from './drive.ts'
import { parseNet, printNet, randomMac } from './net.ts'
import { copyFirewall, dropFirewall } from './firewall-state.ts'
import { isDriveSlot, isUnusedSlot } from './options.ts'
import { requireBridges, requireCloneStorages, requireImages } from './permission.ts'
import { newUuid, withNewUuid } from './values.ts'

interface Plan {
  readonly config: Config
  /** Slots whose volume is to be copied or linked. */
  readonly drives: readonly { readonly slot: string; readonly drive: Drive; readonly how: 'copy' | 'link' }[]
}

/** What the clone will look like; volumes come later. @throws 500 when a disk can't be linked */
function plan(
  context: Context,
  source: VmFile,
  full: boolean,
  change: { name?: string | undefined; description?: string | undefined },
): Plan {
  const { config: old, vmid } = source.value
  const config: Config = {}
  const drives: { slot: string; drive: Drive; how: 'copy' | 'link' }[] = []
  for (const [key, value] of Object.entries(old).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (key === 'template' || key === 'lock' || isUnusedSlot(key)) continue
    if (/^net\d+$/.test(key)) config[key] = printNet({ ...parseNet(value), macaddr: randomMac() })
    else if (isDriveSlot(key)) {
      const drive = parseDrive(key, value)
      if (parseVolid(drive.file) === undefined || (isCdrom(drive) && !isCloudinit(drive))) {
        config[key] = value
        continue
      }
      const how = full || isCloudinit(drive) ? 'copy' : 'link'
      const volume = volumeIn(context, drive.file)
      if (!hasFeature(storageConfig(context, volume.storage), how === 'copy' ? 'copy' : 'clone', volume))
        fail(`${how === 'copy' ? 'Full' : 'Linked'} clone feature is not supported for '${drive.file}' (${key})`)
      drives.push({ slot: key, drive, how })
    } else config[key] = value
  }
  config.smbios1 = withNewUuid(old.smbios1)
  if (old.vmgenid !== undefined) config.vmgenid = newUuid()
  config.name = change.name ?? `Copy-of-VM-${old.name ?? vmid}`
  if (change.description !== undefined) config.description = change.description
  return { config, drives }
}

async function link(context: Context, drive: Drive, vmid: number): Promise<string> {
  const base = volumeIn(context, drive.file)
  usableStorage(context, base.storage)
  // In a folder a linked disk is always qcow2.
  const next = nextDisk(context, base.storage, vmid, base.flat ? 'raw' : 'qcow2', { vmid: base.vmid as number, name: base.name })
  await context.driver.volumes.link(pathOf(context, drive.file), next.path)
  return printDrive({ ...drive, file: next.volid })
}

export async function cloneVm(call: Call): Promise<unknown> {
  const { context, caller, params } = call
  const vmid = vmidOf(call)
  const newid = Number(params.newid)
  const { pool, storage, target, snapname } = params
  if (pool !== undefined) requirePool(context, pool)
  if (!context.state.vms.has(vmid)) fail(`unable to find configuration file for VM ${vmid} on node '${context.node}'`)
  if (target !== undefined && target !== context.node && target !== 'localhost') fail(`no such cluster node '${target}'`)
  if (storage !== undefined) {
    usableStorage(context, storage)
    requireImages(context, storage)
  }
  return context.locks.withVm(vmid, async () => {
    const source = loadVm(context, vmid)
    requireUnlocked(source)
    if (snapname !== undefined) fail(`snapshot '${snapname}' does not exist`)
    const full = params.full === undefined ? !isTemplate(source) : params.full === '1'
    if (!full && storage !== undefined) fail("parameter 'storage' not allowed for linked clones")
    if (!full && params.format !== undefined) fail("parameter 'format' not allowed for linked clones")
    requireCloneStorages(caller, source.value.config, storage)
    requireBridges(context, caller, source.value.config)
    if (context.state.vms.has(newid)) fail(`unable to create VM ${newid}: config file already exists`)
    const planned = plan(context, source, full, { name: params.name, description: params.description })
    const clone = context.state.createVm(newid, { lock: 'clone' })
    return task(
      call,
      'qmclone',
      vmid,
      ({ signal, log }) =>
        context.locks.withVmShared(vmid, async () => {
          const made: string[] = []
          try {
            for (const { slot, drive, how } of planned.drives) {
              log(`create ${how === 'copy' ? 'full' : 'linked'} clone of drive ${slot} (${drive.file})`)
              const value =
                how === 'copy'
                  ? await copyDrive(context, drive, newid, {
                      ...(storage === undefined ? {} : { storage }),
                      ...(params.format === undefined ? {} : { format: params.format as DiskFormat }),
                      signal,
                    })
                  : await link(context, drive, newid)
              planned.config[slot] = value
              made.push(parseDrive(slot, value).file)
            }
            // Before anybody can start it.
            await copyFirewall(context, vmid, newid)
            clone.value.config = planned.config
            saveVm(clone)
            if (pool !== undefined) joinPool(context, pool, newid)
          } catch (error) {
            for (const volid of made) await takeBack(context, volid)
            context.state.removeVm(newid)
            await dropFirewall(context, newid)
            throw new ApiError(500, `clone failed: ${taskErrorText(error)}`)
          }
        }),
      () => context.state.removeVm(newid),
    )
  })
}
