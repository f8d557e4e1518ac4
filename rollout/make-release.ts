/** A release of what site.ts says now: what is pinned for a slot, with what it is given of secrets. */
import type { Image } from '../images/catalog.ts'
import { newRelease, type Release } from '../releases/deployment.ts'
import { givenKey, givenOf, seedTag } from '../releases/given.ts'
import { newReleaseId, readPins } from '../releases/pins.ts'
import { readSeedSecrets } from '../releases/seed.ts'
import type { Site, SlotName } from '../settings/site.ts'
import { placesOf } from './observe.ts'

/** @throws Failure as readSeedSecrets; nothing is written but, once, the key of keyed digests */
export async function makeRelease(
  { site, folder }: { readonly site: Site; readonly folder: string },
  group: string,
  slot: SlotName,
  image: Image,
  fullClone: boolean,
): Promise<Release> {
  const places = placesOf(site, group, (await readPins(folder)).groups[group])
  const key = await givenKey(folder)
  const id = newReleaseId()
  const made = newRelease(site, group, slot, {
    id,
    created: new Date(),
    image: { vmid: image.vmid, name: image.name, fingerprint: image.record.fingerprint },
    fullClone,
    seedTag: seedTag(key, site.name, places.slots[slot].vmid, id),
  })
  return { ...made, given: givenOf(key, id, await readSeedSecrets(site, folder, made)) }
}
