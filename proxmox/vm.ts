/** What is asked of one VM. Changes that take their time answer with a task, which is for the caller to wait for. */
import type { Parameters, Proxmox, Sending } from './client.ts'
import { isDenied, isVmMissing } from './conditions.ts'
import type { Upid } from './tasks.ts'

export interface VmConfig {
  readonly name?: string
  readonly description?: string
  readonly tags?: string
  readonly template?: number
  readonly protection?: number
  readonly lock?: string
  /** Proxmox's checksum of all of it. */
  readonly digest?: string
  readonly [key: string]: string | number | undefined
}

export interface VmStatus {
  readonly status: string
  /** In seconds. */
  readonly uptime?: number
  readonly lock?: string
  readonly ha?: { readonly managed?: number; readonly state?: string }
  /** Processors busy. */
  readonly cpu?: number
  /** Processors it has. */
  readonly cpus?: number
  /** QEMU's own word. */
  readonly qmpstatus?: string
}

/** A disk goes to another VM, if both are as they were seen. */
export interface DiskMove {
  readonly disk: string
  readonly digest: string
  readonly target: { readonly vmid: number; readonly disk: string; readonly digest: string }
}

export interface NewClone {
  readonly vmid: number
  readonly name: string
  readonly description: string
  /** One that the token may make VMs in. */
  readonly pool: string
  /** A copy of its own of all disks. */
  readonly full: boolean
}

export interface Vm {
  /** As a restart would make it. */
  config(): Promise<VmConfig>
  /** As it is now, without what is pending. */
  currentConfig(): Promise<VmConfig>
  status(): Promise<VmStatus>
  snapshots(): Promise<string[]>
  snapshotConfig(name: string): Promise<VmConfig>
  /** Answers when it is done. @param settings with a `digest` it is done only to the configuration that has it */
  change(settings: Parameters, sending?: Sending): Promise<void>
  /** The same in the background, for what takes its time, such as making a disk. */
  changeSlowly(settings: Parameters): Promise<Upid>
  /** @returns its task, if there is one */
  resize(disk: string, size: string): Promise<Upid | null>
  moveDisk(move: DiskMove): Promise<Upid>
  template(): Promise<Upid>
  /** On the same node and storage; name and notes are the clone's own, all else is as the source has it. */
  clone(clone: NewClone): Promise<Upid>
  start(): Promise<Upid>
  /** As pulling the plug. */
  stop(): Promise<Upid>
  /** As with the button of a computer: the guest is not asked. */
  reset(): Promise<Upid>
  /** The guest is asked. @param seconds how long Proxmox waits for it */
  reboot(seconds: number): Promise<Upid>
  /** The guest is asked, and its power cut when it does not obey within `seconds`. */
  shutdown(seconds: number): Promise<Upid>
  /** With its entries in jobs; of volumes only those that it names. */
  destroy(): Promise<Upid>
}

/** Asks nothing by itself. */
export function vmAt(proxmox: Proxmox, node: string, vmid: number): Vm {
  const path = `/nodes/${node}/qemu/${vmid}`
  return {
    config: () => proxmox.get(`${path}/config`),
    currentConfig: () => proxmox.get(`${path}/config`, { current: 1 }),
    status: () => proxmox.get(`${path}/status/current`),
    async snapshots() {
      const list = await proxmox.get<{ name: string }[]>(`${path}/snapshot`)
      return list.map(({ name }) => name).filter((name) => name !== 'current')
    },
    snapshotConfig: (name) => proxmox.get(`${path}/snapshot/${encodeURIComponent(name)}/config`),
    change: (settings, sending) => proxmox.put(`${path}/config`, settings, sending),
    changeSlowly: (settings) => proxmox.post(`${path}/config`, settings),
    resize: (disk, size) => proxmox.put(`${path}/resize`, { disk, size }),
    moveDisk: ({ disk, digest, target }) =>
      proxmox.post(`${path}/move_disk`, {
        disk,
        digest,
        'target-vmid': target.vmid,
        'target-disk': target.disk,
        'target-digest': target.digest,
      }),
    template: () => proxmox.post(`${path}/template`),
    clone: ({ vmid: newid, ...clone }) => proxmox.post(`${path}/clone`, { newid, ...clone }),
    start: () => proxmox.post(`${path}/status/start`),
    stop: () => proxmox.post(`${path}/status/stop`),
    reset: () => proxmox.post(`${path}/status/reset`),
    reboot: (timeout) => proxmox.post(`${path}/status/reboot`, { timeout }),
    shutdown: (timeout) => proxmox.post(`${path}/status/shutdown`, { timeout, forceStop: true }),
    destroy: () => proxmox.del(path, { purge: 1 }),
  }
}

/** The configuration of a VM; undefined: there is none, or none that this token may see. */
export async function readConfig(proxmox: Proxmox, node: string, vmid: number): Promise<VmConfig | undefined> {
  try {
    return await vmAt(proxmox, node, vmid).config()
  } catch (error) {
    if (isVmMissing(error) || isDenied(error)) return undefined
    throw error
  }
}

/** @param settings with its `vmid`, and a `pool` that the token may make VMs in */
export const createVm = (proxmox: Proxmox, node: string, settings: Parameters & { readonly vmid: number }): Promise<Upid> =>
  proxmox.post(`/nodes/${node}/qemu`, settings)

/** The VMs of a node that the token may see, with the state that they are in. */
export const vmsOf = (
  proxmox: Proxmox,
  node: string,
): Promise<{ readonly vmid: number; readonly name: string; readonly status: string }[]> => proxmox.get(`/nodes/${node}/qemu`)
