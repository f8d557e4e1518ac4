/** What site.ts says by now, held against what is deployed: nothing of it may change what runs. */
import { Failure } from '../core/failure.ts'
import { pinnedSlots, type Deployment, type GroupPins, type Release } from '../releases/deployment.ts'
import { slotNames, type Site, type SlotName } from '../settings/site.ts'
import { changeText, settingChanges } from './changes.ts'
import { diskPlace, placesOf, type GroupSeen } from './observe.ts'

/**
 * Edits that neither take effect nor can be ignored: what is deployed would be in the way of something else.
 * @throws Failure `site-renamed`, `group-unknown`, `vmid-pinned`, `address-pinned`
 */
export function checkEdits(site: Site, deployment: Deployment): void {
  const deployed = Object.keys(deployment.groups).filter((group) => deployment.groups[group]?.active !== undefined)
  const vmids = new Map<number, string>()
  const addresses = new Map(
    pinnedSlots(deployment).flatMap(
      ({ release: { seed, vm } }) =>
        [
          [seed.address, vm.name],
          [seed.service, vm.name],
        ] as const,
    ),
  )
  // What is deployed comes first: the others have to give way.
  for (const group of new Set([...deployed, ...Object.keys(site.groups)])) {
    const places = placesOf(site, group, deployment.groups[group])
    const slots = slotNames
      .map((slot) => ({ setting: `slots.${slot}.vmid`, ...places.slots[slot] }))
      .sort((a, b) => Number(b.pinned) - Number(a.pinned))
    for (const { setting, vmid, name } of [{ setting: 'depot', ...places.depot }, ...slots]) {
      const holder = vmids.get(vmid)
      if (holder !== undefined)
        throw new Failure(
          'vmid-pinned',
          `groups.${group}.${setting} in site.ts is ${vmid}, the VMID of ${holder}`,
          'Give it another VMID, or its former one back.',
        )
      vmids.set(vmid, name)
    }
    if (deployed.includes(group)) continue
    const own = site.groups[group]
    for (const [setting, address] of [
      ['service', own?.service],
      ['slots.blue.address', own?.slots.blue.address],
      ['slots.green.address', own?.slots.green.address],
    ] as const) {
      const holder = addresses.get(address ?? '')
      if (holder !== undefined)
        throw new Failure(
          'address-pinned',
          `groups.${group}.${setting} in site.ts is ${address}, which ${holder} has until its release ends`,
          'Give it another address, or end that release first with "npx golden destroy". The data is kept.',
        )
    }
  }
}

/** Whether a release made now would be another one, its id and age aside. */
export const differs = (site: Site, group: string, slot: SlotName, pinned: Release): boolean =>
  site.groups[group] === undefined || settingChanges(site, group, slot, pinned).length > 0

/** What site.ts says that is not so, as sentences for people: edits that wait, and those that wait in vain. */
export function differences(site: Site, group: string, pins: GroupPins | undefined, seen: GroupSeen): string[] {
  const wanted = site.groups[group]
  const release = pins?.active === undefined ? undefined : pins.slots[pins.active]
  if (pins?.active === undefined || release === undefined) return []
  const list: string[] = []
  const { node, storage } = site.proxmox
  const moved =
    node === release.vm.node
      ? ''
      : `; proxmox.node is ${node}, and the group's depot has to go there before that deploy ("qm migrate ${pins.depot ?? wanted?.depot} ${node}" on node ${release.vm.node})`
  if (wanted === undefined) return [`site.ts does not have this group any more; "npx golden destroy ${group}" ends it once it is put back`]
  const anew =
    moved === ''
      ? `takes effect with "npx golden rollout ${group}"`
      : `takes effect with "npx golden destroy ${group}", then "npx golden deploy"${moved}`
  const changes = settingChanges(site, group, pins.active, release)
  if (changes.length > 0) list.push(`site.ts says something else than what runs (${changes.map(changeText).join('; ')}); that ${anew}`)
  if (pins.depot !== undefined && wanted.depot !== pins.depot)
    list.push(
      `groups.${group}.depot in site.ts is ${wanted.depot}, but the data disk belongs to depot ${pins.depot} as long as there is data`,
    )
  const place = diskPlace(seen)
  const volume = 'disk' in place ? /^([^:]+):/.exec(place.disk.volume)?.[1] : undefined
  if (volume !== undefined && volume !== storage.disks)
    list.push(
      `proxmox.storage.disks in site.ts is ${storage.disks}, but the data disk is on ${volume}: it stays there unless it is moved in Proxmox (Hardware, Disk Action, Move Storage)`,
    )
  const gib = 'disk' in place ? place.disk.gib : undefined
  if (gib !== undefined && gib !== wanted.dataGiB)
    list.push(
      `groups.${group}.dataGiB in site.ts is ${wanted.dataGiB}, but the data disk has ${gib} GiB: it is made once, and keeps its size`,
    )
  return list
}
