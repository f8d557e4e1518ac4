/** Takes a depot away that owns nothing any more: for an administrator, since the project's token may not. */
import { Failure } from '../core/failure.ts'
import type { Proxmox } from './client.ts'
import { removeVm, type VmToRemove } from './remove-vm.ts'
import type { SeenDepot } from './setup.ts'
import { readConfig, vmAt, type VmConfig } from './vm.ts'

/** A backup that somebody makes. */
const lockTimeoutMs = 300_000

/** What a VM has besides itself: of a depot, the data. */
export const volumesOf = (config: VmConfig): string[] =>
  Object.entries(config).flatMap(([key, value]) => {
    const [volume = '', ...options] = String(value).split(',')
    const isDisk = /^(scsi|virtio|sata|ide|efidisk|tpmstate|unused)\d+$/.test(key) && volume.includes(':')
    return isDisk && !options.includes('media=cdrom') ? [volume] : []
  })

/**
 * Looks before each step, and each goes to the very configuration that it has seen: whoever brings data meanwhile is found.
 * Stopped anywhere and run again, it goes on.
 * @throws Failure `setup-in-use` for one that owns a disk, or is another VM by now; `vm-locked`, or Proxmox's
 */
export async function removeDepot(admin: Proxmox, depot: SeenDepot, signal: AbortSignal | undefined): Promise<void> {
  const { vmid, node, name } = depot
  const look = async (): Promise<VmConfig | undefined> => {
    const config = await readConfig(admin, node, vmid)
    if (config === undefined) return undefined
    const volumes = volumesOf(config)
    if (config.name === name && volumes.length === 0) return config
    throw new Failure(
      'setup-in-use',
      config.name === name
        ? `depot ${name} (${vmid}) owns ${volumes.join(', ')}`
        : `VM ${vmid} is ${config.name ?? 'another one'} by now, not ${name}`,
      'Somebody is at it: that VM was not removed. Run the same command again: it looks first.',
    )
  }
  await removeVm(
    admin,
    node,
    vmid,
    async (): Promise<VmToRemove | undefined> => {
      let config = await look()
      if (Number(config?.protection ?? 0) === 1 && config?.lock === undefined) {
        await vmAt(admin, node, vmid).change({ protection: 0, digest: String(config?.digest) })
        config = await look()
      }
      return config && { lock: config.lock, running: false, digest: config.digest }
    },
    { timeoutMs: lockTimeoutMs, signal },
  )
}
