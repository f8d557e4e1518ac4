/** The few things that a bake does to VMs and files of the Proxmox host, each careful about whose they are. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Proxmox } from '../proxmox/client.ts'
import { markDoomed } from '../proxmox/doomed.ts'
import { Failure, isLost } from '../core/failure.ts'
import { isDenied, isOutdated, isVmMissing } from '../proxmox/conditions.ts'
import { concerns, settleTasks } from '../proxmox/tasks.ts'
import { isFree } from '../proxmox/vmid.ts'
import type { VmConfig } from '../proxmox/vm.ts'
import type { Site } from '../settings/site.ts'

/** The configuration of a VM, or undefined if there is none. */
export async function readConfig(proxmox: Proxmox, node: string, vmid: number): Promise<VmConfig | undefined> {
  try {
    return await proxmox.get<VmConfig>(`/nodes/${node}/qemu/${vmid}/config`)
  } catch (error) {
    if (isVmMissing(error) || isDenied(error)) return undefined
    throw error
  }
}

/**
 * The first VMIDs of the site's template range that nobody has.
 * @throws Failure `template-range-full`
 */
export async function freeVmids(proxmox: Proxmox, site: Site, count: number): Promise<number[]> {
  const { first, last } = site.proxmox.templates
  const free: number[] = []
  for (let vmid = first; vmid <= last && free.length < count; vmid++) {
    if (await isFree(proxmox, vmid)) free.push(vmid)
  }
  if (free.length < count)
    throw new Failure(
      'template-range-full',
      `the VMIDs ${first} to ${last} are all in use`,
      'Remove images that are no longer needed, or widen proxmox.templates in site.ts. Nothing was touched.',
    )
  return free
}

/**
 * Destroys a VM, if it still is the one that is meant, which is asked right before; any other is not touched. It is
 * marked first (proxmox/doomed.ts): from then on a run that would finish it finds it changed, and one that has finished
 * it meanwhile is found here. One that is gone already, or goes meanwhile, is fine. Only its own disks go with it:
 * whatever else has this VMID in its name may be a volume that somebody keeps.
 * @param lookAgain how often, when the answer was lost
 * @throws Failure `vm-locked`
 */
export async function destroyVm(
  proxmox: Proxmox,
  node: string,
  vmid: number,
  isMeant: (config: VmConfig) => boolean,
  signal?: AbortSignal,
  lookAgain = 2,
): Promise<void> {
  const options = signal ? { signal } : {}
  for (let tries = 0; ; tries++) {
    const config = await readConfig(proxmox, node, vmid)
    if (!(await isBeingMade(proxmox, node, vmid, config))) {
      if (config === undefined || !isMeant(config)) return
      if (config.lock === undefined && (await stopped(proxmox, node, vmid, options)) && (await marked(proxmox, node, vmid, config))) break
    }
    // What was going on when its run was killed holds the lock until Proxmox has ended it.
    if (tries === 300)
      throw new Failure(
        'vm-locked',
        `VM ${vmid} stays locked (${config?.lock ?? 'create'})`,
        `Look at its tasks in Proxmox; "qm unlock ${vmid}" on the host ends a lock that nobody holds. Then run the same command again.`,
      )
    await delay(1000, undefined, options)
  }
  try {
    await proxmox.task(await proxmox.del<string>(`/nodes/${node}/qemu/${vmid}`, { purge: 1 }), options)
  } catch (error) {
    const lost = isLost(error)
    if (lost) await settleTasks(proxmox, node, concerns([vmid]), signal)
    if ((await readConfig(proxmox, node, vmid)) === undefined) return
    if (!lost || lookAgain === 0) throw error
    await destroyVm(proxmox, node, vmid, isMeant, signal, lookAgain - 1)
  }
}

/** Stops it. @returns false if it was running: that took its time, and the VM has to be looked at again */
async function stopped(proxmox: Proxmox, node: string, vmid: number, options: { signal?: AbortSignal }): Promise<boolean> {
  const path = `/nodes/${node}/qemu/${vmid}/status`
  try {
    if ((await proxmox.get<{ status: string }>(`${path}/current`)).status !== 'running') return true
    await proxmox.task(await proxmox.post<string>(`${path}/stop`), options)
  } catch (error) {
    if (!isVmMissing(error) && !isOutdated(error) && !isLost(error)) throw error
  }
  return false
}

/** @returns false if it was changed, or went, since it was looked at */
async function marked(proxmox: Proxmox, node: string, vmid: number, { digest }: VmConfig): Promise<boolean> {
  try {
    await markDoomed(proxmox, node, vmid, digest)
    return true
  } catch (error) {
    if (isVmMissing(error) || isOutdated(error) || isLost(error)) return false
    throw error
  }
}

/**
 * Whether a task of this token may be making the VM. Until it ends, what the VM will be is not known, and it is in no
 * pool, so that the token may not even see it. A clone's task bears its source's VMID.
 */
async function isBeingMade(proxmox: Proxmox, node: string, vmid: number, config: VmConfig | undefined): Promise<boolean> {
  if (config === undefined ? await isFree(proxmox, vmid) : config.lock !== 'create' && config.lock !== 'clone') return false
  const tasks = await proxmox.get<{ type: string; id: string }[]>(`/nodes/${node}/tasks`, { source: 'active', limit: 500 })
  return tasks.some(({ type, id }) => type === 'qmclone' || (type === 'qmcreate' && id === String(vmid)))
}

/** Names of the files of this kind on the site's ISO storage. */
export async function listFiles(proxmox: Proxmox, site: Site, content: 'iso' | 'import'): Promise<string[]> {
  const { node, storage } = site.proxmox
  const files = await proxmox.get<{ volid: string }[]>(`/nodes/${node}/storage/${storage.iso}/content`, { content })
  return files.map(({ volid }) => volid.slice(volid.indexOf('/') + 1))
}

/** Deleting a file that is not there succeeds, as PVE itself has it. */
export async function deleteFile(proxmox: Proxmox, site: Site, content: 'iso' | 'import', name: string): Promise<void> {
  const { node, storage } = site.proxmox
  const volume = encodeURIComponent(`${storage.iso}:${content}/${name}`)
  const upid = await proxmox.del<string | null>(`/nodes/${node}/storage/${storage.iso}/content/${volume}`, {}, { repeatable: true })
  if (upid !== null && upid !== '') await proxmox.task(upid)
}
