/** A model of what nightly works on: a lock, images, what is deployed. Its steps can be killed or made to fail at any of their boundaries. */
import { Failure } from '../../core/failure.ts'
import { silent } from '../../core/progress.ts'
import { channels } from '../../settings/names.ts'
import { isWithin } from '../../nightly/local-time.ts'
import type { NightGroup, NightImage, NightRules, NightSeen } from '../../nightly/decide-night.ts'
import { runNight, type ImageName, type NightRecord, type NightSteps, type Survey } from '../../nightly/night.ts'

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

export interface World {
  /** By this computer's clock. */
  now: number
  /** So many milliseconds Proxmox's is behind. */
  behind: number
  /** Which version of the inputs there is in the world, and which one is locked. */
  upstream: number
  locked: number
  /** A template of that fingerprint that was never finished. */
  halfBaked: string | undefined
  images: Mutable<NightImage>[]
  groups: Mutable<NightGroup>[]
  /** Images of which a rollout was taken back, as the site folder remembers. */
  takenBack: string[]
  rubbish: number
  /** The lock that was handed on. */
  delivered: number
  /** Versions whose images do not pass their verification, or do not serve. */
  ill: readonly number[]
  dead: readonly number[]
  /** Images that were made of each version. */
  baked: Record<number, number>
}

export const fingerprintOf = (version: number): string => `f${version}`
export const versionOf = ({ fingerprint }: Pick<NightImage, 'fingerprint'>): number => Number(fingerprint.slice(1))
const builtOf = (version: number): string => new Date(Date.UTC(2026, 10, 1 + version)).toISOString()

export const imageOf = (version: number, change: Partial<NightImage> = {}): Mutable<NightImage> => ({
  vmid: 9000 + version,
  name: `image-${version}`,
  fingerprint: fingerprintOf(version),
  built: builtOf(version),
  verified: undefined,
  channel: 'candidate',
  demoted: false,
  revoked: false,
  usable: true,
  refused: undefined,
  ...change,
})

export const groupOf = (group: string, version: number): NightGroup => ({
  group,
  image: { vmid: 9000 + version, name: `image-${version}`, fingerprint: fingerprintOf(version) },
  since: builtOf(version),
})

export const quiet: World = {
  now: Date.UTC(2026, 10, 29, 2, 30),
  behind: 0,
  upstream: 1,
  locked: 1,
  halfBaked: undefined,
  images: [],
  groups: [],
  takenBack: [],
  rubbish: 0,
  delivered: 1,
  ill: [],
  dead: [],
  baked: {},
}

export const noSurvey: Survey = { differences: null, certificates: [], images: [], storage: null, warnings: [] }

const never = async (): Promise<never> => {
  throw new Error('never')
}

/** A night in which all is as it should be; whatever it would do is a mistake. */
export const uneventful: NightSteps = {
  ready: async () => {},
  lock: async () => [],
  look: async () =>
    lookAt({ ...quiet, images: [imageOf(1, { verified: { passed: true, at: '2026-11-20T00:00:00Z' }, channel: 'stable' })] }),
  bake: never,
  verify: never,
  promote: never,
  rollout: never,
  refuse: never,
  prune: never,
  deliver: async () => undefined,
  survey: async () => noSurvey,
}

export function lookAt(world: World): NightSeen {
  const fingerprint = fingerprintOf(world.locked)
  const made = world.images.find((image) => image.usable && image.fingerprint === fingerprint)
  return {
    now: new Date(world.now - world.behind),
    inputs:
      made?.revoked === true
        ? { fingerprint, bake: 'refused', refusal: { code: 'image-revoked', message: 'it is revoked', hint: 'Change the inputs.' } }
        : { fingerprint, bake: made !== undefined ? 'unchanged' : world.halfBaked === fingerprint ? 'finish' : 'bake' },
    images: world.images.map((image) => ({
      ...image,
      refused: image.refused ?? (world.takenBack.includes(image.name) ? 'it was taken back' : undefined),
    })),
    groups: structuredClone(world.groups),
    prunable: world.rubbish,
  }
}

export interface Hindrance {
  /** The first boundary is 0. */
  readonly at: number
  readonly how: 'kill' | 'fail'
}

export interface Tried {
  /** Undefined: it was killed. */
  readonly record: NightRecord | undefined
  /** Boundaries that were passed. */
  readonly passed: number
  /** What was done, in order. */
  readonly deeds: readonly string[]
}

/** Runs a night in the world. What must never happen throws. */
export async function tryNight(
  world: World,
  rules: NightRules,
  hindrance?: Hindrance,
  signal = new AbortController().signal,
): Promise<Tried> {
  const killed = Promise.withResolvers<undefined>()
  const deeds: string[] = []
  let passed = 0
  const boundary = async (): Promise<void> => {
    if (hindrance?.at !== passed++) return
    if (hindrance.how === 'fail') throw new Failure('proxmox-unreachable', 'Proxmox is down', 'Start it.')
    killed.resolve(undefined)
    await new Promise(() => {})
  }
  const mustBe = (isTrue: boolean, what: string): void => {
    if (!isTrue) throw new Error(`never: ${what}`)
  }
  const imageAt = ({ vmid }: ImageName): Mutable<NightImage> => {
    const found = world.images.find((image) => image.vmid === vmid)
    if (found === undefined) throw new Error(`there is no image ${vmid}`)
    return found
  }
  const mustBeSound = (image: NightImage, verb: string): void => {
    mustBe(!image.revoked, `${verb} a revoked image`)
    mustBe(image.verified?.passed === true, `${verb} an image that is not verified`)
    mustBe(image.usable, `${verb} an image that is of no use here`)
  }
  const steps: NightSteps = {
    ready: boundary,
    async lock() {
      await boundary()
      const from = world.locked
      world.locked = world.upstream
      await boundary()
      return from === world.upstream ? [] : [{ what: 'package', name: 'openssl', from: String(from), to: String(world.upstream) }]
    },
    look: async () => lookAt(world),
    async bake() {
      deeds.push('bake')
      const fingerprint = fingerprintOf(world.locked)
      mustBe(!world.images.some((image) => image.usable && image.fingerprint === fingerprint), 'bake what is there')
      await boundary()
      world.halfBaked = fingerprint
      await boundary()
      world.halfBaked = undefined
      const image = imageOf(world.locked, { vmid: 9100 + world.locked })
      world.images.push(image)
      world.baked[world.locked] = (world.baked[world.locked] ?? 0) + 1
      await boundary()
      return { vmid: image.vmid, name: image.name }
    },
    async verify(image) {
      deeds.push(`verify ${image.name}`)
      mustBe(image.verified === undefined, 'verify again by itself')
      await boundary()
      const isPassed = !world.ill.includes(versionOf(image))
      imageAt(image).verified = { passed: isPassed, at: new Date(world.now).toISOString() }
      await boundary()
      return { passed: isPassed, checks: [{ name: 'boots', ok: isPassed }] }
    },
    async promote(image) {
      deeds.push(`promote ${image.name}`)
      mustBeSound(image, 'promote')
      mustBe(image.refused === undefined, 'promote what was taken back')
      mustBe(rules.promote !== 'by-hand', 'promote what people want to do themselves')
      await boundary()
      imageAt(image).channel = 'stable'
      await boundary()
    },
    async rollout({ vmid, name }, names) {
      deeds.push(`rollout ${name}`)
      mustBe(rules.rollout !== 'by-hand', 'roll out what people want to do themselves')
      const image = lookAt(world).images.find((one) => one.vmid === vmid)
      const finishes = world.groups.some(({ unfinished }) => unfinished !== undefined)
      if (!finishes) {
        if (image === undefined) throw new Error('never: roll out an image that is not there')
        mustBeSound(image, 'roll out')
        mustBe(image.refused === undefined, 'try an image again')
        mustBe(channels.indexOf(image.channel ?? 'candidate') >= channels.indexOf(rules.channel), 'roll out what is not promoted')
        mustBe(typeof rules.rollout !== 'object' || isWithin(rules.rollout, lookAt(world).now, rules.timeZone), 'roll out by day')
      }
      const done = []
      for (const group of world.groups.filter((one) => names.includes(one.group))) {
        await boundary()
        group.unfinished = { vmid, name }
        await boundary()
        delete group.unfinished
        if (world.dead.includes(versionOf({ fingerprint: image?.fingerprint ?? '' }))) {
          world.takenBack.push(name)
          await boundary()
          throw new Failure('rollout-failed', `${name} does not serve`, 'See why.')
        }
        const from = group.image.name
        if (image !== undefined) group.image = { vmid, name, fingerprint: image.fingerprint }
        done.push({ group: group.group, from, to: name, ms: 1 })
        await boundary()
      }
      return done
    },
    async refuse(image, reason) {
      await boundary()
      imageAt(image).refused = reason
    },
    async prune() {
      deeds.push('prune')
      await boundary()
      const removed = [{ what: 'image', name: 'old', bytes: world.rubbish }]
      world.rubbish = 0
      await boundary()
      return removed
    },
    async deliver() {
      await boundary()
      if (world.delivered === world.locked) return undefined
      mustBe(
        world.images.some((image) => image.fingerprint === fingerprintOf(world.locked) && image.verified?.passed === true),
        'hand on a lock whose image is not verified',
      )
      world.delivered = world.locked
      await boundary()
      return { to: 'commit', branch: 'main', commit: 'abc', pushed: false }
    },
    survey: async () => noSurvey,
  }
  const clock = {
    now: () => new Date(world.now),
    elapsed: () => 0,
    until: async (time: Date) => {
      deeds.push('wait')
      await boundary()
      world.now = Math.max(world.now, time.getTime())
    },
  }
  const night = runNight(steps, { site: 'home', by: 'me@here', rules, clock, progress: silent, signal })
  const record = await Promise.race([night, killed.promise])
  if (record?.failure?.code === 'bug') throw new Error(record.failure.message)
  return { record, passed, deeds }
}

/** The marks do not count that only tell the same a second time. */
export const stateOf = (world: World): unknown => {
  const { images, groups } = lookAt(world)
  return {
    images: images.map(({ refused, ...image }) => ({ ...image, refused: refused !== undefined })),
    groups,
    locked: world.locked,
    delivered: world.delivered,
    rubbish: world.rubbish,
    halfBaked: world.halfBaked,
    baked: world.baked,
  }
}
