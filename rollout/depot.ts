/**
 * The data disk's way between its depot and a slot. One owner at any time: Proxmox's reassignment sees to that. And
 * whoever owns it can't be deleted, whatever other runs on other computers are at meanwhile:
 *
 *  1. It is reassigned only to a VM that is protected, by the very configuration that was seen so (`target-digest`).
 *  2. A VM is unprotected only by a configuration that was seen without it (`digest`); or, for a handover between running
 *     slots, while it runs: Proxmox detaches no disk of a protected VM, and destroys none that runs.
 *
 * Proxmox compares and changes under the VMs' locks. So at each moment an owner is protected, and Proxmox refuses to
 * destroy it, the engine's DELETE and ours alike, which take no digest. The one exception is the throw-away VM of
 * `delete-data`, which is made to be deleted with it.
 */
import type { Proxmox } from '../proxmox/client.ts'
import { isSourceRunning } from '../proxmox/conditions.ts'
import { concerns, settleTasks } from '../proxmox/tasks.ts'
import { vmAt } from '../proxmox/vm.ts'
import type { Disk, GroupPlaces, VmSeen, VmThere } from './observe.ts'

/** By which the guest knows it, and where it is attached, on depots and slots alike. */
export const dataKey = 'scsi1'
const dataOptions = 'serial=golden-data,discard=on'

const options = (signal?: AbortSignal): { signal?: AbortSignal } => (signal === undefined ? {} : { signal })

/**
 * Waits for what a run that is gone, or a request whose answer was lost, has begun at the group's VMs: a disk that is
 * still being made, or is under way, looks as if there were none. What became of it is for whoever looks next.
 */
export async function settleGroup(proxmox: Proxmox, { node, depot, slots }: GroupPlaces, signal?: AbortSignal): Promise<void> {
  await settleTasks(proxmox, node, concerns([depot.vmid, slots.blue.vmid, slots.green.vmid]), signal)
}

/** A VM as it was seen: what is done to it rests on that. */
export interface SeenVm {
  readonly vmid: number
  readonly vm: VmThere
}

/** @throws Error for one that was not there: a bug, whoever decides has looked */
export function seenVm(vmid: number, vm: VmSeen): SeenVm {
  if (vm.there !== true) throw new Error(`VM ${vmid} was not there`)
  return { vmid, vm }
}

/** A new, empty data disk in a depot that has none. */
export async function createDataDisk(proxmox: Proxmox, places: GroupPlaces, { vmid, vm }: SeenVm, signal?: AbortSignal): Promise<void> {
  if (vm.disks.length > 0) throw new Error(`depot ${vmid} has a disk`)
  const upid = await vmAt(proxmox, places.node, vmid).changeSlowly({
    [dataKey]: `${places.storage}:${places.dataGiB},${dataOptions}`,
    digest: vm.digest,
  })
  await proxmox.task(upid, options(signal))
}

/**
 * Reassigns the disk to a VM that is protected. Into a slot it comes detached: attaching it then with all its options
 * takes effect at once, while options of a disk that arrived attached would stay pending until a restart.
 */
export async function reassign(
  proxmox: Proxmox,
  places: GroupPlaces,
  disk: Disk,
  from: SeenVm,
  to: SeenVm,
  targetKey: string,
  signal?: AbortSignal,
): Promise<void> {
  if (!to.vm.protected) throw new Error(`VM ${to.vmid} is not protected`)
  await move(proxmox, places, disk, from, to, targetKey)
  signal?.throwIfAborted()
}

/**
 * Asks whether the disk of a running VM could be reassigned, by asking for it: that the VM is running is the last thing
 * that Proxmox finds wrong with that (PVE::API2::Qemu, load_and_check_reassign_configs), so whatever else it says would
 * be in the way once the VM is stopped, too. Should it have stopped by itself, the disk goes: that is what was wanted.
 */
export async function askToReassign(
  proxmox: Proxmox,
  places: GroupPlaces,
  disk: Disk,
  from: SeenVm,
  to: SeenVm,
  targetKey: string,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await reassign(proxmox, places, disk, from, to, targetKey, signal)
  } catch (error) {
    if (!isSourceRunning(error)) throw error
  }
}

/** Reassigns the disk to a VM that is about to be deleted with it. */
export const throwAway = (proxmox: Proxmox, places: GroupPlaces, disk: Disk, from: SeenVm, to: SeenVm): Promise<void> =>
  move(proxmox, places, disk, from, to, 'unused0')

async function move(proxmox: Proxmox, places: GroupPlaces, disk: Disk, from: SeenVm, to: SeenVm, targetKey: string): Promise<void> {
  const upid = await vmAt(proxmox, places.node, from.vmid).moveDisk({
    disk: disk.key,
    digest: from.vm.digest,
    target: { vmid: to.vmid, disk: targetKey, digest: to.vm.digest },
  })
  // Not to be given up half-way: the volume is renamed in between.
  await proxmox.task(upid)
}

/** Plugs a detached disk in. PUT, because it waits until it is done. */
export async function attach(proxmox: Proxmox, places: GroupPlaces, { vmid, vm }: SeenVm, disk: Disk): Promise<void> {
  await vmAt(proxmox, places.node, vmid).change({ [dataKey]: `${disk.volume},${dataOptions}`, digest: vm.digest })
}

export async function protect(proxmox: Proxmox, places: GroupPlaces, { vmid, vm }: SeenVm): Promise<void> {
  await vmAt(proxmox, places.node, vmid).change({ protection: true, digest: vm.digest })
}

/** Only of a VM that owns no data, and never of a depot: the token could, for the sake of the claims in depots' descriptions. */
export async function unprotect(proxmox: Proxmox, places: GroupPlaces, { vmid, vm }: SeenVm): Promise<void> {
  if (vmid === places.depot.vmid) throw new Error(`VM ${vmid} is a depot`)
  if (vm.disks.some(({ gone }) => gone !== true)) throw new Error(`VM ${vmid} owns a data disk`)
  await vmAt(proxmox, places.node, vmid).change({ protection: false, digest: vm.digest })
}

/**
 * Of an owner that runs and has let go of its disk: only so can that be detached (PVE::API2::Qemu, check_protection).
 * Proxmox destroys no VM that runs, and it is protected again as soon as the disk is detached.
 */
export async function loosen(proxmox: Proxmox, places: GroupPlaces, { vmid, vm }: SeenVm): Promise<void> {
  if (!vm.running) throw new Error(`VM ${vmid} does not run`)
  await vmAt(proxmox, places.node, vmid).change({ protection: false, digest: vm.digest })
}

/** Unplugs the data disk of a running VM whose guest does not use it any more. PUT, because it waits until it is done. */
export async function detach(proxmox: Proxmox, places: GroupPlaces, { vmid, vm }: SeenVm): Promise<void> {
  await vmAt(proxmox, places.node, vmid).change({ delete: dataKey, digest: vm.digest })
}

export async function start(proxmox: Proxmox, places: GroupPlaces, vmid: number, signal?: AbortSignal): Promise<void> {
  await proxmox.task(await vmAt(proxmox, places.node, vmid).start(), options(signal))
}

/** As with the button of a computer: the guest is not asked. */
export async function reset(proxmox: Proxmox, places: GroupPlaces, vmid: number, signal?: AbortSignal): Promise<void> {
  await proxmox.task(await vmAt(proxmox, places.node, vmid).reset(), options(signal))
}

/** Asks the guest, and cuts the power when it does not obey within `seconds`. */
export async function shutdown(proxmox: Proxmox, places: GroupPlaces, vmid: number, seconds: number, signal?: AbortSignal): Promise<void> {
  const upid = await vmAt(proxmox, places.node, vmid).shutdown(seconds)
  await proxmox.task(upid, { timeoutMs: (seconds + 120) * 1000, ...options(signal) })
}
