/**
 * Deletes a group's data disk. The token can't delete it in the depot, on purpose: it is reassigned to a throw-away
 * VM in the pool and destroyed with that.
 */
import type { Proxmox } from '../proxmox/client.ts'
import { destroySeen } from '../proxmox/remove-vm.ts'
import { storageAt } from '../proxmox/storage.ts'
import { createVm } from '../proxmox/vm.ts'
import { Failure } from '../core/failure.ts'
import type { FailureCode } from '../core/failures.ts'
import type { Progress } from '../core/progress.ts'
import type { GroupPins } from '../releases/deployment.ts'
import type { Site } from '../settings/site.ts'
import { claimGroups } from './claim-groups.ts'
import { claimSite } from './claim.ts'
import { seenVm, settleGroup, throwAway } from './depot.ts'
import {
  checkIdentity,
  diskPlace,
  observeGroup,
  observeVm,
  placesOf,
  type Disk,
  type GroupPlaces,
  type GroupSeen,
  type VmSeen,
} from './observe.ts'
import { readPins, updatePins } from '../releases/pins.ts'
import { requireGroupNode } from './node.ts'
import { findObstacles, refusalOf } from './obstacles.ts'
import { reconcile, type Decision, type Refusal } from './reconcile.ts'

export interface DeleteDataOptions {
  readonly site: Site
  readonly folder: string
  readonly proxmox: Proxmox
  readonly progress: Progress
  readonly signal: AbortSignal
}

export type DeleteDataStep =
  | { readonly do: 'fill'; readonly disk: Disk }
  | { readonly do: 'make-throw-away' }
  | { readonly do: 'move'; readonly disk: Disk }
  | { readonly do: 'destroy-throw-away' }

export interface DeleteDataSeen {
  readonly group: GroupSeen
  /** The VM that takes the disk along. */
  readonly throwAway: VmSeen
  /** What is in the way of taking the disk out of the depot. */
  readonly obstacles?: readonly Refusal[]
}

/** What to do next. Pure. The throw-away VM has the VMID of a slot, which is free once the group is destroyed. */
export function decideDeleteData(
  group: string,
  throwAwayName: string,
  { group: seen, throwAway, obstacles }: DeleteDataSeen,
): Decision<DeleteDataStep> {
  const refuse = (code: FailureCode, message: string, hint: string): Decision<DeleteDataStep> => ({
    kind: 'refuse',
    refusal: { code, message, hint },
  })
  const ours = throwAway.there === true && throwAway.name === throwAwayName
  if (seen.slots.green.there === true || (throwAway.there === true && !ours))
    return refuse('data-in-use', `group ${group} still has a VM`, `Run "npx golden destroy ${group}" first.`)
  if (throwAway.there === true && throwAway.lock !== undefined)
    return { kind: 'wait', for: `the throw-away VM is locked: ${throwAway.lock}`, timeoutMs: 600_000 }
  if (seen.depot.there === true && seen.depot.lock !== undefined)
    return { kind: 'wait', for: `the depot is locked: ${seen.depot.lock}`, timeoutMs: 3_600_000 }
  const disks = seen.depot.there === true ? seen.depot.disks : []
  const there = disks.filter(({ gone }) => gone !== true)
  const [disk, ...more] = there.length > 0 ? there : disks.slice(0, 1)
  if (more.length > 0)
    return refuse(
      'several-data-disks',
      `the depot of group ${group} has more than one disk: ${there.map((one) => one.volume).join(', ')}`,
      'Remove in Proxmox what does not belong there. Nothing was touched.',
    )
  if (disk === undefined)
    return ours ? { kind: 'step', step: { do: 'destroy-throw-away' }, title: 'delete the disk with its throw-away VM' } : { kind: 'done' }
  const refusal = refusalOf(obstacles, 'Nothing was deleted.')
  if (refusal !== undefined) return { kind: 'refuse', refusal }
  // The depot is protected, so the token can't take the entry out of it; a disk that is there can be taken along.
  if (disk.gone === true)
    return { kind: 'step', step: { do: 'fill', disk }, title: `put an empty volume in the place of ${disk.volume}, which is not there` }
  return ours
    ? { kind: 'step', step: { do: 'move', disk }, title: 'take the disk out of the depot' }
    : { kind: 'step', step: { do: 'make-throw-away' }, title: 'make a throw-away VM' }
}

/** Makes the smallest volume of that very name. */
async function putInPlace(proxmox: Proxmox, node: string, { volume }: Disk, vmid: number): Promise<void> {
  const [storage = '', path = ''] = volume.split(':')
  const filename = path.split('/').at(-1) ?? ''
  const format = /\.(raw|qcow2|vmdk)$/.exec(filename)?.[1]
  await storageAt(proxmox, node, storage).allocate({ filename, vmid, size: '4M', ...(format === undefined ? {} : { format }) })
}

/**
 * @returns the volume that is gone, or undefined when there was none
 * @throws Failure `data-in-use` while a slot of the group exists, `deploy-in-progress` or `group-claimed` while another run is at it
 */
export async function deleteData(options: DeleteDataOptions, group: string): Promise<string | undefined> {
  return claimSite(options, 'delete-data', () => claimGroups(options, 'delete-data', [group], (held) => deleteGroupData(held, group)))
}

/**
 * What deleting would refuse, before anybody is asked for the group's name.
 * @throws Failure
 */
export async function checkDeleteData(
  { site, folder, proxmox }: Pick<DeleteDataOptions, 'site' | 'folder' | 'proxmox'>,
  group: string,
): Promise<void> {
  const places = notDeployed(site, group, (await readPins(folder)).groups[group])
  await requireGroupNode(proxmox, places, site.proxmox.node)
  const decision = decideDeleteData(group, places.throwAway, await observeWithThrowAway(proxmox, places))
  if (decision.kind === 'refuse') throw new Failure(decision.refusal.code, decision.refusal.message, decision.refusal.hint)
}

/** @throws Failure `data-in-use` */
function notDeployed(site: Site, group: string, pins: GroupPins | undefined): GroupPlaces {
  if (pins?.active !== undefined) throw new Failure('data-in-use', `group ${group} is deployed`, `Run "npx golden destroy ${group}" first.`)
  return placesOf(site, group, pins)
}

async function observeWithThrowAway(proxmox: Proxmox, places: GroupPlaces): Promise<DeleteDataSeen> {
  const [seen, throwAway] = await Promise.all([
    observeGroup(proxmox, places),
    observeVm(proxmox, places.node, places.slots.blue.vmid, undefined),
  ])
  // Its VMID is the blue slot's: to the identity check it is not there.
  checkIdentity(places, {
    ...seen,
    slots: { ...seen.slots, blue: throwAway.there === true && throwAway.name === places.throwAway ? { there: false } : seen.slots.blue },
  })
  return {
    group: seen,
    throwAway,
    obstacles: await findObstacles(proxmox, places, { ...seen, slots: { blue: throwAway, green: { there: false } } }, 'blue'),
  }
}

async function deleteGroupData({ site, folder, proxmox, progress, signal }: DeleteDataOptions, group: string): Promise<string | undefined> {
  const places = notDeployed(site, group, (await readPins(folder)).groups[group])
  const name = places.throwAway
  await settleGroup(proxmox, places, signal)
  let volume: string | undefined
  await progress.step(`delete the data of group ${group}`, (note) =>
    reconcile<DeleteDataSeen, DeleteDataStep>({
      note,
      signal,
      settle: () => settleGroup(proxmox, places, signal),
      async look() {
        const seen = await observeWithThrowAway(proxmox, places)
        const place = diskPlace({ depot: seen.group.depot, slots: { blue: seen.throwAway, green: { there: false } } })
        if (place.at === 'depot' || place.at === 'blue') volume ??= place.disk.volume
        return seen
      },
      decide: (seen) => decideDeleteData(group, name, seen),
      take: (step, seen) => take(proxmox, places, name, step, seen),
    }),
  )
  await updatePins(folder, group, () => undefined)
  return volume
}

async function take(proxmox: Proxmox, places: GroupPlaces, name: string, step: DeleteDataStep, seen: DeleteDataSeen): Promise<void> {
  const {
    node,
    pool,
    depot,
    slots: {
      blue: { vmid },
    },
  } = places
  switch (step.do) {
    case 'fill':
      return putInPlace(proxmox, node, step.disk, depot.vmid)
    case 'make-throw-away':
      return proxmox.task(
        await createVm(proxmox, node, {
          vmid,
          name,
          pool,
          memory: 64,
          cores: 1,
          scsihw: 'virtio-scsi-pci',
          onboot: 0,
          description: 'Takes a data disk of serena-golden away that is to be deleted. Goes with it.',
        }),
      )
    case 'move':
      return throwAway(proxmox, places, step.disk, seenVm(depot.vmid, seen.group.depot), seenVm(vmid, seen.throwAway))
    case 'destroy-throw-away':
      return destroySeen(proxmox, node, vmid, seenVm(vmid, seen.throwAway).vm.digest)
  }
}
