/** `promote`: which channel an image is in. Deployments and rollouts go by it. */
import { Failure } from '../core/failure.ts'
import type { Site } from '../settings/site.ts'
import { isRevokedText, type Image } from './catalog.ts'
import { changeRecord, type Changing } from './change-record.ts'
import type { Channel } from './channels.ts'
import type { Stamp, TemplateRecord } from './record.ts'
import { sealWith } from './signature.ts'
import { requireTrusted, type Trusting } from './trust.ts'

/** @throws Failure `image-revoked`, `image-not-verified` */
export function refusePromotion({ image: { onlyVerified } }: Pick<Site, 'image'>, image: Image): void {
  const { name, verification } = image
  if (image.revoked) throw new Failure('image-revoked', `image ${name} ${isRevokedText(image)}`, 'Promote another one.')
  if (verification === 'failed' || (onlyVerified && verification === 'none'))
    throw new Failure(
      'image-not-verified',
      `image ${name} ${verification === 'failed' ? 'has failed its verification' : 'is not verified, and image.onlyVerified in site.ts asks for that'}`,
      verification === 'failed' ? 'Promote another one.' : `Run "npx golden verify ${name}".`,
    )
}

/**
 * Its record in that channel. Pure.
 * @returns undefined: it is in that channel
 * @throws Failure as `refusePromotion`
 */
export function promoted(site: Pick<Site, 'image'>, image: Image, channel: Channel, stamp: Stamp): TemplateRecord | undefined {
  if (image.channel === channel) return undefined
  refusePromotion(site, image)
  return { ...image.record, channel: { name: channel, ...stamp } }
}

export interface Promoting extends Changing, Trusting {
  readonly site: Site
  /** USER@COMPUTER. */
  readonly by: string
}

/** @returns whether it was not there already. @throws Failure as `promoted`, `requireTrusted`, `sealWith` and `changeRecord` */
export function promote(options: Promoting, image: Image, channel: Channel): Promise<boolean> {
  const { proxmox, site, by } = options
  const seal = sealWith(options)
  const decide = async (now: Image): Promise<TemplateRecord | undefined> => {
    const record = promoted(site, now, channel, { at: proxmox.now().toISOString(), by })
    if (record === undefined) return undefined
    await requireTrusted(options, now)
    return seal(record)
  }
  return changeRecord(proxmox, image, decide, options)
}

/** When an image came into its channel, in milliseconds. */
export const promotedAt = ({ record }: Image): number => Date.parse(record.channel?.at ?? record.built)
