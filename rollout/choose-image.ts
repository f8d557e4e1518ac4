/** Which image a first slot gets, and which pinned ones can't be used any more. Pure, but for who has signed them. */
import { Failure } from '../core/failure.ts'
import { bringHere, elsewhere, isRevokedText, templateNamed, type Image } from '../images/catalog.ts'
import { newestFit, unfitFor, type Unfit } from '../images/channels.ts'
import { seedForm } from '../images/contract/seed.ts'
import { requireTrusted, type Trusting } from '../images/trust.ts'
import { pinnedSlots, type Deployment, type GroupPins, type Release } from '../releases/deployment.ts'
import { acmeOf, type Site, type SlotName } from '../settings/site.ts'

/** @throws Failure `image-of-other-version`, `image-elsewhere`, `image-without-lego`, `image-not-promoted`, `image-not-verified`, `no-image` */
export function chooseImage(site: Site, listed: readonly Image[]): Image {
  const images = listed.filter((one) => (one.record.seed ?? 1) === seedForm)
  const image = newestFit(
    site.image,
    images.filter((one) => elsewhere(site, one) === undefined),
  )
  if (image !== undefined) {
    if (acmeOf(site.public) !== undefined && image.record.services.lego === undefined)
      throw new Failure(
        'image-without-lego',
        `image ${image.name} (${image.vmid}) was baked without lego, which gets a certificate from an ACME server, as public.certificate in site.ts asks for`,
        'Run "npx golden lock", then "npx golden bake".',
      )
    return image
  }
  const old = newestFit(site.image, listed)
  if (old !== undefined && !images.includes(old))
    throw new Failure(
      'image-of-other-version',
      `the newest image, ${old.name} (${old.vmid}), was baked by another version of this project, and reads another form of seed (${old.record.seed ?? 1}, this version writes ${seedForm})`,
      'Run "npx golden bake": it makes one of this version.',
    )
  const away = newestFit(site.image, images)
  if (away !== undefined)
    throw new Failure(
      'image-elsewhere',
      `the newest image, ${away.name} (${away.vmid}), is ${elsewhere(site, away) ?? ''}`,
      `Run "npx golden bake": it makes one there. Or, in Proxmox, ${bringHere(site, away)}.`,
    )
  throw noneFits(site, images)
}

const verifyHint = 'Run "npx golden verify"; or set image.onlyVerified in site.ts to false.'

const unfitText: Readonly<Record<Unfit, string>> = {
  'other-base': 'of another base',
  revoked: 'revoked',
  failed: 'whose verification has failed',
  'not-verified': 'not verified',
  'not-promoted': 'not promoted',
}

/** What is nearest to being taken says what to do. */
function noneFits(site: Site, images: readonly Image[]): Failure {
  const { channel, onlyVerified, base } = site.image
  const unfit = images.flatMap((image) => {
    const why = unfitFor(site.image, image)
    return why === undefined ? [] : [{ image, why }]
  })
  const count = (why: Unfit): number => unfit.filter((one) => one.why === why).length
  const counts = (Object.keys(unfitText) as Unfit[]).flatMap((why) => (count(why) === 0 ? [] : [`${count(why)} ${unfitText[why]}`]))
  const wanted = `${onlyVerified ? 'verified ' : ''}image of base ${base.os} ${base.sha256.slice(0, 12)}${channel === 'candidate' ? '' : ` in channel ${channel}`}`
  const message = `pool ${site.proxmox.pool} has no ${wanted}${counts.length === 0 ? '' : ` (${counts.join(', ')})`}`
  const waiting = unfit.find(({ why }) => why === 'not-promoted')?.image
  if (waiting !== undefined)
    return new Failure(
      'image-not-promoted',
      message,
      `"npx golden promote ${waiting.name} --channel ${channel}" puts the newest one there; or set image.channel in site.ts.`,
    )
  if (count('not-verified') > 0) return new Failure('image-not-verified', message, verifyHint)
  return new Failure('no-image', message, 'Run "npx golden bake".')
}

/**
 * The image that somebody has named, by its name, the end of it, or its VMID, whatever channel it is in.
 * @throws Failure `image-unknown`, `image-of-other-version`, `image-elsewhere`, `image-without-lego`, `image-revoked`, `image-not-verified`
 */
export function imageNamed(site: Site, images: readonly Image[], name: string): Image {
  const found = templateNamed(site, images, name)
  if (found.revoked)
    throw new Failure('image-revoked', `image ${found.name} ${isRevokedText(found)}`, 'Take another one, or bake a new one.')
  if (found.verification === 'failed')
    throw new Failure('image-not-verified', `image ${found.name} has failed its verification`, 'Take another one, or bake a new one.')
  const { sha256 } = found.record.base
  return chooseImage({ ...site, image: { ...site.image, channel: 'candidate', base: { ...site.image.base, sha256 } } }, [
    { ...found, channel: found.channel ?? 'candidate' },
  ])
}

/**
 * A clone is made by VMID, and in the meantime another image may have got that one.
 * @param slots those whose VM is going to be made
 * @throws Failure `image-changed`, `image-elsewhere`, `image-revoked`
 */
export function checkImages(images: readonly Image[], group: string, pins: GroupPins, slots: readonly SlotName[]): void {
  for (const slot of slots) {
    const wanted = pins.slots[slot]?.image
    if (wanted === undefined) continue
    const found = images.find((image) => image.vmid === wanted.vmid)
    const node = pins.slots[slot]?.vm.node ?? ''
    if (found?.record.fingerprint === wanted.fingerprint) {
      if (found.revoked) throw revoked(found, group, slot)
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

/** Of the slots whose VM is going to be made. @throws Failure as `requireTrusted` */
export async function requireTrustedPins(
  trusting: Trusting,
  images: readonly Image[],
  pins: GroupPins,
  slots: readonly SlotName[],
): Promise<void> {
  for (const slot of slots) {
    const release = pins.slots[slot]
    const image = release === undefined ? undefined : pinnedImage(images, release)
    if (image !== undefined) await requireTrusted(trusting, image)
  }
}

/** The template that a release was made of, as long as it is that one. */
export const pinnedImage = (images: readonly Image[], { image }: Pick<Release, 'image'>): Image | undefined =>
  images.find(({ vmid, record }) => vmid === image.vmid && record.fingerprint === image.fingerprint)

/** Of slots that serve, or are meant to: one that rests may keep such an image until the next rollout. @throws Failure `image-revoked` */
export function refuseRevoked(images: readonly Image[], deployment: Deployment): void {
  for (const { group, slot, release } of pinnedSlots(deployment)) {
    const image = deployment.groups[group]?.active === slot ? pinnedImage(images, release) : undefined
    if (image?.revoked === true) throw revoked(image, group, slot)
  }
}

const revoked = (image: Image, group: string, slot: SlotName): Failure =>
  new Failure(
    'image-revoked',
    `image ${image.name}, pinned for slot ${slot} of group ${group}, ${isRevokedText(image)}`,
    `Bake a new one, then "npx golden rollout ${group}".`,
  )
