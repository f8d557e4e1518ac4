/** The data disk's way between its depot and a slot. One owner at any time: Proxmox's reassignment sees to that. */
import type { Proxmox } from '../proxmox/client.ts'
import { concerns, settleTasks } from '../proxmox/settle.ts'
import type { Disk, GroupPlaces } from './observe.ts'

/** By which the guest knows it, and where it is attached, on depots and slots alike. */
export const dataKey = 'scsi1'
const dataOptions = 'serial=golden-data,discard=on'

const vmPath = (places: GroupPlaces, vmid: number): string => `/nodes/${places.node}/qemu/${vmid}`
const options = (signal?: AbortSignal): { signal?: AbortSignal } => signal === undefined ? {} : { signal }

/**
 * Waits for what a run that is gone, or a request whose answer was lost, has begun at the group's VMs: a disk that is
 * still being made, or is under way, looks as if there were none. What became of it is for whoever looks next.
 */
export async function settleGroup(proxmox: Proxmox, { node, depot, slots }: GroupPlaces, signal?: AbortSignal): Promise<void> {
  await settleTasks(proxmox, node, concerns([depot.vmid, slots.blue.vmid, slots.green.vmid]), signal)
}

/** A new, empty data disk in the depot. */
export async function createDataDisk(proxmox: Proxmox, places: GroupPlaces, signal?: AbortSignal): Promise<void> {
  const upid = await proxmox.post<string>(`${vmPath(places, places.depot.vmid)}/config`, { [dataKey]: `${places.storage}:${places.dataGiB},${dataOptions}` })
  await proxmox.task(upid, options(signal))
}

/**
 * Reassigns the disk. Into a slot it comes detached: attaching it then with all its options takes effect at once,
 * while options of a disk that arrived attached would stay pending until a restart.
 */
export async function reassign(proxmox: Proxmox, places: GroupPlaces, from: number, disk: Disk, to: number, targetKey: string, signal?: AbortSignal): Promise<void> {
  const upid = await proxmox.post<string>(`${vmPath(places, from)}/move_disk`, { disk: disk.key, 'target-vmid': to, 'target-disk': targetKey })
  // Not to be given up half-way: the volume is renamed in between.
  await proxmox.task(upid)
  signal?.throwIfAborted()
}

/** Plugs a detached disk in. PUT, because it waits until it is done. */
export async function attach(proxmox: Proxmox, places: GroupPlaces, vmid: number, disk: Disk): Promise<void> {
  await proxmox.put(`${vmPath(places, vmid)}/config`, { [dataKey]: `${disk.volume},${dataOptions}` })
}

export async function protect(proxmox: Proxmox, places: GroupPlaces, vmid: number, on: boolean): Promise<void> {
  await proxmox.put(`${vmPath(places, vmid)}/config`, { protection: on })
}

export async function start(proxmox: Proxmox, places: GroupPlaces, vmid: number, signal?: AbortSignal): Promise<void> {
  await proxmox.task(await proxmox.post<string>(`${vmPath(places, vmid)}/status/start`), options(signal))
}

/** As with the button of a computer: the guest is not asked. */
export async function reset(proxmox: Proxmox, places: GroupPlaces, vmid: number, signal?: AbortSignal): Promise<void> {
  await proxmox.task(await proxmox.post<string>(`${vmPath(places, vmid)}/status/reset`), options(signal))
}

/** Asks the guest, and cuts the power when it does not obey within `seconds`. */
export async function shutdown(proxmox: Proxmox, places: GroupPlaces, vmid: number, seconds: number, signal?: AbortSignal): Promise<void> {
  const upid = await proxmox.post<string>(`${vmPath(places, vmid)}/status/shutdown`, { timeout: seconds, forceStop: true })
  await proxmox.task(upid, { timeoutMs: (seconds + 120) * 1000, ...options(signal) })
}
