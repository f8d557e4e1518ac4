/** What there is of one group on the Proxmox host: its depot, its slots, and where its data disk is. */
import { ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { Failure } from '../proxmox/failure.ts'
import type { GroupPins } from '../stacks/deployment.ts'
import { depotVmName, slotNames, slotVmName, type Site, type SlotName } from '../stacks/site.ts'

/** The VMs of a group, by the pins where a slot is pinned, else by the site. */
export interface GroupPlaces {
  readonly group: string
  readonly node: string
  readonly pool: string
  /** Storage and size of the data disk, if it has to be made. */
  readonly storage: string
  readonly dataGiB: number
  readonly depot: { readonly vmid: number; readonly name: string }
  readonly slots: Readonly<Record<SlotName, { readonly vmid: number; readonly name: string }>>
}

/** @throws Failure `group-unknown` */
export function placesOf(site: Site, groupName: string, pins: GroupPins | undefined): GroupPlaces {
  const group = site.groups[groupName]
  if (group === undefined) {
    throw new Failure('group-unknown', `site.ts has no group ${groupName}`, pins === undefined ? `It has: ${Object.keys(site.groups).join(', ')}.` : `It still runs by deployment.json: put it back into site.ts, then "npx golden destroy ${groupName}".`)
  }
  const slot = (name: SlotName): { vmid: number; name: string } => {
    const vm = pins?.slots[name]?.vm
    return vm === undefined ? { vmid: group.slots[name].vmid, name: slotVmName(site, groupName, name) } : { vmid: vm.vmid, name: vm.name }
  }
  return {
    group: groupName,
    node: site.proxmox.node,
    pool: site.proxmox.pool,
    storage: site.proxmox.storage.disks,
    dataGiB: group.dataGiB,
    depot: { vmid: group.depot, name: depotVmName(site, groupName) },
    slots: { blue: slot('blue'), green: slot('green') }
  }
}

/** A disk of a VM that is neither its root disk nor a CD. */
export interface Disk {
  /** `scsi1`, or `unused0` when it is detached. */
  readonly key: string
  readonly volume: string
}

export type VmSeen =
  | { readonly there: false }
  /** Somebody else's VM, which this token may not even see. */
  | { readonly there: 'foreign' }
  | { readonly there: true; readonly name: string; readonly running: boolean; readonly protected: boolean; readonly lock?: string; readonly disks: readonly Disk[] }

export interface GroupSeen {
  readonly depot: VmSeen
  readonly slots: Readonly<Record<SlotName, VmSeen>>
}

export type DiskPlace =
  | { readonly at: 'nowhere' }
  | { readonly at: 'depot' | SlotName; readonly disk: Disk }
  /** Nobody can say which of them is the data disk. */
  | { readonly at: 'several'; readonly list: readonly string[] }

/** Where the data disk is. One owner at any time is Proxmox's promise; more than one disk is somebody's doing. */
export function diskPlace(seen: GroupSeen): DiskPlace {
  const found = ([['depot', seen.depot], ...slotNames.map((slot) => [slot, seen.slots[slot]] as const)] as const)
    .flatMap(([at, vm]) => vm.there === true ? vm.disks.map((disk) => ({ at, disk })) : [])
  const [only, ...more] = found
  if (only === undefined) return { at: 'nowhere' }
  return more.length === 0 ? only : { at: 'several', list: found.map(({ disk }) => disk.volume) }
}

export async function observeGroup(proxmox: Proxmox, places: GroupPlaces): Promise<GroupSeen> {
  const look = (vmid: number, root: string | undefined): Promise<VmSeen> => observeVm(proxmox, places.node, vmid, root)
  const [depot, blue, green] = await Promise.all([look(places.depot.vmid, undefined), look(places.slots.blue.vmid, 'scsi0'), look(places.slots.green.vmid, 'scsi0')])
  return { depot, slots: { blue, green } }
}

/** @param root the key of the VM's own disk; a depot has none */
export async function observeVm(proxmox: Proxmox, node: string, vmid: number, root: string | undefined): Promise<VmSeen> {
  const path = `/nodes/${node}/qemu/${vmid}`
  try {
    // `current`: what is, not what a restart would make of it.
    const config = await proxmox.get<Record<string, string | number | undefined>>(`${path}/config`, { current: 1 })
    const status = await proxmox.get<{ status: string; lock?: string }>(`${path}/status/current`)
    const lock = config['lock'] ?? status.lock
    return {
      there: true,
      name: String(config['name'] ?? ''),
      running: status.status === 'running',
      protected: Number(config['protection'] ?? 0) === 1,
      ...(lock === undefined ? {} : { lock: String(lock) }),
      disks: Object.entries(config).flatMap(([key, value]) => diskOf(key, value, root))
    }
  } catch (error) {
    if (!(error instanceof ProxmoxError)) throw error
    if (error.status === 500 && /does not exist/.test(error.message)) return { there: false }
    // To a token whose rights hang on a pool, a VMID that is free and one of somebody else's look alike.
    if (error.status === 403) return { there: await isFree(proxmox, vmid) ? false : 'foreign' }
    throw error
  }
}

async function isFree(proxmox: Proxmox, vmid: number): Promise<boolean> {
  try {
    await proxmox.get('/cluster/nextid', { vmid })
    return true
  } catch (error) {
    if (error instanceof ProxmoxError && error.status === 400) return false
    throw error
  }
}

function diskOf(key: string, value: string | number | undefined, root: string | undefined): Disk[] {
  if (!/^(scsi|virtio|sata|ide|unused)\d+$/.test(key) || key === root || typeof value !== 'string') return []
  const [volume = '', ...options] = value.split(',')
  if (options.includes('media=cdrom') || volume === 'none' || volume === 'cdrom' || /cloudinit/.test(volume)) return []
  return [{ key, volume }]
}

/** @throws Failure for a depot that is missing or not ours, and for a slot's VMID that somebody else uses */
export function checkIdentity(places: GroupPlaces, seen: GroupSeen): void {
  const { depot } = seen
  if (depot.there !== true || depot.name !== places.depot.name) {
    const found = depot.there === true ? `is VM "${depot.name}"` : depot.there === 'foreign' ? 'is somebody else\'s VM' : 'does not exist'
    throw new Failure('depot-missing', `the depot of group ${places.group}, VM ${places.depot.vmid} "${places.depot.name}", ${found}`, 'Run "npx golden setup": it makes missing depots and names VMIDs that are taken.')
  }
  if (!depot.protected) throw new Failure('depot-unprotected', `the depot of group ${places.group}, VM ${places.depot.vmid}, is not protected`, 'Run "npx golden setup": it protects it again.')
  if (depot.running) throw new Failure('depot-running', `the depot of group ${places.group}, VM ${places.depot.vmid}, is running`, 'Stop it in Proxmox: a depot is never started.')
  for (const slot of slotNames) checkSlot(places, slot, seen.slots[slot])
}

/** Proxmox gives a clone its name at the very end: until then it has none, and is locked. */
export const isInTheMaking = (vm: VmSeen): boolean => vm.there === true && vm.name === '' && (vm.lock === 'clone' || vm.lock === 'create')

function checkSlot(places: GroupPlaces, slot: SlotName, vm: VmSeen): void {
  const wanted = places.slots[slot]
  if (isInTheMaking(vm)) return
  if (vm.there === 'foreign' || (vm.there === true && vm.name !== wanted.name)) {
    throw new Failure('vmid-taken', `VMID ${wanted.vmid}, wanted for ${wanted.name}, is ${vm.there === true ? `VM "${vm.name}"` : 'a VM'} of somebody else`, `Choose another groups.${places.group}.slots.${slot}.vmid in site.ts. That VM was not touched.`)
  }
}
