/** The notes of a slot's VM: what is written there, and what can be read from it again. */
import type { SlotName } from '../settings/names.ts'
import type { Release } from './deployment.ts'

/** What a slot's VM says about itself in Proxmox. */
export const slotNotes = (site: string, group: string, slot: SlotName, { id, image }: Pick<Release, 'id' | 'image'>): string =>
  `Slot ${slot} of group ${group} of ${site} (serena-golden): image ${image.name}, release ${id}. Made by golden deploy; change nothing by hand.`

/** The group of this site that a VM is a slot of, by those notes. */
export const groupInNotes = (site: string, notes: string): string | undefined => {
  const [, group, of] = /^Slot \S+ of group (\S+) of (\S+) \(serena-golden\)/.exec(notes) ?? []
  return of === site ? group : undefined
}

/** The name of the image that a VM was made of, by those notes. */
export const imageInNotes = (notes: string): string | undefined =>
  /^Slot \S+ of group \S+ of \S+ \(serena-golden\): image (\S+), release [0-9a-f]{12}\./.exec(notes)?.[1]
