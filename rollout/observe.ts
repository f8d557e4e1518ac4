/** What there is of one group on the Proxmox host: its depot, its slots, and where its data disk is. */
import { ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { listGuests } from '../proxmox/cluster.ts'
import { isDenied, isSlow, isVmMissing } from '../proxmox/conditions.ts'
import { storageAt, storageOfVolume } from '../proxmox/storage.ts'
import { vmAt } from '../proxmox/vm.ts'
import { Failure } from '../core/failure.ts'
import { isFree } from '../proxmox/vmid.ts'
import type { GroupPins } from '../releases/deployment.ts'
import { checkSiteName } from '../releases/site-name.ts'
import { claimIn, type GroupClaim } from './group-claim.ts'
import { depotVmName, slotNames, slotVmName, type Site, type SlotName } from '../settings/site.ts'

/** The VMs of a group, by the pins where a slot is pinned, else by the site. */
export interface GroupPlaces {
  readonly group: string
  readonly node: string
  readonly pool: string
  /** Storage and size of the data disk, if it has to be made. */
  readonly storage: string
  readonly dataGiB: number
  readonly depot: { readonly vmid: number; readonly name: string }
  readonly slots: Readonly<Record<SlotName, { readonly vmid: number; readonly name: string; readonly pinned: boolean }>>
  /** Name of the VM that takes deleted data along; it has the blue slot's VMID. */
  readonly throwAway: string
}

/** @throws Failure `group-unknown`, or `site-renamed` when the pins are those of a site of another name */
export function placesOf(site: Site, groupName: string, pins: GroupPins | undefined): GroupPlaces {
  const group = site.groups[groupName]
  const pinned = slotNames.flatMap((name) => pins?.slots[name] ?? [])
  checkSiteName(site, groupName, pins)
  if (group === undefined) {
    throw new Failure(
      'group-unknown',
      `site.ts has no group ${groupName}`,
      pins === undefined
        ? `It has: ${Object.keys(site.groups).join(', ')}.`
        : `It still runs by deployment.json: put it back into site.ts, then "npx golden destroy ${groupName}".`,
    )
  }
  const slot = (name: SlotName): GroupPlaces['slots'][SlotName] => {
    const vm = pins?.slots[name]?.vm
    return vm === undefined
      ? { vmid: group.slots[name].vmid, name: slotVmName(site, groupName, name), pinned: false }
      : { vmid: vm.vmid, name: vm.name, pinned: true }
  }
  return {
    group: groupName,
    // A disk is reassigned within one node: where a slot is, its depot is too.
    node: pinned[0]?.vm.node ?? site.proxmox.node,
    pool: site.proxmox.pool,
    storage: site.proxmox.storage.disks,
    dataGiB: group.dataGiB,
    depot: { vmid: pins?.depot ?? group.depot, name: depotVmName(site, groupName) },
    slots: { blue: slot('blue'), green: slot('green') },
    throwAway: `${site.name}-${groupName}-delete`,
  }
}

/** A disk of a VM that is neither its root disk nor a CD. */
export interface Disk {
  /** `scsi1`, or `unused0` when it is detached. */
  readonly key: string
  readonly volume: string
  /** Unknown of a detached one. */
  readonly gib?: number
  /** The configuration names it, but its storage has no such volume. Only where the token can tell, and nothing has it open. */
  readonly gone?: true
}

export type VmSeen =
  | { readonly there: false }
  /** Somebody else's VM; without a name when this token may not even see it. */
  | { readonly there: 'foreign'; readonly name?: string }
  /** The VMID is in use, but not on the node where it was looked for; on which one, if this token may see it. */
  | { readonly there: 'elsewhere'; readonly node?: string }
  | VmThere

export interface VmThere {
  readonly there: true
  readonly name: string
  readonly running: boolean
  readonly protected: boolean
  readonly lock?: string
  /** The seed in its drive. */
  readonly seed?: string
  /** HA does with it as it sees fit. */
  readonly managed?: true
  /** Who is at the group; of its depot. */
  readonly claim?: GroupClaim
  readonly disks: readonly Disk[]
  /** Proxmox's checksum of the configuration that all of this was read from. */
  readonly digest: string
}

export interface GroupSeen {
  readonly depot: VmSeen
  readonly slots: Readonly<Record<SlotName, VmSeen>>
}

export type DiskPlace =
  | { readonly at: 'nowhere' }
  | { readonly at: 'depot' | SlotName; readonly disk: Disk }
  /** Nobody can say which of them is the data disk. */
  | { readonly at: 'several'; readonly list: readonly string[] }

/**
 * Where the data disk is. One owner at any time is Proxmox's promise; more than one disk is somebody's doing. One that is
 * gone counts only where there is no other.
 */
export function diskPlace(seen: GroupSeen): DiskPlace {
  const all = ([['depot', seen.depot], ...slotNames.map((slot) => [slot, seen.slots[slot]] as const)] as const).flatMap(([at, vm]) =>
    vm.there === true ? vm.disks.map((disk) => ({ at, disk })) : [],
  )
  const there = all.filter(({ disk }) => disk.gone !== true)
  const found = there.length > 0 ? there : all
  const [only, ...more] = found
  if (only === undefined) return { at: 'nowhere' }
  return more.length === 0 ? only : { at: 'several', list: found.map(({ disk }) => disk.volume) }
}

/** Whether the data is where nobody can use it: it was made and is in no place, or a VM names it and its storage does not have it. */
export const isAstray = (dataDisk: GroupPins['dataDisk'], place: DiskPlace): boolean =>
  place.at === 'nowhere' ? dataDisk === 'made' : 'disk' in place && place.disk.gone === true

export async function observeGroup(proxmox: Proxmox, places: GroupPlaces): Promise<GroupSeen> {
  const look = (vmid: number, root: string | undefined): Promise<VmSeen> => observeVm(proxmox, places.node, vmid, root)
  const slot = async (name: SlotName): Promise<VmSeen> => knownAs(places.slots[name], await look(places.slots[name].vmid, 'scsi0'))
  const [depot, blue, green] = await Promise.all([look(places.depot.vmid, undefined), slot('blue'), slot('green')])
  return { depot, slots: { blue, green } }
}

/** The same for a group that the site does not have any more, as far as its pins tell. */
export async function observePinned(proxmox: Proxmox, siteNode: string, { depot, slots }: GroupPins): Promise<GroupSeen> {
  const node = slotNames.flatMap((name) => slots[name]?.vm.node ?? [])[0] ?? siteNode
  const slot = async (name: SlotName): Promise<VmSeen> => {
    const vm = slots[name]?.vm
    return vm === undefined ? { there: false } : knownAs({ ...vm, pinned: true }, await observeVm(proxmox, node, vm.vmid, 'scsi0'))
  }
  return {
    depot: depot === undefined ? { there: false } : await observeVm(proxmox, node, depot, undefined),
    slots: { blue: await slot('blue'), green: await slot('green') },
  }
}

/**
 * A VM by another name is not the slot's, whatever disks it has. Proxmox gives a clone its name at the very end: until
 * then it has none, and is locked. That is the slot's own only if the slot is pinned.
 */
function knownAs(wanted: GroupPlaces['slots'][SlotName], vm: VmSeen): VmSeen {
  if (vm.there !== true || vm.name === wanted.name) return vm
  const inTheMaking = vm.name === '' && (vm.lock === 'clone' || vm.lock === 'create')
  return inTheMaking && wanted.pinned ? vm : { there: 'foreign', name: vm.name }
}

/** @param root the key of the VM's own disk; a depot has none */
export async function observeVm(proxmox: Proxmox, node: string, vmid: number, root: string | undefined): Promise<VmSeen> {
  const vm = await lookAt(proxmox, node, vmid, root)
  // It may have been made between the two looks.
  return vm.there === 'elsewhere' ? lookAt(proxmox, node, vmid, root) : vm
}

async function lookAt(proxmox: Proxmox, node: string, vmid: number, root: string | undefined): Promise<VmSeen> {
  const vm = vmAt(proxmox, node, vmid)
  try {
    // What is, not what a restart would make of it.
    const config = await vm.currentConfig()
    const status = await vm.status()
    const lock = config.lock ?? status.lock
    const disks = Object.entries(config).flatMap(([key, value]) => diskOf(key, value, root))
    const running = status.status === 'running'
    const claim = claimIn(config.description ?? '')
    return {
      there: true,
      name: String(config.name ?? ''),
      running,
      protected: Number(config.protection ?? 0) === 1,
      digest: String(config.digest ?? ''),
      ...(lock === undefined ? {} : { lock: String(lock) }),
      ...(/:iso\/seed-/.test(String(config.scsi13 ?? '')) ? { seed: String(config.scsi13).split(',')[0] as string } : {}),
      ...(status.ha?.managed === 1 && status.ha.state !== 'ignored' ? { managed: true } : {}),
      ...(claim === undefined ? {} : { claim }),
      disks: running
        ? disks
        : await Promise.all(disks.map(async (disk) => ((await isGone(proxmox, node, disk)) ? { ...disk, gone: true as const } : disk))),
    }
  } catch (error) {
    // Proxmox says the same of one that is nowhere and of one that is on another node.
    if (isVmMissing(error))
      return (await isFree(proxmox, vmid)) ? { there: false } : { there: 'elsewhere', ...(await nodeOf(proxmox, vmid)) }
    // To a token whose rights hang on a pool, a VMID that is free and one of somebody else's look alike.
    if (isDenied(error)) return { there: (await isFree(proxmox, vmid)) ? false : 'foreign' }
    throw error
  }
}

/**
 * Whether a volume certainly is not there: its storage lists what it has without it, and it can't be looked at. Without
 * Datastore.Audit nobody can tell.
 */
async function isGone(proxmox: Proxmox, node: string, { volume }: Disk): Promise<boolean> {
  const storage = storageAt(proxmox, node, storageOfVolume(volume))
  try {
    const owner = /vm-(\d+)-[^/]*$/.exec(volume)?.[1]
    const list = await storage.disks(owner)
    if (!Array.isArray(list) || list.some(({ volid }) => volid === volume)) return false
    await storage.volume(volume)
    return false
  } catch (error) {
    if (!(error instanceof ProxmoxError) || error.status === 0) throw error
    return error.status === 500 && error.path.includes(encodeURIComponent(volume)) && !isSlow(error)
  }
}

/** Of what a VM is called the list knows late, and where it is at once. */
async function nodeOf(proxmox: Proxmox, vmid: number): Promise<{ readonly node?: string }> {
  try {
    const found = (await listGuests(proxmox)).find((one) => one.vmid === vmid)
    return found === undefined ? {} : { node: found.node }
  } catch (error) {
    // That it is elsewhere is known, and is what matters.
    if (error instanceof ProxmoxError) return {}
    throw error
  }
}

function diskOf(key: string, value: string | number | undefined, root: string | undefined): Disk[] {
  if (!/^(scsi|virtio|sata|ide|unused)\d+$/.test(key) || key === root || typeof value !== 'string') return []
  const [volume = '', ...options] = value.split(',')
  if (options.includes('media=cdrom') || volume === 'none' || volume === 'cdrom' || /cloudinit/.test(volume)) return []
  const [, size, unit] = /^size=([\d.]+)([MGT])$/.exec(options.find((option) => option.startsWith('size=')) ?? '') ?? []
  return [
    { key, volume, ...(size === undefined ? {} : { gib: Number(size) * { M: 2 ** -10, G: 1, T: 2 ** 10 }[unit as 'M' | 'G' | 'T'] }) },
  ]
}

/** @throws Failure for a depot that is missing or not ours, and for a slot's VMID that somebody else uses */
export function checkIdentity(places: GroupPlaces, seen: GroupSeen): void {
  checkDepot(places, seen)
  for (const slot of slotNames) checkSlot(places, slot, seen.slots[slot])
}

/** @throws Failure */
export function checkDepot(places: GroupPlaces, { depot }: GroupSeen): void {
  const what = `the depot of group ${places.group}, VM ${places.depot.vmid}`
  if (depot.there === 'elsewhere') throw elsewhere(places, places.depot, depot.node)
  if (depot.there !== true || depot.name !== places.depot.name) {
    const found = depot.there === true ? `is VM "${depot.name}"` : depot.there === 'foreign' ? "is somebody else's VM" : 'does not exist'
    const renamed = depot.there === true && depot.name.endsWith(`-${places.group}-depot`)
    throw new Failure(
      'depot-missing',
      `${what} "${places.depot.name}", ${found}`,
      renamed
        ? 'If site.ts has got another name, put the old one back; if the VM has, give it the old one in Proxmox.'
        : 'Run "npx golden setup": it makes missing depots and names VMIDs that are taken.',
    )
  }
  if (!depot.protected) throw new Failure('depot-unprotected', `${what}, is not protected`, 'Run "npx golden setup": it protects it again.')
  if (depot.running) throw new Failure('depot-running', `${what}, is running`, 'Stop it in Proxmox: a depot is never started.')
}

/** @throws Failure `vmid-taken`, `vm-elsewhere`, `delete-data-interrupted` */
export function checkSlot(places: GroupPlaces, slot: SlotName, vm: VmSeen): void {
  const wanted = places.slots[slot]
  if (vm.there === 'elsewhere') throw elsewhere(places, wanted, vm.node)
  if (vm.there !== 'foreign') return
  if (vm.name === places.throwAway) {
    throw new Failure(
      'delete-data-interrupted',
      `deleting the data of group ${places.group} was interrupted: VM ${wanted.vmid} "${vm.name}" has been made for that`,
      `Run "npx golden delete-data ${places.group}": it goes on from there.`,
    )
  }
  throw taken(places, slot, vm.name)
}

/** @param name of the VM that is there instead; undefined: this token may not see it */
export function taken(places: GroupPlaces, slot: SlotName, name: string | undefined): Failure {
  const { vmid, name: wanted, pinned } = places.slots[slot]
  const setting = `groups.${places.group}.slots.${slot}.vmid in site.ts`
  return new Failure(
    'vmid-taken',
    `VMID ${vmid}, wanted for ${wanted}, is ${name === undefined ? 'a VM' : `VM "${name}"`} of somebody else`,
    pinned
      ? `That VM was not touched. "npx golden destroy ${places.group}" leaves it alone and ends the release; then choose another ${setting}, and deploy. If it is this slot's VM, give it its name and pool back in Proxmox.`
      : `Choose another ${setting}. That VM was not touched.`,
  )
}

function elsewhere(
  { node, group }: GroupPlaces,
  { vmid, name }: { readonly vmid: number; readonly name: string },
  found: string | undefined,
): Failure {
  const where = found === undefined ? 'in use, but not' : `on node ${found}, not`
  const back = `migrate it back to ${node}${found === undefined ? '' : ` ("qm migrate ${vmid} ${node}" on node ${found})`}`
  const setting = found === undefined ? 'correct proxmox.node in site.ts' : `set proxmox.node in site.ts to ${found}`
  return new Failure(
    'vm-elsewhere',
    `VMID ${vmid} (${name}) is ${where} on node ${node} (proxmox.node), where group ${group} has its depot and slots`,
    `If it is that VM, ${back}. If the group has not been deployed yet, ${setting} or choose another VMID.`,
  )
}
