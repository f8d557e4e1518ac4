/** What `deploy` is going to do, from what there is: pure, printable, and what it then goes by. */
import { Failure } from '../core/failure.ts'
import type { Image } from '../images/catalog.ts'
import type { PlaceSeen } from '../proxmox/place.ts'
import { gib, type SpaceNeed } from '../proxmox/space.ts'
import { newRelease, type Deployment, type GroupPins, type Release } from '../releases/deployment.ts'
import { groupOrder, stackName } from '../releases/order.ts'
import { otherSlot, type Site, type SlotName } from '../settings/site.ts'
import { checkImages, chooseImage, refuseRevoked } from './choose-image.ts'
import { differences } from './edits.ts'
import { checkIdentity, diskPlace, type GroupPlaces, type GroupSeen, isAstray } from './observe.ts'
import { refusalOf } from './obstacles.ts'
import { checkPins } from './outdated.ts'
import type { Refusal } from './reconcile.ts'

/** The slot that a group's first release goes into. */
export const firstSlot: SlotName = 'blue'

export interface GroupForDeploy {
  readonly places: GroupPlaces
  readonly pins: GroupPins | undefined
  readonly seen: GroupSeen
  /** What is in the way of handing the data to the slot. */
  readonly obstacles: readonly Refusal[]
  /** What to do about data that is in no place (missing.ts). */
  readonly missing: string
  /** Slots whose pinned seed is on its storage. */
  readonly seeds: readonly SlotName[]
}

export interface DeploySeen {
  readonly deployment: Deployment
  readonly place: PlaceSeen
  /** All of the pool. */
  readonly images: readonly Image[]
  /** Of the site's groups. */
  readonly groups: readonly GroupForDeploy[]
}

export type DataStep =
  /** An empty one, in the depot, formatted at its first use. */
  | { readonly do: 'make'; readonly storage: string; readonly gib: number; readonly depot: number }
  | { readonly do: 'hand-over'; readonly volume: string; readonly depot: number }
  | { readonly do: 'keep'; readonly volume: string }

export interface GroupDeployment {
  readonly group: string
  readonly stack: string
  readonly slot: SlotName
  /** `first`: a release is pinned for it, of site.ts as it is now. */
  readonly release: 'first' | 'pinned'
  readonly image: Release['image']
  readonly vm: Pick<Release['vm'], 'vmid' | 'name' | 'node' | 'cores' | 'memoryMiB' | 'bridge' | 'vlan'> & {
    readonly do: 'make' | 'keep'
    readonly address: string
    readonly service: string
    readonly clone: 'linked' | 'full'
  }
  /** How many flows its firewall lets through. */
  readonly flows: number
  readonly seed: { readonly do: 'upload' | 'keep'; readonly storage: string }
  readonly data: DataStep
  /** What site.ts says that is not so, and when it takes effect. */
  readonly differences: readonly string[]
}

export interface DeployPlan {
  /** In the order in which they are deployed: whoever keeps the others' logs comes first. */
  readonly groups: readonly GroupDeployment[]
  /** Groups that deployment.json knows and site.ts does not have. */
  readonly unknown: readonly string[]
  /** The image for first releases; undefined where there is none to be made. */
  readonly image?: Image
}

/** @throws Failure for whatever is in the way; nothing has been changed by then */
export function planDeploy(site: Site, { deployment, place, images, groups }: DeploySeen): DeployPlan {
  for (const one of groups) {
    checkIdentity(one.places, one.seen)
    checkPins(one.places, one.pins, one.seen)
    checkHandover(one)
  }
  refuseRevoked(images, deployment)
  const image = groups.some(({ pins }) => pins?.active === undefined) ? chooseImage(site, images) : undefined
  const order = groupOrder(site, deployment)
  const sorted = [...groups].sort((a, b) => order.indexOf(a.places.group) - order.indexOf(b.places.group))
  return {
    groups: sorted.map((one) => planGroup(site, one, images, image, place.linkedClones)),
    unknown: Object.keys(deployment.groups).filter((group) => site.groups[group] === undefined),
    ...(image === undefined ? {} : { image }),
  }
}

/** Of a group whose data is at home, or in no place: before a VM is made for it. @throws Failure */
function checkHandover({ places, pins, seen, obstacles, missing }: GroupForDeploy): void {
  const place = diskPlace(seen)
  const { group, depot } = places
  if (pins?.active === undefined && (place.at === 'blue' || place.at === 'green'))
    throw new Failure(
      'pin-lost',
      `slot ${place.at} of group ${group} owns the data disk, but deployment.json has no release for it`,
      `Restore deployment.json, e.g. with git; or end that slot with "npx golden destroy ${group}". The data is kept.`,
    )
  if (pins?.active !== undefined && place.at === otherSlot(pins.active))
    throw new Failure(
      'rollout-unfinished',
      `slot ${place.at} of group ${group} owns the data disk, and deployment.json says that slot ${pins.active} is to have it: a rollout was interrupted`,
      `"npx golden rollout ${group}" goes on with it, "npx golden rollback ${group}" goes back.`,
    )
  const isGone = 'disk' in place && place.disk.gone === true
  if (isAstray(pins?.dataDisk, place))
    throw new Failure(
      'data-disk-missing',
      `the data disk of group ${group} ${isGone ? `is not on its storage, though ${place.at === 'depot' ? `depot ${depot.vmid}` : `slot ${place.at}`} names it: ${place.disk.volume}` : 'is neither in its depot nor in a slot'}`,
      missing,
    )
  const refusal = refusalOf(obstacles, 'Nothing was changed.')
  if (refusal !== undefined) throw new Failure(refusal.code, refusal.message, refusal.hint)
}

function planGroup(
  site: Site,
  one: GroupForDeploy,
  images: readonly Image[],
  newest: Image | undefined,
  linkedClones: boolean,
): GroupDeployment {
  const { places, pins, seen, seeds } = one
  const { group } = places
  const slot = pins?.active ?? firstSlot
  const pinned = pins?.slots[slot]
  const release = pinned ?? firstRelease(site, group, newest, linkedClones)
  const isThere = seen.slots[slot].there === true
  if (pins !== undefined && pinned !== undefined && !isThere) checkImages(images, group, pins, [slot])
  const { vmid, name, node, cores, memoryMiB, bridge, vlan, fullClone, seed } = release.vm
  return {
    group,
    stack: stackName(site, group),
    slot,
    release: pinned === undefined ? 'first' : 'pinned',
    image: release.image,
    vm: {
      do: isThere ? 'keep' : 'make',
      vmid,
      name,
      node,
      cores,
      memoryMiB,
      bridge,
      ...(vlan === undefined ? {} : { vlan }),
      address: release.seed.address,
      service: release.seed.service,
      clone: fullClone === true ? 'full' : 'linked',
    },
    flows: release.flows.flows.length,
    seed: { do: pinned !== undefined && seeds.includes(slot) ? 'keep' : 'upload', storage: seed.split(':')[0] ?? '' },
    data: dataStep(places, slot, seen),
    differences: differences(site, group, pins, seen),
  }
}

/** As it will be pinned, but for what chance gives it. */
const firstRelease = (site: Site, group: string, image: Image | undefined, linkedClones: boolean): Release =>
  newRelease(site, group, firstSlot, {
    id: '',
    created: new Date(0),
    image: { vmid: image?.vmid ?? 0, name: image?.name ?? '', fingerprint: image?.record.fingerprint ?? '' },
    fullClone: !linkedClones,
  })

function dataStep({ storage, dataGiB, depot }: GroupPlaces, slot: SlotName, seen: GroupSeen): DataStep {
  const place = diskPlace(seen)
  if (!('disk' in place)) return { do: 'make', storage, gib: dataGiB, depot: depot.vmid }
  return place.at === slot ? { do: 'keep', volume: place.disk.volume } : { do: 'hand-over', volume: place.disk.volume, depot: depot.vmid }
}

/** What it makes on the storage of disks, at the most. Pure. */
export const spaceNeeds = (site: Site, { groups }: DeployPlan): SpaceNeed[] =>
  groups.flatMap(({ group, vm, data }) => [
    ...(vm.do === 'make' && vm.clone === 'full'
      ? [{ what: `a full copy of the image for ${group}`, bytes: site.image.build.diskGiB * gib }]
      : []),
    ...(data.do === 'make' ? [{ what: `the data disk of ${group}`, bytes: data.gib * gib }] : []),
  ])

/** For people: a line each. */
export function deploymentLines(plan: DeployPlan): string[] {
  return [
    ...plan.groups.flatMap(groupLines),
    ...plan.unknown.map((group) => `${group}: deployment.json knows its data, and site.ts does not have it: it stays as it is`),
  ]
}

function groupLines({ group, stack, slot, release, image, vm, flows, seed, data, differences: waiting }: GroupDeployment): string[] {
  const steps = [
    ...(release === 'first' ? [`pin a release of image ${image.name} for slot ${slot}`] : []),
    ...(seed.do === 'upload' ? [`upload its seed to storage ${seed.storage}`] : []),
    ...(vm.do === 'make'
      ? [
          `make VM ${vm.vmid} (${vm.name}) on node ${vm.node}: ${vm.clone} clone of ${image.name} (${image.vmid}), ${vm.cores} cores, ${vm.memoryMiB} MiB, ${vm.bridge}${vm.vlan === undefined ? '' : `, VLAN ${vm.vlan}`}, ${vm.address}, service address ${vm.service}, ${flows} flows`,
        ]
      : []),
    ...(data.do === 'make'
      ? [`make a data disk of ${data.gib} GiB on ${data.storage}, whose home is depot ${data.depot}, and format it`]
      : []),
    ...(data.do === 'hand-over' ? [`hand the data disk ${data.volume} over from depot ${data.depot}`] : []),
  ]
  const nothing = `nothing to make: VM ${vm.vmid} (${vm.name}) is there with its data; ${stack} is applied, which puts back what was changed by hand`
  return [`${group}:`, ...(steps.length === 0 ? [nothing] : steps).map((line) => `  ${line}`), ...waiting.map((line) => `  note: ${line}`)]
}
