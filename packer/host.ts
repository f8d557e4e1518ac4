/** The few things that a bake does to VMs and files of the Proxmox host, each careful about whose they are. */
import type { Proxmox } from '../proxmox/client.ts'
import { isVmMissing } from '../proxmox/conditions.ts'
import { removeVm, type VmToRemove } from '../proxmox/remove-vm.ts'
import { storageAt } from '../proxmox/storage.ts'
import { activeTasks } from '../proxmox/tasks.ts'
import { readConfig, vmAt, type VmConfig } from '../proxmox/vm.ts'
import { firstFree, isFree, rangeFull } from '../proxmox/vmid.ts'
import type { Site } from '../settings/site.ts'

/**
 * The first VMIDs of the site's template range that nobody has.
 * @throws Failure `template-range-full`
 */
export async function freeVmids(proxmox: Proxmox, site: Site, count: number): Promise<number[]> {
  const free = await firstFree(proxmox, site.proxmox.templates, count)
  if (free.length < count) throw rangeFull(site.proxmox.templates)
  return free
}

/** What was going on when its run was killed holds the lock until Proxmox has ended it. */
const lockTimeoutMs = 300_000

/**
 * Destroys a VM, if it still is the one that is meant, which is asked right before; any other is not touched. One that is
 * gone already, or goes meanwhile, is fine.
 * @throws Failure `vm-locked`
 */
export async function destroyVm(
  proxmox: Proxmox,
  node: string,
  vmid: number,
  isMeant: (config: VmConfig) => boolean,
  signal?: AbortSignal,
): Promise<void> {
  const look = async (): Promise<VmToRemove | undefined> => {
    const config = await readConfig(proxmox, node, vmid)
    if (await isBeingMade(proxmox, node, vmid, config)) return { lock: config?.lock ?? 'create', running: false, digest: undefined }
    if (config === undefined || !isMeant(config)) return undefined
    const { lock, digest } = config
    try {
      return { lock, running: lock === undefined && (await vmAt(proxmox, node, vmid).status()).status === 'running', digest }
    } catch (error) {
      if (isVmMissing(error)) return undefined
      throw error
    }
  }
  await removeVm(proxmox, node, vmid, look, { timeoutMs: lockTimeoutMs, signal })
}

/**
 * Whether a task of this token may be making the VM. Until it ends, what the VM will be is not known, and it is in no
 * pool, so that the token may not even see it. A clone's task bears its source's VMID.
 */
async function isBeingMade(proxmox: Proxmox, node: string, vmid: number, config: VmConfig | undefined): Promise<boolean> {
  if (config === undefined ? await isFree(proxmox, vmid) : config.lock !== 'create' && config.lock !== 'clone') return false
  const tasks = await activeTasks(proxmox, node)
  return tasks.some(({ type, id }) => type === 'qmclone' || (type === 'qmcreate' && id === String(vmid)))
}

/** Names of the files of this kind on the site's ISO storage. */
export async function listFiles(proxmox: Proxmox, site: Site, content: 'iso' | 'import'): Promise<string[]> {
  const { node, storage } = site.proxmox
  const files = await storageAt(proxmox, node, storage.iso).files(content)
  return files.map(({ volid }) => volid.slice(volid.indexOf('/') + 1))
}

/** Deleting a file that is not there succeeds, as PVE itself has it. */
export async function deleteFile(proxmox: Proxmox, site: Site, content: 'iso' | 'import', name: string): Promise<void> {
  const { node, storage } = site.proxmox
  await storageAt(proxmox, node, storage.iso).remove(`${storage.iso}:${content}/${name}`)
}
