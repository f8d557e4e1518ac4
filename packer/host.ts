/** The few things that a bake does to VMs and files of the Proxmox host, each careful about whose they are. */
import { setTimeout as delay } from 'node:timers/promises'
import { ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { Failure } from '../proxmox/failure.ts'
import type { VmConfig } from '../images/catalog.ts'
import type { Site } from '../stacks/site.ts'

const gone = (error: unknown): boolean => error instanceof ProxmoxError && /does not exist|no such (vm|resource|volume)/i.test(error.message)

/** The configuration of a VM, or undefined if there is none. */
export async function readConfig(proxmox: Proxmox, node: string, vmid: number): Promise<VmConfig | undefined> {
  try {
    return await proxmox.get<VmConfig>(`/nodes/${node}/qemu/${vmid}/config`)
  } catch (error) {
    if (gone(error) || (error instanceof ProxmoxError && error.status === 403)) return undefined
    throw error
  }
}

/**
 * The first VMIDs of the site's template range that nobody has; `cluster/nextid` knows of VMs, too, that the token
 * may not see.
 * @throws Failure `template-range-full`
 */
export async function freeVmids(proxmox: Proxmox, site: Site, count: number): Promise<number[]> {
  const { first, last } = site.proxmox.templates
  const free: number[] = []
  for (let vmid = first; vmid <= last && free.length < count; vmid++) {
    try {
      await proxmox.get('/cluster/nextid', { vmid })
      free.push(vmid)
    } catch (error) {
      if (!(error instanceof ProxmoxError) || error.status !== 400) throw error
    }
  }
  if (free.length < count) throw new Failure('template-range-full', `the VMIDs ${first} to ${last} are all in use`, 'Remove images that are no longer needed, or widen proxmox.templates in site.ts. Nothing was touched.')
  return free
}

/**
 * Destroys a VM, if it still is the one that was meant: its name is compared again right before. A VM that is gone
 * already, or goes meanwhile, is fine. Only its own disks go with it: whatever else has this VMID in its name
 * may be a volume that somebody keeps.
 */
export async function destroyVm(proxmox: Proxmox, node: string, vmid: number, name: string, signal?: AbortSignal): Promise<void> {
  const options = signal ? { signal } : {}
  // A clone that was going on when its run was killed holds the lock until Proxmox has ended it.
  for (let tries = 0; ; tries++) {
    const config = await readConfig(proxmox, node, vmid)
    if (config === undefined) return
    if (config.name !== name) throw new Failure('vmid-taken', `VM ${vmid} is no longer ${name} but ${config.name ?? 'without a name'}`, 'That VM was not touched. Run the same command again.')
    if (config.lock === undefined) break
    if (tries === 300) throw new Failure('vm-locked', `VM ${vmid} (${name}) stays locked (${config.lock})`, `Look at its tasks in Proxmox; "qm unlock ${vmid}" on the host ends a lock that nobody holds. Then run the same command again.`)
    await delay(1000, undefined, options)
  }
  try {
    const status = await proxmox.get<{ status: string }>(`/nodes/${node}/qemu/${vmid}/status/current`)
    if (status.status === 'running') await proxmox.task(await proxmox.post<string>(`/nodes/${node}/qemu/${vmid}/status/stop`), options)
    await proxmox.task(await proxmox.del<string>(`/nodes/${node}/qemu/${vmid}`, { purge: 1 }), options)
  } catch (error) {
    if (await readConfig(proxmox, node, vmid) !== undefined) throw error
  }
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
  const upid = await proxmox.del<string | null>(`/nodes/${node}/storage/${storage.iso}/content/${volume}`)
  if (upid !== null && upid !== '') await proxmox.task(upid)
}
