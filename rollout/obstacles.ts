/**
 * What makes Proxmox refuse to hand a data disk over although every VM is as it should be. Each can be seen beforehand,
 * so that no service is taken away, and nothing made, for a handover that then fails.
 */
import type { Proxmox } from '../proxmox/client.ts'
import { haResources, replicationJobs } from '../proxmox/cluster.ts'
import { isDenied, isUnknownMethod } from '../proxmox/conditions.ts'
import { storageAt, storageOfVolume } from '../proxmox/storage.ts'
import { vmAt } from '../proxmox/vm.ts'
import { Failure } from '../core/failure.ts'
import type { SlotName } from '../settings/site.ts'
import { diskPlace, type Disk, type GroupPlaces, type GroupSeen, type VmSeen } from './observe.ts'
import type { Decision, Refusal } from './reconcile.ts'

/** A lock, such as a backup's, is waited for before anything is stopped; one that never ends by itself is named. */
export function lockedIn(vms: readonly (readonly [name: string, vmid: number | undefined, vm: VmSeen])[]): Decision<never> | undefined {
  for (const [name, vmid, vm] of vms) {
    if (vm.there !== true || vm.lock === undefined) continue
    const which = vmid === undefined ? 'VMID' : String(vmid)
    if (vm.lock === 'suspended')
      return {
        kind: 'refuse',
        refusal: {
          code: 'vm-suspended',
          message: `${name}, VM ${which}, is hibernated: its disks are not to be touched before it goes on`,
          hint: `Resume it in Proxmox ("qm resume ${which}"), then run the same command again. Nothing was changed.`,
        },
      }
    return { kind: 'wait', for: `${name} is locked: ${vm.lock}`, timeoutMs: 3_600_000 }
  }
  return undefined
}

/** What Proxmox says of the two VMs that a disk goes between. */
export interface HandoverFacts {
  readonly volume: string
  /** Snapshots of the owner that refer to the disk. */
  readonly snapshots: readonly string[]
  /** VMs of the two that HA manages. */
  readonly managed: readonly number[]
  /** Replication jobs of the two. */
  readonly jobs: readonly string[]
  /** Whether the disk is on a storage that can be replicated. */
  readonly replicable: boolean
}

/** Pure. @param owner the VM that has the disk */
export function obstaclesIn(owner: number, { volume, snapshots, managed, jobs, replicable }: HandoverFacts): Refusal[] {
  const list: Refusal[] = []
  if (snapshots.length > 0) {
    list.push({
      code: 'disk-in-snapshot',
      message: `${snapshots.length === 1 ? 'snapshot' : 'snapshots'} ${snapshots.join(', ')} of VM ${owner} ${snapshots.length === 1 ? 'holds' : 'hold'} the data disk ${volume}, and Proxmox hands over no disk that a snapshot refers to`,
      hint: `Remove ${snapshots.length === 1 ? 'it' : 'them'}: ${snapshots.map((name) => `"qm delsnapshot ${owner} ${name}"`).join(', ')} on the node, or in the web interface.`,
    })
  }
  for (const vmid of managed) {
    list.push({
      code: 'ha-managed',
      message: `VM ${vmid} is managed by HA, which starts, stops and moves VMs by itself: a disk can't be handed over under its hands`,
      hint: `Take it out: "ha-manager remove vm:${vmid}" on the node.`,
    })
  }
  if (jobs.length > 0 && !replicable) {
    list.push({
      code: 'replicated',
      message: `there ${jobs.length === 1 ? 'is replication job' : 'are replication jobs'} ${jobs.join(', ')}, but the data disk ${volume} is on a storage that can't be replicated, and Proxmox hands it to no VM with such a job`,
      hint: `Remove ${jobs.length === 1 ? 'it' : 'them'}: ${jobs.map((job) => `"pvesr delete ${job}"`).join(', ')} on the node.`,
    })
  }
  return list
}

/** All of them as one refusal; undefined without any. */
export function refusalOf(obstacles: readonly Refusal[] | undefined, nothing: string): Refusal | undefined {
  const [first] = obstacles ?? []
  if (first === undefined) return undefined
  return {
    code: first.code,
    message: (obstacles ?? []).map(({ message }) => message).join('\n'),
    hint: `${(obstacles ?? []).map(({ hint }) => hint).join('\n')} Then run the same command again. ${nothing}`,
  }
}

/** What is in the way of handing the data disk to this VM; nothing where it is not on the other side of that. */
export async function findObstacles(proxmox: Proxmox, places: GroupPlaces, seen: GroupSeen, to: 'depot' | SlotName): Promise<Refusal[]> {
  const place = diskPlace(seen)
  if (place.at !== 'depot' && place.at !== 'blue' && place.at !== 'green') return []
  if (place.at === to) return []
  const vmidOf = (one: 'depot' | SlotName): number => (one === 'depot' ? places.depot.vmid : places.slots[one].vmid)
  const vmOf = (one: 'depot' | SlotName): VmSeen => (one === 'depot' ? seen.depot : seen.slots[one])
  const owner = vmidOf(place.at)
  const both = [owner, vmidOf(to)]
  const [snapshots, listed, jobs] = await Promise.all([
    snapshotsWith(proxmox, places.node, owner, place.disk),
    managedVms(proxmox),
    jobsOf(proxmox, both),
  ])
  const managed = both.filter((vmid, index) => {
    const vm = vmOf(index === 0 ? place.at : to)
    return listed.includes(vmid) || (vm.there === true && vm.managed === true)
  })
  return obstaclesIn(owner, {
    volume: place.disk.volume,
    snapshots,
    managed,
    jobs,
    replicable: jobs.length === 0 || (await isReplicable(proxmox, places.node, place.disk)),
  })
}

/** @throws Failure */
export async function refuseObstacles(proxmox: Proxmox, places: GroupPlaces, seen: GroupSeen, to: 'depot' | SlotName): Promise<void> {
  const refusal = refusalOf(await findObstacles(proxmox, places, seen, to), 'Nothing was changed.')
  if (refusal !== undefined) throw new Failure(refusal.code, refusal.message, refusal.hint)
}

async function snapshotsWith(proxmox: Proxmox, node: string, vmid: number, disk: Disk): Promise<string[]> {
  const vm = vmAt(proxmox, node, vmid)
  const names = await vm.snapshots()
  const holds = async (name: string): Promise<boolean> => {
    const config = await vm.snapshotConfig(name)
    return Object.values(config).some((value) => String(value).split(',')[0] === disk.volume)
  }
  const found = await Promise.all(names.map(async (name) => ((await holds(name)) ? [name] : [])))
  return found.flat()
}

/** HA's own list has VMIDs that no VM has any more, too. It takes Sys.Audit on `/`; without, a VM's own status tells. */
async function managedVms(proxmox: Proxmox): Promise<number[]> {
  const list = await unlessRefused(haResources(proxmox))
  return (list ?? []).flatMap(({ sid, state }) => (state === 'ignored' ? [] : Number(/^vm:(\d+)$/.exec(sid)?.[1] ?? 0)))
}

async function jobsOf(proxmox: Proxmox, vmids: readonly number[]): Promise<string[]> {
  const list = await unlessRefused(replicationJobs(proxmox))
  return (list ?? []).filter(({ guest }) => vmids.includes(Number(guest))).map(({ id }) => id)
}

/** Only ZFS is (PVE::Storage::storage_can_replicate). */
async function isReplicable(proxmox: Proxmox, node: string, { volume }: Disk): Promise<boolean> {
  const status = await unlessRefused(storageAt(proxmox, node, storageOfVolume(volume)).status())
  return status?.type === 'zfspool'
}

async function unlessRefused<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (isDenied(error) || isUnknownMethod(error)) return undefined
    throw error
  }
}
