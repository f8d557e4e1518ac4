/** Tags of templates, and which image is to be used. */
import { channels, type Channel } from '../settings/names.ts'
import type { Site } from '../settings/site.ts'
import type { Image } from './catalog.ts'
import type { Record, TemplateRecord } from './record.ts'

export { channels, type Channel } from '../settings/names.ts'

/** Every finished image has it. */
export const goldenTag = 'golden'
export const baseTag = 'golden-base'
export const channelTag = (channel: Channel): string => `golden-${channel}`
/** Has been verified, for people: what counts is the record. */
export const verifiedTag = 'golden-verified'
/** Must not be deployed, nor any image made from it. Whoever sets it by hand revokes, too. */
export const revokedTag = 'golden-revoked'

/** PVE separates tags by `;`, `,` or blanks, and shows them sorted. An unset value can be a single blank. */
export const splitTags = (tags: string | undefined): string[] => (tags ?? '').split(/[;,\s]+/).filter((tag) => tag !== '')
export const joinTags = (tags: readonly string[]): string => [...new Set(tags)].sort().join(';')

/** Tags of an image that has just been baked and whose checks passed. */
export const newImageTags = joinTags([goldenTag, channelTag('candidate')])

const ours = new Set<string>([goldenTag, baseTag, verifiedTag, revokedTag, ...channels.map(channelTag)])

/** A finished template's tags, as its record has it: those of before for what the record does not say, and other people's. */
export function tagsOf(record: Record, before: readonly string[]): string {
  const isRevoked = record.revoked !== undefined || before.includes(revokedTag)
  const others = before.filter((tag) => !ours.has(tag))
  const revocation = isRevoked ? [revokedTag] : []
  if (record.kind === 'base') return joinTags([...others, baseTag, ...revocation])
  const channel = channelOf(before, record)
  const verified = record.verify?.passed === true ? [verifiedTag] : []
  return joinTags([...others, goldenTag, ...(channel === undefined ? [] : [channelTag(channel)]), ...verified, ...revocation])
}

/** Where an image was promoted to. By tags alone, which anybody may set, it is a candidate at best; without one nobody takes it. */
export const channelOf = (tags: readonly string[], record: Pick<TemplateRecord, 'channel'>): Channel | undefined =>
  record.channel?.name ?? (channels.some((channel) => tags.includes(channelTag(channel))) ? 'candidate' : undefined)

/** What a site wants of the images that it takes by itself. */
export type ImageWish = Pick<Site['image'], 'channel' | 'onlyVerified'> & { readonly base: Pick<Site['image']['base'], 'sha256'> }

export type Unfit = 'other-base' | 'revoked' | 'failed' | 'not-verified' | 'not-promoted'

/** Why an image is not for this site; undefined: it may be taken. */
export function unfitFor(wish: ImageWish, image: Image): Unfit | undefined {
  if (image.record.base.sha256 !== wish.base.sha256) return 'other-base'
  if (image.revoked) return 'revoked'
  if (image.verification === 'failed') return 'failed'
  if (wish.onlyVerified && image.verification !== 'passed') return 'not-verified'
  return image.channel === undefined || channels.indexOf(image.channel) < channels.indexOf(wish.channel) ? 'not-promoted' : undefined
}

/** The image that first slots and rollouts get: the newest that fits. */
export const newestFit = (wish: ImageWish, images: readonly Image[]): Image | undefined =>
  images
    .filter((image) => unfitFor(wish, image) === undefined)
    .reduce<Image | undefined>((newest, image) => (newest === undefined || isNewer(image, newest) ? image : newest), undefined)

/** By when they were baked, to the same moment by VMID. */
export const isNewer = (a: Image, b: Image): boolean =>
  a.record.built === b.record.built ? a.vmid > b.vmid : Date.parse(a.record.built) > Date.parse(b.record.built)
