/** The night as decisions: from any state, killed at any boundary, run again. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../core/failure.ts'
import { decideNight, type NightRules } from '../../nightly/decide-night.ts'
import { exitCodes } from '../../nightly/night.ts'
import { fingerprintOf, groupOf, imageOf, lookAt, quiet, stateOf, tryNight, type World } from './night-world.ts'

const rules: NightRules = { promote: 'at-once', rollout: 'at-once', prune: true, timeZone: 'UTC', channel: 'stable' }
const passed = (day: number) => ({ passed: true, at: new Date(Date.UTC(2026, 10, day, 3)).toISOString() })
const worldWith = (change: Partial<World>): World => structuredClone({ ...quiet, ...change })
const nothingNew = (): World =>
  worldWith({ images: [imageOf(1, { verified: passed(20), channel: 'stable' })], groups: [groupOf('serena', 1), groupOf('logging', 1)] })

describe('a night', () => {
  it('with nothing new looks at the lock, and does nothing else', async () => {
    const world = nothingNew()
    const { record, deeds } = await tryNight(world, rules)
    expect(record).toMatchObject({ outcome: 'nothing', steps: [{ step: 'lock', ok: true }], news: [], complaints: [], failure: null })
    expect(deeds).toEqual([])
    expect(world).toEqual(nothingNew())
  })

  it('with something new goes all the way', async () => {
    const world = { ...nothingNew(), upstream: 2, rubbish: 3 }
    const { record, deeds } = await tryNight(world, rules)
    expect(deeds).toEqual(['bake', 'verify image-2', 'promote image-2', 'rollout image-2', 'prune'])
    expect(record).toMatchObject({
      outcome: 'new',
      news: [{ what: 'package', name: 'openssl', from: '1', to: '2' }],
      baked: { name: 'image-2' },
      verified: { passed: true },
      rolledOut: [{ group: 'serena', from: 'image-1', to: 'image-2' }, { group: 'logging' }],
      removed: [{ name: 'old' }],
      delivered: { to: 'commit' },
    })
    expect(record?.steps.map(({ step }) => step)).toEqual(['lock', 'bake', 'verify', 'promote', 'rollout', 'prune', 'deliver'])
    const again = await tryNight(world, rules)
    expect(again).toMatchObject({ deeds: [], record: { outcome: 'nothing' } })
  })

  it('ends with what a verification finds, and says so every night until something else goes in', async () => {
    const world = { ...nothingNew(), upstream: 2, ill: [2], rubbish: 1 }
    const first = await tryNight(world, rules)
    expect(first.deeds).toEqual(['bake', 'verify image-2'])
    expect(first.record).toMatchObject({ outcome: 'failed', complaints: [{ code: 'image-not-verified' }], delivered: null })
    expect(await tryNight(world, rules)).toMatchObject({ deeds: [], record: { outcome: 'failed' } })
    world.upstream = 3
    expect((await tryNight(world, rules)).record).toMatchObject({ outcome: 'new', rolledOut: [{ to: 'image-3' }, { to: 'image-3' }] })
  })

  it('does not try an image again whose rollout was taken back, and hands its lock on', async () => {
    const world = { ...nothingNew(), upstream: 2, dead: [2] }
    const first = await tryNight(world, rules)
    expect(first.record).toMatchObject({
      outcome: 'failed',
      failure: { code: 'rollout-failed' },
      refused: { image: { name: 'image-2' }, reason: 'image-2 does not serve' },
      delivered: { to: 'commit' },
    })
    const second = await tryNight(world, rules)
    expect(second).toMatchObject({ deeds: [], record: { outcome: 'nothing', notes: [{ why: 'rollout-refused', image: 'image-2' }] } })
    expect(world.groups.map(({ image }) => image.name)).toEqual(['image-1', 'image-1'])
  })

  it('shouts when a revoked image runs', async () => {
    const world = nothingNew()
    world.images.push(imageOf(0, { verified: passed(10), channel: 'stable', revoked: true }))
    world.groups = [groupOf('serena', 0)]
    expect((await tryNight(world, { ...rules, rollout: 'by-hand' })).record).toMatchObject({
      outcome: 'failed',
      complaints: [{ code: 'image-revoked', message: 'group serena runs image image-0, which is revoked' }],
      notes: [{ why: 'rollout-by-hand', image: 'image-1', groups: ['serena'] }],
    })
    expect((await tryNight(world, rules)).record).toMatchObject({ outcome: 'new', complaints: [] })
  })

  it('leaves a revoked image though nothing can be made of what goes in, and says so once it has', async () => {
    const world = nothingNew()
    world.images.push(imageOf(2, { verified: passed(21), channel: 'stable', revoked: true }))
    Object.assign(world, { locked: 2, upstream: 2, groups: [groupOf('serena', 2), groupOf('logging', 1)] })
    const first = await tryNight(world, rules)
    expect(first.deeds).toEqual(['rollout image-1'])
    expect(first.record).toMatchObject({
      rolledOut: [{ group: 'serena', to: 'image-1' }],
      complaints: [{ code: 'image-revoked', message: 'it is revoked' }],
    })
    expect(await tryNight(world, rules)).toMatchObject({
      deeds: [],
      record: { outcome: 'failed', complaints: [{ message: 'it is revoked' }] },
    })
    world.groups = [groupOf('serena', 2)]
    expect((await tryNight(world, { ...rules, rollout: 'by-hand' })).record?.complaints).toHaveLength(2)
  })

  it('is stopped by whoever stops it, and hands nothing on', async () => {
    const abort = new AbortController()
    abort.abort(new Failure('cancelled', 'stopped by you', 'Run it again.'))
    const world = { ...nothingNew(), upstream: 2 }
    const { record } = await tryNight(world, rules, undefined, abort.signal)
    expect(record).toMatchObject({ outcome: 'stopped', failure: { code: 'cancelled' }, delivered: null, survey: null })
    expect(exitCodes[record?.outcome ?? 'failed']).toBe(130)
  })
})

describe('the rule of promotion', () => {
  const waiting = (): World => ({
    ...nothingNew(),
    images: [...nothingNew().images, imageOf(2, { verified: passed(27) })],
    locked: 2,
    upstream: 2,
  })
  it.each<[string, NightRules['promote'], string | undefined, unknown]>([
    ['at once', 'at-once', 'image-2', []],
    ['by hand', 'by-hand', undefined, [{ why: 'promote-by-hand', image: 'image-2' }]],
    ['after two nights', { afterNights: 2 }, 'image-2', []],
    ['after three nights', { afterNights: 3 }, undefined, [{ why: 'promote-later', image: 'image-2', nights: 1 }]],
  ])('%s', async (_, promote, promoted, notes) => {
    const { record } = await tryNight(waiting(), { ...rules, promote, rollout: 'by-hand' })
    expect(record?.promoted.map(({ name }) => name)).toEqual(promoted === undefined ? [] : [promoted])
    expect(record?.notes.filter(({ why }) => why !== 'rollout-by-hand')).toEqual(notes)
  })

  it.each<[string, Partial<ReturnType<typeof imageOf>>]>([
    ['somebody has taken back', { demoted: true }],
    ['has no channel', { channel: undefined }],
  ])('does not hold for what %s', async (_, change) => {
    const world = waiting()
    Object.assign(world.images[1]!, change)
    const { record, deeds } = await tryNight(world, rules)
    expect(deeds).toEqual([])
    expect(record).toMatchObject({ outcome: 'nothing', notes: [] })
    expect((await tryNight(world, { ...rules, promote: { afterNights: 1 } })).record?.promoted).toEqual([])
  })

  it('goes on while a newer image comes every night', async () => {
    const world = { ...nothingNew(), delivered: 0 }
    for (let day = 0; day < 4; day++) {
      world.upstream++
      await tryNight(world, { ...rules, promote: { afterNights: 2 } })
      world.now += 86_400_000
    }
    expect(world.images.map(({ channel }) => channel)).toEqual(['stable', 'stable', 'stable', 'candidate', 'candidate'])
    expect(world.groups[0]?.image.name).toBe('image-3')
  })
})

/** The second one is wanted, and waits. */
const nightImages = () =>
  [1, 2].map((version) => imageOf(version, { fingerprint: fingerprintOf(1), verified: passed(20 + version), channel: 'stable' }))

describe('the window of rollouts', () => {
  const at = (clock: string): World => ({ ...nothingNew(), upstream: 2, now: Date.parse(`2026-11-29T${clock}:00Z`) })
  it.each<[string, string, readonly string[]]>([
    ['02:30', 'open', ['rollout image-2']],
    ['01:00', 'opens soon', ['wait', 'rollout image-2']],
    ['05:00', 'has just closed', []],
  ])('at %s: %s', async (clock, _, deeds) => {
    const { record, deeds: done } = await tryNight(at(clock), { ...rules, rollout: { from: '02:00', to: '05:00' } })
    // It looks again while it waits, and tells of one wait.
    expect(done.filter((deed, at) => /rollout|wait/.test(deed) && deed !== done[at - 1])).toEqual(deeds)
    expect(record?.steps.filter(({ step }) => step === 'wait')).toHaveLength(deeds.length === 2 ? 1 : 0)
    if (deeds.length === 0) expect(record?.notes).toEqual([{ why: 'rollout-outside', image: 'image-2', opens: '2026-11-30T02:00:00.000Z' }])
  })

  it.each([3000, -3000, 59_000])('is waited for by Proxmox, whose clock is %d ms behind', async (behind) => {
    const world = { ...at('01:00'), behind }
    const { record } = await tryNight(world, { ...rules, rollout: { from: '02:00', to: '05:00' } })
    expect(record).toMatchObject({ outcome: 'new', complaints: [], rolledOut: [{ to: 'image-2' }, { to: 'image-2' }] })
    expect(world.now - behind).toBeGreaterThanOrEqual(Date.UTC(2026, 10, 29, 2))
  })

  it('is not missed in the night in which its first half hour is left out', async () => {
    const berlin = { ...rules, timeZone: 'Europe/Berlin', rollout: { from: '02:30', to: '03:30' } }
    const seen = { ...lookAt(nothingNew()), images: nightImages() }
    // 01:30 in Berlin; half an hour later it is 03:00.
    let now = Date.UTC(2026, 2, 29, 0, 30)
    for (let looks = 0; looks < 10; looks++) {
      const step = decideNight(berlin, { ...seen, now: new Date(now) }, new Set())
      if (step.do !== 'wait') {
        expect(step).toMatchObject({ do: 'rollout', image: { name: 'image-2' } })
        return
      }
      now += step.ms
    }
    expect.fail('it waits for ever')
  })

  it('holds no one up who has to finish', async () => {
    const world = at('12:00')
    world.upstream = 1
    world.groups[0]!.unfinished = { vmid: 9001, name: 'image-1' }
    expect((await tryNight(world, { ...rules, rollout: { from: '02:00', to: '05:00' } })).deeds).toEqual(['rollout image-1'])
  })
})

it('what runs is never put back to an older image, but from a revoked one', () => {
  const seen = lookAt({
    ...nothingNew(),
    images: [imageOf(1, { verified: passed(20), channel: 'stable' }), imageOf(2, { verified: passed(21), channel: 'candidate' })],
    locked: 2,
    groups: [groupOf('serena', 2)],
  })
  const hold = { ...rules, promote: 'by-hand' } as const
  expect(decideNight(hold, seen, new Set())).toMatchObject({ do: 'end' })
  const revoked = { ...seen, images: seen.images.map((image) => (image.vmid === 9002 ? { ...image, revoked: true } : image)) }
  const inputs = { fingerprint: fingerprintOf(1), bake: 'unchanged' } as const
  expect(decideNight(hold, { ...revoked, inputs }, new Set())).toMatchObject({ do: 'rollout', image: { name: 'image-1' } })
  // One that nobody knows any more is as old as its pin.
  const gone = { ...seen, images: seen.images.slice(0, 1), inputs }
  expect(decideNight(hold, gone, new Set())).toMatchObject({ do: 'end' })
})

const anyRules: fc.Arbitrary<NightRules> = fc.record({
  promote: fc.oneof(fc.constantFrom('at-once' as const, 'by-hand' as const), fc.record({ afterNights: fc.integer({ min: 1, max: 3 }) })),
  rollout: fc.constantFrom('by-hand' as const, 'at-once' as const, { from: '02:00', to: '05:00' }, { from: '22:00', to: '01:00' }),
  prune: fc.boolean(),
  timeZone: fc.constantFrom('UTC', 'Asia/Tokyo', 'America/St_Johns'),
  channel: fc.constantFrom('candidate' as const, 'stable' as const),
})

const anyWorld: fc.Arbitrary<World> = fc
  .record({
    now: fc.integer({ min: 0, max: 23 * 60 + 59 }).map((minute) => Date.UTC(2026, 10, 29, 0, minute)),
    upstream: fc.constantFrom(4, 5),
    halfBaked: fc.constantFrom(undefined, 'f5'),
    rubbish: fc.constantFrom(0, 2),
    ill: fc.constantFrom<number[]>([], [5]),
    dead: fc.subarray([3, 4, 5]),
    images: fc.tuple(
      ...[1, 2, 3, 4].map((version) =>
        fc
          .option(
            fc.record({
              verified: fc.constantFrom(undefined, passed(26), passed(28), { ...passed(28), passed: false }),
              channel: fc.constantFrom('candidate' as const, 'stable' as const, undefined),
              revoked: fc.boolean(),
              usable: fc.constantFrom(true, true, true, false),
              refused: fc.constantFrom(undefined, undefined, 'it was taken back'),
            }),
          )
          .map((change) => (change === null ? [] : [imageOf(version, change)])),
      ),
    ),
    running: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 2 }),
    unfinished: fc.constantFrom(undefined, undefined, undefined, 3),
  })
  .map(({ images, running, unfinished, ...world }) => ({
    ...quiet,
    ...world,
    locked: 4,
    delivered: 4,
    takenBack: [],
    baked: {},
    images: images.flat(),
    groups: running.map((version, index) => ({
      ...groupOf(`group-${index}`, version),
      ...(unfinished === undefined ? {} : { unfinished: { vmid: 9000 + unfinished, name: `image-${unfinished}` } }),
    })),
  }))

describe('from any state', () => {
  it('it ends, and has nothing to do when it is run again', async () => {
    await fc.assert(
      fc.asyncProperty(anyRules, anyWorld, async (anyRule, start) => {
        const world = structuredClone(start)
        // A rollout that is taken back ends a night; there are three images that do not serve, and one of them may be on its
        // way in both groups.
        let nights = 1
        while ((await tryNight(world, anyRule)).record?.failure != null) expect(nights++).toBeLessThan(5)
        for (const count of Object.values(world.baked)) expect(count).toBe(1)
        const before = stateOf(world)
        const again = await tryNight(world, anyRule)
        expect(again.deeds).toEqual([])
        expect(again.record?.outcome).toBe(again.record?.complaints.length === 0 ? 'nothing' : 'failed')
        expect(stateOf(world)).toEqual(before)
      }),
      { numRuns: 200 },
    )
  })

  it.each(['kill', 'fail'] as const)('a night that meets a %s at any boundary is made good by the next one', async (how) => {
    await fc.assert(
      fc.asyncProperty(anyRules, anyWorld, fc.nat({ max: 24 }), async (anyRule, start, at) => {
        const settle = async (world: World): Promise<void> => {
          for (let nights = 0; nights < 6; nights++) await tryNight(world, anyRule)
        }
        const whole = structuredClone(start)
        await settle(whole)
        const cut = structuredClone(start)
        const tried = await tryNight(cut, anyRule, { at, how })
        if (tried.passed > at) {
          if (how === 'kill') expect(tried.record).toBe(undefined)
          else expect(tried.record?.outcome).toBe('failed')
        }
        await settle(cut)
        for (const count of Object.values(cut.baked)) expect(count).toBe(1)
        expect(stateOf(cut)).toEqual(stateOf(whole))
      }),
      { numRuns: 200 },
    )
  })
})
