/** `promote`: which channel an image is in. Deployments and rollouts go by it. */
import { Failure } from '../core/failure.ts'
import type { Proxmox } from '../proxmox/client.ts'
import type { Site } from '../settings/site.ts'
import { isRevokedText, type Image } from './catalog.ts'
import { changeRecord, type Changing } from './change-record.ts'
import type { Channel } from './channels.ts'
import type { Stamp, TemplateRecord } from './record.ts'

/** @throws Failure `image-revoked`, `image-not-verified` */
export function refusePromotion({ image: { onlyVerified } }: Pick<Site, 'image'>, image: Image): void {
  const { name, verification } = image
  if (image.revoked) throw new Failure('image-revoked', `image ${name} ${isRevokedText(image)}`, 'Promote another one.')
  if (verification === 'failed' || (onlyVerified && verification === 'none'))
    throw new Failure(
      'image-not-verified',
      `image ${name} ${verification === 'failed' ? 'has failed its verification' : 'is not verified, and image.onlyVerified in site.ts asks for that'}`,
      'Promote another one.',
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

export interface Promoting extends Changing {
  readonly proxmox: Proxmox
  readonly site: Pick<Site, 'image'>
  /** USER@COMPUTER. */
  readonly by: string
}

/** @returns whether it was not there already. @throws Failure as `promoted` and `changeRecord` */
export const promote = ({ proxmox, site, by, ...changing }: Promoting, image: Image, channel: Channel): Promise<boolean> =>
  changeRecord(proxmox, image, (now) => promoted(site, now, channel, { at: proxmox.now().toISOString(), by }), changing)

/** When an image came into its channel, in milliseconds. */
export const promotedAt = ({ record }: Image): number => Date.parse(record.channel?.at ?? record.built)
