/** What Terraform's provisioners call: activation after a slot's VM was made, release before it is destroyed. */
import type { Proxmox } from '../proxmox/client.ts'
import { Failure } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import type { Site, SlotName } from '../settings/site.ts'
import { activate } from './activate.ts'
import { missingHint, strayVolumes } from './missing.ts'
import { placesOf } from './observe.ts'
import { readPins, updatePins, withDataDisk } from '../releases/pins.ts'
import { release } from './release.ts'

export interface HookOptions {
  readonly site: Site
  readonly folder: string
  readonly proxmox: Proxmox
  readonly progress: Progress
  readonly signal: AbortSignal
}

/** @throws Failure `release-not-pinned` when deployment.json says something else by now, or what activation throws */
export async function activateHook(
  { site, folder, proxmox, progress, signal }: HookOptions,
  group: string,
  slot: SlotName,
  releaseId: string,
): Promise<void> {
  const pins = (await readPins(folder)).groups[group]
  if (pins?.slots[slot]?.id !== releaseId || pins.active !== slot) {
    throw new Failure(
      'release-not-pinned',
      `deployment.json does not pin release ${releaseId} as the active one of group ${group}`,
      'Run "npx golden deploy".',
    )
  }
  await activate(
    {
      proxmox,
      progress,
      signal,
      places: placesOf(site, group, pins),
      readDataDisk: async () => (await readPins(folder)).groups[group]?.dataDisk,
      writeDataDisk: async (state) => {
        await updatePins(folder, group, (before) => withDataDisk(before, state))
      },
    },
    slot,
    releaseId,
  )
}

/** Works without pins too: what matters is who owns the disk. */
export async function releaseHook({ site, folder, proxmox, progress, signal }: HookOptions, group: string, slot: SlotName): Promise<void> {
  const pins = (await readPins(folder)).groups[group]
  const places = placesOf(site, group, pins)
  const place = await release({ proxmox, progress, signal, places }, slot)
  if (place.at === 'nowhere' && pins?.dataDisk === 'made')
    progress.warn(
      `group ${group} has no data disk any more, neither in its depot nor in a slot. ${missingHint(places, await strayVolumes(proxmox, places))}`,
    )
}
