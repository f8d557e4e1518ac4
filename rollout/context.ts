/** What the steps at one group work with, by its pins as they are now. */
import type { Proxmox } from '../proxmox/client.ts'
import type { Progress } from '../core/progress.ts'
import { readPins, updatePins, withDataDisk } from '../releases/pins.ts'
import type { Site } from '../settings/site.ts'
import type { ActivationContext, Silence } from './activate.ts'
import type { ClaimPace } from './hold-group.ts'
import { placesOf } from './observe.ts'

export interface GroupWork {
  readonly site: Site
  readonly folder: string
  readonly proxmox: Proxmox
  readonly progress: Progress
  readonly signal: AbortSignal
  /** Of the claims on groups. @default usualPace */
  readonly claimPace?: ClaimPace
  /** Of guests that do not answer. @default as `Silence` says */
  readonly silence?: Silence
}

export async function contextOf(
  { site, folder, proxmox, progress, signal, silence }: GroupWork,
  group: string,
): Promise<ActivationContext> {
  return {
    proxmox,
    progress,
    signal,
    ...silence,
    places: placesOf(site, group, (await readPins(folder)).groups[group]),
    readDataDisk: async () => (await readPins(folder)).groups[group]?.dataDisk,
    writeDataDisk: async (state) => {
      await updatePins(folder, group, (before) => withDataDisk(before, state))
    },
  }
}
