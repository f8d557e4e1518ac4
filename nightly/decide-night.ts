/** What the night does next, from what there is: pure. The runner looks, asks this, does one step, and looks again. */
import type { FailureFacts } from '../core/failure.ts'
import { channels, type Channel } from '../settings/names.ts'
import type { NightlySettings } from '../settings/nightly.ts'
import { isWithin, nightsBetween, opensInMs } from './local-time.ts'

export interface NightImage {
  readonly vmid: number
  readonly name: string
  readonly fingerprint: string
  /** ISO 8601. */
  readonly built: string
  readonly verified: { readonly passed: boolean; readonly at: string } | undefined
  readonly channel: Channel | undefined
  /** Somebody has taken it back to `candidate`: it is promoted by nobody but people. */
  readonly demoted: boolean
  readonly revoked: boolean
  /** This site can make VMs of it: its base, its place, its form of seed. */
  readonly usable: boolean
  /** Why nobody is to try it again: a rollout of it was taken back. */
  readonly refused: string | undefined
}

/** A group that is deployed. */
export interface NightGroup {
  readonly group: string
  /** What it runs. */
  readonly image: Pick<NightImage, 'name' | 'vmid' | 'fingerprint'>
  /** Since when it is pinned, ISO 8601. */
  readonly since: string
  /** A rollout that was interrupted, and the image that it was about. */
  readonly unfinished?: Pick<NightImage, 'name' | 'vmid'>
}

export interface NightSeen {
  /** By Proxmox's clock, which the records have their times from. */
  readonly now: Date
  /** What a bake of today's inputs would do, and the image that it would make or has made. */
  readonly inputs:
    | { readonly fingerprint: string; readonly bake: 'bake' | 'finish' | 'unchanged' }
    | { readonly fingerprint: string; readonly bake: 'refused'; readonly refusal: FailureFacts }
  readonly images: readonly NightImage[]
  readonly groups: readonly NightGroup[]
  /** How much of what is there nobody needs. */
  readonly prunable: number
}

export interface NightRules extends Pick<NightlySettings, 'promote' | 'rollout' | 'prune' | 'timeZone'> {
  /** What the site takes its images from. */
  readonly channel: Channel
}

/** Why something was not done, though nothing is wrong. */
export type NightNote =
  | { readonly why: 'promote-later'; readonly image: string; readonly nights: number }
  | { readonly why: 'promote-by-hand'; readonly image: string }
  | { readonly why: 'rollout-by-hand'; readonly image: string; readonly groups: readonly string[] }
  | { readonly why: 'rollout-outside'; readonly image: string; readonly opens: string }
  | { readonly why: 'rollout-refused'; readonly image: string; readonly reason: string }

export type NightStep =
  | { readonly do: 'bake' }
  | { readonly do: 'verify'; readonly image: NightImage }
  | { readonly do: 'promote'; readonly image: NightImage }
  /** `finishes`: goes on with what an earlier run has begun. */
  | {
      readonly do: 'rollout'
      readonly image: Pick<NightImage, 'name' | 'vmid'>
      readonly groups: readonly string[]
      readonly finishes: boolean
    }
  /** `ms`: no longer than that, then it looks again: clocks differ, and are changed; `opens`: when it is thought to be over. */
  | { readonly do: 'wait'; readonly ms: number; readonly opens: Date }
  | { readonly do: 'prune' }
  /** Nothing is left to do. Complaints make it a failed night. */
  | { readonly do: 'end'; readonly notes: readonly NightNote[]; readonly complaints: readonly FailureFacts[] }

/** So long a run waits for the window to open, which began too early for it. */
export const longestWaitMs = 6 * 3_600_000
/** In one go. An hour that a change to summer time leaves out is noticed in time. */
const longestNapMs = 15 * 60_000

/** By when they were baked, to the same moment by VMID. */
const isNewer = (a: Pick<NightImage, 'built' | 'vmid'>, b: Pick<NightImage, 'built' | 'vmid'>): boolean =>
  a.built === b.built ? a.vmid > b.vmid : Date.parse(a.built) > Date.parse(b.built)

const newest = (images: readonly NightImage[]): NightImage | undefined =>
  images.reduce<NightImage | undefined>((best, image) => (best === undefined || isNewer(image, best) ? image : best), undefined)

/** May be given to people by itself. */
const isSound = (image: NightImage): boolean => image.usable && !image.revoked && image.verified?.passed === true

/** What of a step tells it from others: each is done once a night, whatever comes of it. A wait may come again. */
export function keyOf(step: NightStep): string {
  switch (step.do) {
    case 'verify':
    case 'promote':
      return `${step.do} ${step.image.vmid}`
    case 'rollout':
      return `${step.finishes ? 'finish' : 'rollout'} ${step.image.vmid}`
    default:
      return step.do
  }
}

const isToDo = (step: NightStep, done: ReadonlySet<string>): boolean => step.do === 'wait' || !done.has(keyOf(step))

/** @param done keys of the steps that this night has done */
export function decideNight(rules: NightRules, seen: NightSeen, done: ReadonlySet<string>): NightStep {
  // Service may hang between two slots.
  const finishing = rules.rollout === 'by-hand' ? undefined : finishStep(seen.groups)
  if (finishing !== undefined && !done.has(keyOf(finishing))) return finishing

  const made = imageOfInputs(seen, done)
  if ('do' in made) return made.do === 'end' ? (awayFromRevoked(rules, seen, done) ?? made) : made

  const due = dueForPromotion(rules, seen)
  if (due !== undefined) {
    const step: NightStep = { do: 'promote', image: due }
    return done.has(keyOf(step)) ? end([], [noEffect('promote', due.name)]) : step
  }
  const rollout = rolloutStep(rules, seen)
  if (rollout !== undefined && 'do' in rollout) {
    if (isToDo(rollout, done)) return rollout
    return end([], [noEffect('rollout', 'image' in rollout ? rollout.image.name : '')])
  }
  if (rules.prune && seen.prunable > 0 && !done.has('prune')) return { do: 'prune' }
  return end([...promotionNotes(rules, seen), ...(rollout === undefined ? [] : [rollout])], revokedThatRun(seen))
}

/** What runs and is revoked goes to the newest image that fits, though nothing can be made of today's inputs. */
function awayFromRevoked(rules: NightRules, seen: NightSeen, done: ReadonlySet<string>): NightStep | undefined {
  const groups = seen.groups.filter(({ image }) => runningOf(image, seen.images)?.revoked === true)
  const step = rolloutStep(rules, { ...seen, groups })
  return step !== undefined && 'do' in step && isToDo(step, done) ? step : undefined
}

const end = (notes: readonly NightNote[], complaints: readonly FailureFacts[]): NightStep => ({ do: 'end', notes, complaints })

const noEffect = (verb: string, image: string): FailureFacts => ({
  code: 'no-progress',
  message: `${verb} of image ${image} ended well, and all is as before`,
  hint: 'See "npx golden images" and "npx golden status", and what else changes them.',
})

function finishStep(groups: readonly NightGroup[]): NightStep | undefined {
  const [first] = groups.flatMap(({ unfinished }) => unfinished ?? [])
  if (first === undefined) return undefined
  return {
    do: 'rollout',
    image: first,
    groups: groups.filter(({ unfinished }) => unfinished?.vmid === first.vmid).map(({ group }) => group),
    finishes: true,
  }
}

const notVerified = (image: string, at: string): FailureFacts => ({
  code: 'image-not-verified',
  message: `image ${image}, the newest one, has not passed its verification of ${at.slice(0, 10)}: nothing is promoted or rolled out`,
  hint: `Look at what failed, then "npx golden verify ${image}"; or change what goes into it.`,
})

/** The verified image of today's inputs, or what has to happen before there is one. */
function imageOfInputs({ inputs, images, groups }: NightSeen, done: ReadonlySet<string>): NightImage | NightStep {
  const complaints = revokedThatRun({ images, groups })
  if (inputs.bake === 'refused') return end([], [inputs.refusal, ...complaints])
  const image = newest(images.filter(({ fingerprint, usable }) => usable && fingerprint === inputs.fingerprint))
  if (inputs.bake !== 'unchanged' || image === undefined)
    return done.has('bake') ? end([], [noEffect('bake', inputs.fingerprint.slice(0, 12))]) : { do: 'bake' }
  if (image.verified === undefined) {
    const step: NightStep = { do: 'verify', image }
    return done.has(keyOf(step)) ? end([], [noEffect('verify', image.name)]) : step
  }
  if (!image.verified.passed) return end([], [notVerified(image.name, image.verified.at), ...complaints])
  return image
}

/** Of those whose time has come the newest, if it is newer than what is in `stable`. */
function dueForPromotion(rules: NightRules, seen: NightSeen): NightImage | undefined {
  const { promote } = rules
  if (promote === 'by-hand') return undefined
  return newest(waitingForPromotion(seen).filter((image) => nightsLeft(rules, image, seen.now) === 0))
}

function waitingForPromotion({ images }: NightSeen): NightImage[] {
  const best = newest(images.filter((image) => image.channel === 'stable' && isSound(image)))
  return images.filter(
    (image) =>
      isSound(image) &&
      image.refused === undefined &&
      image.channel === 'candidate' &&
      !image.demoted &&
      (best === undefined || isNewer(image, best)),
  )
}

function nightsLeft({ promote, timeZone }: NightRules, image: NightImage, now: Date): number {
  if (typeof promote !== 'object' || image.verified === undefined) return 0
  return Math.max(0, promote.afterNights - nightsBetween(new Date(image.verified.at), now, timeZone))
}

/** What is deployed gets the newest image that fits. Nobody is put back to an older one, but from a revoked one. */
function rolloutStep(rules: NightRules, seen: NightSeen): NightStep | NightNote | undefined {
  const wanted = channels.indexOf(rules.channel)
  const fits = seen.images.filter((image) => isSound(image) && image.channel !== undefined && channels.indexOf(image.channel) >= wanted)
  const target = newest(fits.filter(({ refused }) => refused === undefined))
  const groups = target === undefined ? [] : seen.groups.filter((group) => needs(group, target, seen.images)).map(({ group }) => group)
  if (target === undefined || groups.length === 0) {
    const first = newest(fits)
    return first?.refused === undefined || seen.groups.length === 0
      ? undefined
      : { why: 'rollout-refused', image: first.name, reason: first.refused }
  }
  if (rules.rollout === 'by-hand') return { why: 'rollout-by-hand', image: target.name, groups }
  if (rules.rollout !== 'at-once' && !isWithin(rules.rollout, seen.now, rules.timeZone)) {
    const ms = opensInMs(rules.rollout, seen.now, rules.timeZone)
    const opens = new Date(seen.now.getTime() + ms)
    if (ms <= longestWaitMs) return { do: 'wait', ms: Math.min(ms, longestNapMs), opens }
    return { why: 'rollout-outside', image: target.name, opens: opens.toISOString() }
  }
  return { do: 'rollout', image: target, groups, finishes: false }
}

function needs({ image, since }: NightGroup, target: NightImage, images: readonly NightImage[]): boolean {
  if (image.vmid === target.vmid && image.fingerprint === target.fingerprint) return false
  const now = runningOf(image, images)
  // Of one that is gone nobody knows its age: it was there when it was pinned.
  if (now === undefined) return Date.parse(target.built) > Date.parse(since)
  return now.revoked || isNewer(target, now)
}

const runningOf = (image: NightGroup['image'], images: readonly NightImage[]): NightImage | undefined =>
  images.find(({ vmid, fingerprint }) => vmid === image.vmid && fingerprint === image.fingerprint)

function promotionNotes(rules: NightRules, seen: NightSeen): NightNote[] {
  const image = newest(waitingForPromotion(seen))
  if (image === undefined) return []
  if (rules.promote === 'by-hand') return [{ why: 'promote-by-hand', image: image.name }]
  const nights = nightsLeft(rules, image, seen.now)
  return nights === 0 ? [] : [{ why: 'promote-later', image: image.name, nights }]
}

/** What must not go on like that, whether or not this night could do something about it. */
function revokedThatRun({ groups, images }: Pick<NightSeen, 'groups' | 'images'>): FailureFacts[] {
  return groups.flatMap(({ group, image }): FailureFacts[] => {
    if (runningOf(image, images)?.revoked !== true) return []
    return [
      {
        code: 'image-revoked',
        message: `group ${group} runs image ${image.name}, which is revoked`,
        hint: `"npx golden rollout ${group}" once there is a newer one; see "npx golden images".`,
      },
    ]
  })
}
