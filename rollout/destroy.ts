/** `destroy`: ends releases. VMs, seeds and pins go; data disks stay in their depots. */
import type { Progress } from '../proxmox/progress.ts'
import { groupOrder, stackName } from '../stacks/order.ts'
import type { GroupPins, Release } from '../stacks/deployment.ts'
import { slotNames, type Site } from '../stacks/site.ts'
import { claimSite, type SiteClaim } from './claim.ts'
import { openEngine, type Engine } from './engine.ts'
import type { DeployOptions } from './options.ts'
import { checkIdentity, observeGroup, placesOf, type DiskPlace } from './observe.ts'
import { readPins, updatePins, withoutReleases } from './pins.ts'
import { release } from './release.ts'
import { removeSeed } from './seed.ts'
import { settleSlot } from './slots.ts'
import { Failure } from '../proxmox/failure.ts'

export interface DestroyedGroup {
  readonly group: string
  readonly outcome: 'destroyed' | 'absent'
  /** Where the data is now; absent when the group never had any. */
  readonly data?: { readonly depot: number; readonly volume: string }
}

/**
 * @param only these groups. @default all
 * @throws Failure; run again, it goes on from there. `deploy-in-progress` while another run changes this site
 */
export async function destroy(options: DeployOptions, only?: readonly string[]): Promise<readonly DestroyedGroup[]> {
  return claimSite(options.folder, 'destroy', (claim) => destroyGroups(options, claim, only))
}

async function destroyGroups(options: DeployOptions, claim: SiteClaim, only?: readonly string[]): Promise<readonly DestroyedGroup[]> {
  const { site, folder, progress, signal } = options
  const deployment = await readPins(folder)
  const groups = groupOrder(site, deployment).reverse()
  for (const name of only ?? []) {
    if (!groups.includes(name)) throw new Failure('group-unknown', `there is no group ${name}`, `There are: ${groups.join(', ')}.`)
  }
  const engine = openEngine({ ...options, claim })
  await progress.step('write the stacks', () => engine.synth())
  const results: DestroyedGroup[] = []
  for (const group of groups) {
    if (only !== undefined && !only.includes(group)) continue
    signal.throwIfAborted()
    results.push(await destroyGroup(options, engine, group))
  }
  return results
}

/** The same for one group, by a run that holds the claim and has written the stacks. */
export async function destroyGroup(options: DeployOptions, engine: Engine, group: string): Promise<DestroyedGroup> {
  const { site, folder, proxmox, progress, signal } = options
  const pins = (await readPins(folder)).groups[group]
  const places = placesOf(site, group, pins)
  const seen = await observeGroup(proxmox, places)
  checkIdentity(places, seen)
  let existed = pins?.active !== undefined
  let place: DiskPlace = { at: 'nowhere' }
  for (const slot of slotNames) {
    if (seen.slots[slot].there === true) existed = true
    // By ourselves first: a hook of an activation that failed half-way would not run.
    place = await release({ proxmox, places, progress, signal }, slot)
  }
  const releases = slotNames.map((slot) => pins?.slots[slot]).filter((one): one is Release => one !== undefined)
  if (existed) {
    const stack = stackName(site, group)
    await progress.step(`destroy ${stack}`, async (note) => {
      await engine.init(stack)
      const known = await engine.listState(stack)
      for (const slot of slotNames) await settleSlot(proxmox, places, slot, engine, stack, known, note, signal)
      if (known.length > 0) await engine.destroy(stack, note)
    })
  }
  for (const one of releases) await removeSeed(proxmox, one)
  // A data disk that was going to be made and was not is nothing to remember.
  const hasData = (before: GroupPins): boolean => before.dataDisk === 'made' || (before.dataDisk === 'new' && place.at !== 'nowhere')
  if (pins !== undefined) await updatePins(folder, group, (before) => hasData(before) ? withoutReleases(before) : undefined)
  const data = place.at === 'depot' ? { depot: places.depot.vmid, volume: place.disk.volume } : undefined
  tell(progress, site, group, data)
  return { group, outcome: existed ? 'destroyed' : 'absent', ...(data === undefined ? {} : { data }) }
}

function tell(progress: Progress, site: Site, group: string, data: DestroyedGroup['data']): void {
  if (data !== undefined) progress.info(`${stackName(site, group)}: the data disk ${data.volume} is kept in depot ${data.depot}; "npx golden delete-data ${group}" deletes it`)
}
