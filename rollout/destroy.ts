/** `destroy`: ends releases. VMs, seeds and pins go; data disks stay in their depots. */
import { ProxmoxError } from '../proxmox/client.ts'
import type { Progress } from '../core/progress.ts'
import { groupOrder, groupUnknown, stackName } from '../releases/order.ts'
import type { GroupPins, Release } from '../releases/deployment.ts'
import { slotNames, type Site } from '../settings/site.ts'
import { claimGroups } from './claim-groups.ts'
import { claimSite, type SiteClaim } from './claim.ts'
import { settleGroup } from './depot.ts'
import { openEngine, type Engine } from './engine.ts'
import { readGivenKey } from '../releases/given.ts'
import type { DeployOptions } from './options.ts'
import { diskPlace, observeGroup, placesOf, type DiskPlace, type GroupPlaces } from './observe.ts'
import { isDataMissing, planDestroy, seedsInDrives, type DestroySeen, type GroupDestruction } from './plan-destroy.ts'
import { missingHint, strayVolumes } from './missing.ts'
import { requireGroupNode } from './node.ts'
import { findObstacles } from './obstacles.ts'
import { readPins, updatePins, withoutReleases } from '../releases/pins.ts'
import { release } from './release.ts'
import { resume } from './resume.ts'
import { removeSeed, removeStraySeeds } from '../releases/seed.ts'
import { ofSlot, settleSlot } from './slots.ts'

export interface DestroyedGroup {
  readonly group: string
  readonly outcome: 'destroyed' | 'absent'
  /** `none`: there never was any. `missing`: it was there, and nobody knows where it is. `several`: nobody can say which disk it is. */
  readonly dataDisk: 'kept' | 'none' | 'missing' | 'several'
  /** Where the data is now, if it is kept. */
  readonly data?: { readonly depot: number; readonly volume: string }
}

/**
 * The groups that are meant, in the order in which they go: of what the site has and what is deployed.
 * @throws Failure `group-unknown` for a name that is none of them, and what is wrong with the pins of any
 */
export async function groupsToDestroy(
  { site, folder }: Pick<DeployOptions, 'site' | 'folder'>,
  only?: readonly string[],
): Promise<string[]> {
  const deployment = await readPins(folder)
  const groups = groupOrder(site, deployment).reverse()
  for (const name of only ?? []) {
    if (!groups.includes(name)) throw groupUnknown(name, groups)
  }
  const wanted = groups.filter((group) => only === undefined || only.includes(group))
  // What is wrong with the pins of one is said before another is touched.
  for (const group of wanted) placesOf(site, group, deployment.groups[group])
  return wanted
}

/**
 * @param only these groups. @default all
 * @throws Failure; run again, it goes on from there. `deploy-in-progress` or `group-claimed` while another run is at it
 */
export async function destroy(options: DeployOptions, only?: readonly string[]): Promise<readonly DestroyedGroup[]> {
  return claimSite(options, 'destroy', async (claim) =>
    claimGroups(options, 'destroy', await groupsToDestroy(options, only), (held) => destroyGroups(held, claim, only)),
  )
}

async function destroyGroups(options: DeployOptions, claim: SiteClaim, only?: readonly string[]): Promise<readonly DestroyedGroup[]> {
  const { progress, signal } = options
  const plans = await progress.step('look for what is in the way', () => planDestruction(options, only))
  const engine = openEngine({ ...options, claim })
  await progress.step('write the stacks', () => engine.synth())
  const results: DestroyedGroup[] = []
  for (const { group } of plans) {
    signal.throwIfAborted()
    results.push(await destroyGroup(options, engine, group))
  }
  return results
}

/** What the plan of a group's end is made from. @throws Failure `node-missing`, `node-offline` */
async function observeForDestroy(
  { site, folder, proxmox }: Pick<DeployOptions, 'site' | 'folder' | 'proxmox'>,
  group: string,
): Promise<DestroySeen> {
  const pins = (await readPins(folder)).groups[group]
  const places = placesOf(site, group, pins)
  await requireGroupNode(proxmox, places, site.proxmox.node)
  const seen = await observeGroup(proxmox, places)
  const missing = isDataMissing(pins, diskPlace(seen)) ? missingHint(places, await strayVolumes(proxmox, places)) : ''
  return { places, pins, seen, obstacles: await findObstacles(proxmox, places, seen, 'depot'), missing }
}

/**
 * What `destroy` would do with these groups, in its order; nothing is changed.
 * @throws Failure as `destroy` before it begins
 */
export async function planDestruction(
  options: Pick<DeployOptions, 'site' | 'folder' | 'proxmox'>,
  only?: readonly string[],
): Promise<readonly GroupDestruction[]> {
  const plans: GroupDestruction[] = []
  for (const group of await groupsToDestroy(options, only)) plans.push(planDestroy(await observeForDestroy(options, group)))
  return plans
}

/** The same for one group, by a run that holds the claim and has written the stacks. */
export async function destroyGroup(options: DeployOptions, engine: Engine, group: string): Promise<DestroyedGroup> {
  const { site, folder, proxmox, progress, signal } = options
  await settleGroup(proxmox, placesOf(site, group, (await readPins(folder)).groups[group]), signal)
  // Of right now: other groups came before, and what was under way has ended. Obstacles are the release's own to judge.
  const found = await observeForDestroy(options, group)
  const { places, pins, seen } = found
  const plan = planDestroy({ ...found, obstacles: [] })
  const { exists: existed } = plan
  const strangers = plan.strangers.map(({ slot }) => slot)
  const own = slotNames.filter((slot) => !strangers.includes(slot))
  for (const { vmid, slot } of plan.strangers) progress.warn(`VMID ${vmid} of slot ${slot} is a VM of somebody else, which is left alone`)
  const stack = stackName(site, group)
  // Before anything is stopped: an engine that can't read its state would leave a service that is down.
  const known = existed ? await progress.step(`read the state of ${stack}`, () => readState(engine, stack)) : []
  let place: DiskPlace = diskPlace(seen)
  // By ourselves first, not only by the engine's hook: its state may not know of a VM that is there.
  for (const slot of own) place = await release({ proxmox, places, progress, signal }, slot)
  if (existed) {
    await progress.step(`destroy ${stack}`, (note) =>
      resume(options, places, async (attempt) => {
        const now = attempt === 1 ? known : await engine.listState(stack)
        const forgotten = strangers.flatMap((slot) => ofSlot(now, slot))
        if (forgotten.length > 0) await engine.forget(stack, forgotten)
        for (const slot of own) await settleSlot(proxmox, places, slot, engine, stack, now, undefined, note, signal)
        if (now.length > forgotten.length) await engine.destroy(stack, note)
      }),
    )
  }
  for (const one of slotNames.map((slot) => pins?.slots[slot]).filter((one): one is Release => one !== undefined)) {
    await removeSeed(proxmox, one).catch((error: unknown) => {
      // A storage that is not there any more must not keep the release from ending.
      if (!(error instanceof ProxmoxError) || error.lost) throw error
      progress.warn(
        `the seed ${one.vm.seed}, which holds that release's secrets, could not be removed: ${error.message}. If its storage is still there, remove it in Proxmox`,
      )
    })
  }
  await removeStraySeeds(
    proxmox,
    site,
    places.node,
    own.map((slot) => places.slots[slot].vmid),
    await readGivenKey(folder),
    seedsInDrives(seen, own),
  ).catch((error: unknown) => {
    // Nobody is known to have left any; a storage that site.ts names wrongly by now must not hold up the rest.
    if (!(error instanceof ProxmoxError)) throw error
    progress.warn(`whether storage ${site.proxmox.storage.iso} holds seeds of earlier releases could not be seen: ${error.message}`)
  })
  // A data disk that was going to be made and was not is nothing to remember.
  const hasData = (before: GroupPins): boolean => before.dataDisk === 'made' || (before.dataDisk === 'new' && place.at !== 'nowhere')
  if (pins !== undefined) await updatePins(folder, group, (before) => (hasData(before) ? withoutReleases(before) : undefined))
  const result: DestroyedGroup = {
    group,
    outcome: existed ? 'destroyed' : 'absent',
    dataDisk:
      place.at === 'several'
        ? 'several'
        : place.at !== 'nowhere' && place.disk.gone !== true
          ? 'kept'
          : pins?.dataDisk === 'made'
            ? 'missing'
            : 'none',
    ...(place.at === 'depot' && place.disk.gone !== true ? { data: { depot: places.depot.vmid, volume: place.disk.volume } } : {}),
  }
  tell(progress, site, places, result, result.dataDisk === 'missing' ? missingHint(places, await strayVolumes(proxmox, places)) : '')
  return result
}

async function readState(engine: Engine, stack: string): Promise<readonly string[]> {
  await engine.init(stack)
  return engine.listState(stack)
}

function tell(progress: Progress, site: Site, { group, depot }: GroupPlaces, { dataDisk, data }: DestroyedGroup, missing: string): void {
  const stack = stackName(site, group)
  if (data !== undefined)
    progress.info(`${stack}: the data disk ${data.volume} is kept in depot ${data.depot}; "npx golden delete-data ${group}" deletes it`)
  if (dataDisk === 'missing') progress.warn(`${stack}: the data disk is neither in depot ${depot.vmid} nor in a slot. ${missing}`)
  if (dataDisk === 'several') progress.warn(`${stack}: depot ${depot.vmid} has more than one disk: remove in Proxmox what is not the data`)
}
