/** What `prune` is going to remove, and why everything else stays: pure, printable, and what it then goes by. */
import { sizeText } from '../core/quantity.ts'
import { elsewhere, isRevokedText, type Base, type Doomed, type Image, type Sorted } from '../images/catalog.ts'
import { channels, isNewer, newestFit } from '../images/channels.ts'
import { promotedAt } from '../images/promote.ts'
import type { Deployment } from '../releases/deployment.ts'
import { otherSlot, type Site, type SlotName } from '../settings/site.ts'
import { usesOf, useText, type Users } from './image-uses.ts'

/** A slot that rests, and its VM. */
export interface OldSlot {
  readonly group: string
  readonly slot: SlotName
  readonly vmid: number
  readonly name: string
  readonly release: string
  readonly image: string
}

export interface PruneSeen extends Pick<Sorted, 'images' | 'bases' | 'doomed'> {
  readonly users: Users
  /** The site's seeds that nobody needs, as Proxmox calls them. */
  readonly seeds: readonly string[]
  /** Of disks, in bytes, by what Proxmox calls them. */
  readonly sizes: ReadonlyMap<string, number>
}

export interface PruneOptions {
  /** Fingerprint of the base template that the site's bakes begin with. */
  readonly wantedBase: string
  /** Whether a bake that began then may still be at it. */
  readonly mayBeBaking: (built: string) => boolean
  /** Slots that rest go, too, and with them the way back. */
  readonly oldSlots: boolean
  /** What a site keeps for itself goes, too, because the site is to go: whatever somebody uses stays all the same. @default false */
  readonly all?: boolean
}

export interface Removal {
  readonly what: 'image' | 'base'
  readonly vmid: number
  readonly node: string
  readonly name: string
  readonly fingerprint: string
  readonly built: string
  /** Of the configuration that was looked at. */
  readonly digest?: string | undefined
  readonly bytes?: number
}

export interface PrunePlan {
  readonly oldSlots: readonly OldSlot[]
  readonly remove: readonly Removal[]
  readonly keep: readonly {
    readonly what: 'image' | 'base'
    readonly vmid: number
    readonly name: string
    readonly why: readonly string[]
  }[]
  readonly seeds: readonly string[]
}

export function planPrune(site: Site, seen: PruneSeen, options: PruneOptions): PrunePlan {
  const oldSlots = options.oldSlots ? slotsAtRest(seen.users.deployment) : []
  const users = without(seen.users, oldSlots)
  const reasons = keepReasons(site, seen, users, options)
  const all: readonly (Image | Base | Doomed)[] = [...seen.images, ...seen.bases, ...seen.doomed]
  const sorted = all.map((template) => ({ template, why: reasons(template) }))
  return {
    oldSlots,
    remove: sorted.filter(({ why }) => why.length === 0).map(({ template }) => removal(template, seen.sizes)),
    keep: sorted
      .filter(({ why }) => why.length > 0)
      .map(({ template: { vmid, name, record }, why }) => ({ what: record.kind, vmid, name, why })),
    seeds: seen.seeds,
  }
}

const removal = ({ vmid, node, name, volume, digest, record }: Image | Base | Doomed, sizes: PruneSeen['sizes']): Removal => {
  const bytes = sizes.get(volume ?? '')
  const { kind: what, fingerprint, built } = record
  return { what, vmid, node, name, fingerprint, built, digest, ...(bytes === undefined ? {} : { bytes }) }
}

/** Of groups that are in the middle of nothing. */
function slotsAtRest(deployment: Deployment): OldSlot[] {
  return Object.entries(deployment.groups).flatMap(([group, { active, slots, rollout }]) => {
    const slot = active === undefined || rollout !== undefined ? undefined : otherSlot(active)
    const release = slot === undefined ? undefined : slots[slot]
    if (slot === undefined || release === undefined) return []
    const { vmid, name } = release.vm
    return [{ group, slot, vmid, name, release: release.id, image: release.image.name }]
  })
}

/** As it will be when these slots are gone. */
function without(users: Users, gone: readonly OldSlot[]): Users {
  const groups = Object.fromEntries(
    Object.entries(users.deployment.groups).map(([group, pins]) => {
      const slots = Object.fromEntries(
        Object.entries(pins.slots).filter(([slot]) => !gone.some((old) => old.group === group && old.slot === slot)),
      )
      return [group, { ...pins, slots }]
    }),
  )
  const isGone = (vmid: number, name: string | undefined): boolean => gone.some((old) => old.vmid === vmid && old.name === name)
  return { ...users, deployment: { schema: 1, groups }, vms: users.vms.filter(({ vmid, config }) => !isGone(vmid, config.name)) }
}

/** Why a template stays; no reason: it goes. */
function keepReasons(
  site: Site,
  { images, doomed }: PruneSeen,
  users: Users,
  { wantedBase, mayBeBaking, all = false }: PruneOptions,
): (template: Image | Base | Doomed) => string[] {
  const own = images.filter(({ record }) => record.site === site.name)
  const sound = own.filter((image) => !image.revoked && image.verification !== 'failed')
  const newestFirst = [...sound].sort((a, b) => (isNewer(a, b) ? -1 : 1))
  const newest = new Set(newestFirst.slice(0, site.image.keep))
  const here = images.filter((image) => elsewhere(site, image) === undefined)
  const chosen = newestFit(site.image, here)
  const last = new Map(
    channels.flatMap((channel) => {
      const image = lastPromoted(own.filter((one) => !one.revoked && one.channel === channel))
      return image === undefined ? [] : [[image, channel] as const]
    }),
  )
  // Of those that have to wait some nights; where people promote, the newest few do.
  const stable = newestFirst.find((image) => image.channel === 'stable' && image.verification === 'passed')
  const waits = (image: Image): boolean =>
    typeof site.nightly.promote === 'object' &&
    sound.includes(image) &&
    image.verification === 'passed' &&
    image.record.refused === undefined &&
    image.channel === 'candidate' &&
    image.record.channel === undefined &&
    (stable === undefined || isNewer(image, stable))
  const ofImage = (image: Image): string[] => [
    ...(newest.has(image) ? [`one of the newest ${site.image.keep}`] : []),
    ...(image === chosen ? ['deployments take it'] : []),
    ...(waits(image) ? ['it waits for its promotion'] : []),
    ...(last.has(image) ? [`the last that came into channel ${last.get(image)}`] : []),
    // It is what tells the next bake, of the same inputs, that they are not to be used.
    ...(own.includes(image) && !sound.includes(image) && !sound.some((one) => isNewer(one, image))
      ? [`it ${image.revoked ? isRevokedText(image) : 'has failed its verification'}, and nothing newer is sound`]
      : []),
  ]
  const ofBase = ({ record, revoked, revokedFor }: Base): string[] => [
    ...(record.fingerprint === wantedBase ? ['bakes begin with it'] : []),
    ...(revoked && record.base.sha256 === site.image.base.sha256 ? [`it ${isRevokedText({ revokedFor })}, and site.ts has it still`] : []),
    ...(mayBeBaking(record.built) ? ['it is so new that a bake may be at it'] : []),
  ]
  return (template) => {
    const isDoomed = doomed.some((one) => one === template)
    return [
      ...(template.record.site === site.name ? [] : [`it is of site ${template.record.site}`]),
      ...(users.away.length === 0 ? [] : [`nobody can tell what was made from it on ${users.away.join(', ')}, which is down`]),
      ...usesOf(template, users).map((use) => `used by ${useText(use)}`),
      ...('protected' in template && template.protected ? ['it is protected in Proxmox'] : []),
      ...(isDoomed || all ? [] : template.record.kind === 'image' ? ofImage(template as Image) : ofBase(template as Base)),
    ]
  }
}

const lastPromoted = (images: readonly Image[]): Image | undefined =>
  images.reduce<Image | undefined>((last, image) => {
    if (last === undefined) return image
    const later = promotedAt(image) - promotedAt(last)
    return later > 0 || (later === 0 && isNewer(image, last)) ? image : last
  }, undefined)

/** Only what is in both: what people have agreed to, and what is still so. */
export function narrowed(plan: PrunePlan, agreed: PrunePlan): PrunePlan {
  const isSame = (a: Removal, b: Removal): boolean => a.vmid === b.vmid && a.fingerprint === b.fingerprint && a.built === b.built
  return {
    ...plan,
    oldSlots: plan.oldSlots.filter(({ release }) => agreed.oldSlots.some((old) => old.release === release)),
    remove: plan.remove.filter((one) => agreed.remove.some((other) => isSame(one, other))),
    seeds: plan.seeds.filter((seed) => agreed.seeds.includes(seed)),
  }
}

export const isNothing = ({ oldSlots, remove, seeds }: PrunePlan): boolean => oldSlots.length + remove.length + seeds.length === 0

/** For people: a line each. */
export function pruneLines(plan: PrunePlan): string[] {
  const { oldSlots, remove, keep, seeds } = plan
  return [
    ...(isNothing(plan) ? ['nothing to remove'] : []),
    ...oldSlots.map(
      ({ group, slot, vmid, name, image }) =>
        `remove slot ${slot} of group ${group}, which rests: VM ${vmid} (${name}) of image ${image}. There is no way back to it then`,
    ),
    ...remove.map(
      ({ what, vmid, name, built, bytes }) =>
        `remove ${what} ${name} (${vmid}) of ${built.slice(0, 10)}${bytes === undefined ? '' : `, a disk of ${sizeText(bytes)}`}`,
    ),
    ...seeds.map((seed) => `remove seed ${seed}, which no slot has`),
    ...keep.map(({ what, vmid, name, why }) => `keep ${what} ${name} (${vmid}): ${why.join('; ')}`),
  ]
}
