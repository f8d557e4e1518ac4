/** Tags of templates, and which image is to be used. */
import { channels, type Channel } from '../settings/names.ts'
import type { Image } from './catalog.ts'

export { channels, type Channel } from '../settings/names.ts'

/** Every finished image has it. */
export const goldenTag = 'golden'
export const baseTag = 'golden-base'
export const channelTag = (channel: Channel): string => `golden-${channel}`
/** Has passed `verify`. */
export const verifiedTag = 'golden-verified'
/** Must not be deployed, nor any image made from it. */
export const revokedTag = 'golden-revoked'

/** PVE separates tags by `;`, `,` or blanks, and shows them sorted. An unset value can be a single blank. */
export const splitTags = (tags: string | undefined): string[] => (tags ?? '').split(/[;,\s]+/).filter((tag) => tag !== '')
export const joinTags = (tags: readonly string[]): string => [...new Set(tags)].sort().join(';')

/** Tags of an image that has just been baked and whose checks passed. */
export const newImageTags = joinTags([goldenTag, channelTag('candidate')])

/** The channel of a template's tags; `stable` wins. */
export function channelOf(tags: readonly string[]): Channel | undefined {
  return [...channels].reverse().find((channel) => tags.includes(channelTag(channel)))
}

/**
 * The image that a first slot gets: the newest one of this base that is not revoked.
 * @param base SHA-256 of the site's base
 */
export function newestCandidate(images: readonly Image[], base: string): Image | undefined {
  return images
    .filter((image) => !image.revoked && image.channel !== undefined && image.record.base.sha256 === base)
    .sort((a, b) => (a.record.built === b.record.built ? b.vmid - a.vmid : a.record.built < b.record.built ? 1 : -1))[0]
}
