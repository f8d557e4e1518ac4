/** What Terraform's provisioners call: activation after a slot's VM was made, release before it is destroyed. */
import { Failure } from '../core/failure.ts'
import type { SlotName } from '../settings/site.ts'
import { activate } from './activate.ts'
import { contextOf, type GroupWork } from './context.ts'
import { missingHint, strayVolumes } from './missing.ts'
import { placesOf } from './observe.ts'
import { readPins } from '../releases/pins.ts'
import { release } from './release.ts'

/**
 * Of a slot that is not the active one nothing is activated: its VM stands by, and gets the data by a rollout.
 * @throws Failure `release-not-pinned` when deployment.json says something else by now, or what activation throws
 */
export async function activateHook(
  { site, folder, proxmox, progress, signal }: GroupWork,
  group: string,
  slot: SlotName,
  releaseId: string,
): Promise<void> {
  const pins = (await readPins(folder)).groups[group]
  if (pins?.slots[slot]?.id !== releaseId) {
    throw new Failure(
      'release-not-pinned',
      `deployment.json does not pin release ${releaseId} for slot ${slot} of group ${group}`,
      'Run "npx golden deploy".',
    )
  }
  if (pins.active !== slot) return
  await activate(await contextOf({ site, folder, proxmox, progress, signal }, group), slot, releaseId)
}

/** Works without pins too: what matters is who owns the disk. */
export async function releaseHook({ site, folder, proxmox, progress, signal }: GroupWork, group: string, slot: SlotName): Promise<void> {
  const pins = (await readPins(folder)).groups[group]
  const places = placesOf(site, group, pins)
  const place = await release({ proxmox, progress, signal, places }, slot)
  if (place.at === 'nowhere' && pins?.dataDisk === 'made')
    progress.warn(
      `group ${group} has no data disk any more, neither in its depot nor in a slot. ${missingHint(places, await strayVolumes(proxmox, places))}`,
    )
}
