/** Which image a first slot gets, and which pinned ones can't be used any more. Pure. */
import { Failure } from '../core/failure.ts'
import { bringHere, elsewhere, type Image } from '../images/catalog.ts'
import { newestCandidate, revokedTag } from '../images/channels.ts'
import { seedForm } from '../images/contract/seed.ts'
import { pinnedSlots, type Deployment, type GroupPins } from '../releases/deployment.ts'
import type { Site, SlotName } from '../settings/site.ts'

/** @throws Failure `image-of-other-version`, `image-elsewhere`, `no-image` */
export function chooseImage(site: Site, listed: readonly Image[]): Image {
  const images = listed.filter((one) => (one.record.seed ?? 1) === seedForm)
  const image = newestCandidate(
    images.filter((one) => elsewhere(site, one) === undefined),
    site.image.base.sha256,
  )
  if (image !== undefined) return image
  const old = newestCandidate(listed, site.image.base.sha256)
  if (old !== undefined && !images.includes(old))
    throw new Failure(
      'image-of-other-version',
      `the newest image, ${old.name} (${old.vmid}), was baked by another version of this project, and reads another form of seed (${old.record.seed ?? 1}, this version writes ${seedForm})`,
      'Run "npx golden bake": it makes one of this version.',
    )
  const away = newestCandidate(images, site.image.base.sha256)
  if (away !== undefined)
    throw new Failure(
      'image-elsewhere',
      `the newest image, ${away.name} (${away.vmid}), is ${elsewhere(site, away) ?? ''}`,
      `Run "npx golden bake": it makes one there. Or, in Proxmox, ${bringHere(site, away)}.`,
    )
  const others = images.length === 0 ? '' : ` (${images.length} of another base or revoked)`
  throw new Failure(
    'no-image',
    `pool ${site.proxmox.pool} has no image of base ${site.image.base.os} ${site.image.base.sha256.slice(0, 12)}${others}`,
    'Run "npx golden bake".',
  )
}

/**
 * The image that somebody has named, by its name, the end of it, or its VMID.
 * @throws Failure `image-unknown`, `image-of-other-version`, `image-elsewhere`, `image-revoked`
 */
export function imageNamed(site: Site, images: readonly Image[], name: string): Image {
  const found = images.find((one) => one.name === name || String(one.vmid) === name)
  if (found === undefined)
    throw new Failure(
      'image-unknown',
      `pool ${site.proxmox.pool} has no image ${name}`,
      images.length === 0 ? 'Run "npx golden bake".' : `There are: ${images.map((one) => `${one.name} (${one.vmid})`).join(', ')}.`,
    )
  if (found.revoked)
    throw new Failure('image-revoked', `image ${found.name} is revoked (tag ${revokedTag})`, 'Take another one, or bake a new one.')
  return chooseImage({ ...site, image: { ...site.image, base: { ...site.image.base, sha256: found.record.base.sha256 } } }, [
    { ...found, channel: found.channel ?? 'candidate' },
  ])
}

/**
 * A clone is made by VMID, and in the meantime another image may have got that one.
 * @param slots those whose VM is going to be made
 * @throws Failure `image-changed`, `image-elsewhere`
 */
export function checkImages(images: readonly Image[], group: string, pins: GroupPins, slots: readonly SlotName[]): void {
  for (const slot of slots) {
    const wanted = pins.slots[slot]?.image
    if (wanted === undefined) continue
    const found = images.find((image) => image.vmid === wanted.vmid)
    const node = pins.slots[slot]?.vm.node ?? ''
    if (found?.record.fingerprint === wanted.fingerprint) {
      if (found.node === node) continue
      throw new Failure(
        'image-elsewhere',
        `image ${wanted.name} (${wanted.vmid}), pinned for slot ${slot} of group ${group}, is on node ${found.node}, and the slot's VM is to be on ${node}`,
        `Migrate it back: "qm migrate ${wanted.vmid} ${node}" on node ${found.node}. Or run "npx golden destroy ${group}", then "npx golden bake" and "npx golden deploy". The data is kept.`,
      )
    }
    throw new Failure(
      'image-changed',
      `image ${wanted.name}, pinned for slot ${slot} of group ${group}, is not template ${wanted.vmid} any more: ${found === undefined ? 'there is no image with that VMID' : `that is ${found.name} now`}`,
      `Put that template back, or run "npx golden destroy ${group}", then "npx golden deploy": it takes the newest image. The data is kept.`,
    )
  }
}

/**
 * @param to a revoked image is left for this one: that is what to do about it
 * @throws Failure `image-revoked`
 */
export function refuseRevoked(images: readonly Image[], deployment: Deployment, to?: number): void {
  for (const { group, slot, release } of pinnedSlots(deployment)) {
    if (images.find((one) => one.vmid === release.image.vmid)?.revoked !== true || (to !== undefined && to !== release.image.vmid)) continue
    throw new Failure(
      'image-revoked',
      `image ${release.image.name}, pinned for slot ${slot} of group ${group}, is revoked (tag ${revokedTag})`,
      `Bake a new one, then "npx golden rollout ${group}".`,
    )
  }
}
