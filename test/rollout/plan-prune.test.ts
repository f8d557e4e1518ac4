/** What `prune` may take, and never does. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Image } from '../../images/catalog.ts'
import { newestFit } from '../../images/channels.ts'
import { promotedAt } from '../../images/promote.ts'
import type { VmConfig } from '../../proxmox/vm.ts'
import { newRelease, type Deployment, type GroupPins, type Release } from '../../releases/deployment.ts'
import { slotNotes } from '../../releases/slot-notes.ts'
import { straySeeds } from '../../releases/seed.ts'
import { seedTag } from '../../releases/given.ts'
import { narrowed, planPrune, pruneLines, type PruneOptions, type PruneSeen } from '../../rollout/plan-prune.ts'
import { usesOf, type Users } from '../../rollout/image-uses.ts'
import { describeImages, imageLines, type Trust } from '../../rollout/list-images.ts'
import type { SlotName } from '../../settings/site.ts'
import { aBase, anImage, newestFirst } from '../images/any-image.ts'
import { exampleSite, hash } from '../images/example.ts'

const site = exampleSite()
const options: PruneOptions = { wantedBase: aBase(9000).record.fingerprint, mayBeBaking: () => false, oldSlots: false }
const nobody: Users = { deployment: { schema: 1, groups: {} }, vms: [], away: [] }
const seenOf = (change: Partial<PruneSeen>): PruneSeen => ({
  images: [],
  bases: [],
  doomed: [],
  users: nobody,
  seeds: [],
  sizes: new Map(),
  ...change,
})

const releaseOf = (slot: SlotName, image: Image): Release =>
  newRelease(site, 'serena', slot, {
    id: slot === 'blue' ? 'b'.repeat(12) : 'a'.repeat(12),
    created: new Date(0),
    image: { vmid: image.vmid, name: image.name, fingerprint: image.record.fingerprint },
  })
const pinsOf = (slots: Partial<Record<SlotName, Image>>, active: SlotName | undefined): GroupPins => {
  const releases = Object.fromEntries(
    Object.entries(slots).flatMap(([slot, image]) => (image === undefined ? [] : [[slot, releaseOf(slot as SlotName, image)]])),
  ) as GroupPins['slots']
  return active === undefined || releases[active] === undefined ? { slots: {} } : { active, slots: releases }
}
const pinned = (pins: GroupPins): Deployment => ({ schema: 1, groups: { serena: pins } })
const vm = (vmid: number, config: VmConfig) => ({ vmid, node: 'pve', config: { name: `vm-${vmid}`, ...config } })

const hour = (count: number): string => new Date(Date.UTC(2026, 10, 1) + count * 3_600_000).toISOString()
const anyImage = (vmid: number) =>
  fc
    .record({
      built: fc.integer({ min: 0, max: 30 }),
      channel: fc.constantFrom(undefined, 'candidate' as const, 'stable' as const),
      promoted: fc.option(fc.integer({ min: 0, max: 30 }), { nil: undefined }),
      verification: fc.constantFrom('none' as const, 'passed' as const, 'failed' as const),
      revoked: fc.boolean(),
      protected: fc.constantFrom(false, false, false, true),
      site: fc.constantFrom('home', 'home', 'home', 'office'),
    })
    .map(({ built, promoted, site: of, protected: isProtected, ...more }) =>
      anImage(vmid, {
        ...more,
        ...(isProtected ? { protected: true as const } : {}),
        record: {
          site: of,
          built: hour(built),
          ...(promoted === undefined || more.channel === undefined
            ? {}
            : { channel: { name: more.channel, at: hour(promoted), by: 'ann@desk' } }),
        },
      }),
    )

const anySeen = fc.integer({ min: 0, max: 12 }).chain((count) => {
  const vmids = Array.from({ length: count }, (_, index) => 9010 + index)
  const one = fc.option(fc.nat({ max: Math.max(0, count - 1) }), { nil: undefined })
  return fc.record({
    images: fc.tuple(...vmids.map(anyImage)),
    blue: one,
    green: one,
    active: fc.constantFrom('blue' as const, 'green' as const),
    linked: fc.array(fc.nat({ max: Math.max(0, count - 1) }), { maxLength: 2 }),
    named: fc.array(fc.nat({ max: Math.max(0, count - 1) }), { maxLength: 2 }),
    away: fc.constantFrom([], [], [], ['pve2']),
    keep: fc.integer({ min: 1, max: 4 }),
    channel: fc.constantFrom('candidate' as const, 'stable' as const),
    oldSlots: fc.boolean(),
  })
})

it('removes nothing that is in use, pinned, promoted last, newest, protected, of another site, or what the next deployment takes', () => {
  let removed = 0
  fc.assert(
    fc.property(anySeen, ({ images: any, blue, green, active, linked, named, away, keep, channel, oldSlots }) => {
      const all = any as Image[]
      const at = (index: number | undefined): Image | undefined => (index === undefined ? undefined : all[index])
      const pins = pinsOf({ ...(at(blue) && { blue: at(blue)! }), ...(at(green) && { green: at(green)! }) }, active)
      const vms = [
        ...linked.flatMap((index, number) =>
          at(index) === undefined ? [] : [vm(500 + number, { scsi0: `${at(index)!.volume}/vm-${500 + number}-disk-0,size=8G` })],
        ),
        ...named.flatMap((index, number) =>
          at(index) === undefined
            ? []
            : [
                vm(600 + number, {
                  description: slotNotes('home', 'serena', 'blue', { id: 'c'.repeat(12), image: releaseOf('blue', at(index)!).image }),
                }),
              ],
        ),
      ]
      const users: Users = { deployment: pinned(pins), vms, away }
      const mine = { ...site, image: { ...site.image, keep, channel } }
      const seen = seenOf({ images: newestFirst(all), users })
      const plan = planPrune(mine, seen, { ...options, oldSlots })
      removed += plan.remove.length
      const gone = all.filter(({ vmid }) => plan.remove.some((one) => one.vmid === vmid))
      // Each template is on one of the two lists.
      expect([...plan.remove, ...plan.keep].map(({ vmid }) => vmid).sort()).toEqual(all.map(({ vmid }) => vmid).sort())
      const serving = pins.active === undefined ? undefined : pins.slots[pins.active]
      for (const image of gone) {
        expect(serving?.image.vmid).not.toBe(image.vmid)
        if (!oldSlots) expect(Object.values(pins.slots).map((release) => release?.image.vmid)).not.toContain(image.vmid)
        expect(usesOf(image, { ...users, deployment: nobody.deployment })).toEqual([])
        expect(image.protected).toBeUndefined()
        expect(image.record.site).toBe('home')
        expect(image).not.toBe(newestFit(mine.image, all))
      }
      if (away.length > 0) expect(gone).toEqual([])
      const own = all.filter(({ record }) => record.site === 'home')
      const sound = newestFirst(own.filter(({ revoked, verification }) => !revoked && verification !== 'failed'))
      for (const image of sound.slice(0, keep)) expect(gone).not.toContain(image)
      for (const name of ['candidate', 'stable'] as const) {
        const times = own.filter((image) => image.channel === name && !image.revoked).map(promotedAt)
        const last = own.filter((image) => image.channel === name && !image.revoked && promotedAt(image) === Math.max(...times))
        if (last.length > 0) expect(last.some((image) => !gone.includes(image))).toBe(true)
      }
      // Of the same inputs nothing bad is baked again: what tells so is there as long as nothing newer is sound.
      for (const image of gone.filter((one) => one.revoked || one.verification === 'failed'))
        expect(sound.some((one) => Date.parse(one.record.built) >= Date.parse(image.record.built))).toBe(true)
      // Once that is done there is nothing left to do.
      const rest = planPrune(
        mine,
        seenOf({
          images: newestFirst(all.filter((image) => !gone.includes(image))),
          users: {
            ...users,
            deployment: pinned(oldSlots && serving !== undefined ? { active: pins.active!, slots: { [pins.active!]: serving } } : pins),
          },
        }),
        { ...options, oldSlots },
      )
      expect(rest.remove).toEqual([])
      expect(rest.oldSlots).toEqual([])
    }),
    { numRuns: 300 },
  )
  expect(removed).toBeGreaterThan(100)
})

it('what waits some nights for its promotion stays, however many are newer', () => {
  const waiting = { ...site, image: { ...site.image, keep: 2 }, nightly: { ...site.nightly, promote: { afterNights: 5 } } }
  const of = (night: number, change: Parameters<typeof anImage>[1] = {}) =>
    anImage(9010 + night, {
      channel: 'candidate',
      verification: 'passed',
      ...change,
      record: { built: hour(24 * night), ...change.record },
    })
  const images = [
    of(0),
    of(1, { channel: 'stable', record: { channel: { name: 'stable', at: hour(30), by: 'ann@desk' } } }),
    // Somebody has taken it back.
    of(2, { record: { channel: { name: 'candidate', at: hour(60), by: 'ann@desk' } } }),
    of(3),
    of(4, { verification: 'none' }),
    of(5),
    of(6),
    of(7),
  ]
  const gone = (of: typeof site): number[] =>
    planPrune(of, seenOf({ images: newestFirst(images) }), options)
      .remove.map(({ vmid }) => vmid - 9010)
      .sort()
  expect(gone(waiting)).toEqual([0, 2, 4])
  expect(gone({ ...waiting, nightly: { ...waiting.nightly, promote: 'by-hand' } })).toEqual([0, 2, 3, 4, 5])
})

it('slots that rest go only if asked, not while a rollout is under way, and then their image may go with them', () => {
  const [old, now, spare] = [
    anImage(9010, { record: { built: hour(1) } }),
    anImage(9011, { record: { built: hour(2) } }),
    anImage(9012, { record: { built: hour(3) } }),
  ]
  const pins = pinsOf({ blue: old, green: now }, 'green')
  const own = vm(9201, {
    name: 'home-serena-blue',
    scsi0: `${old.volume}/vm-9201-disk-0`,
    description: slotNotes('home', 'serena', 'blue', releaseOf('blue', old)),
  })
  const seen = (of: GroupPins): PruneSeen =>
    seenOf({ images: newestFirst([old, now, spare]), users: { ...nobody, deployment: pinned(of), vms: [own] } })
  const few = { ...site, image: { ...site.image, keep: 1 } }
  expect(planPrune(few, seen(pins), options)).toMatchObject({ oldSlots: [], remove: [] })
  const asked = planPrune(few, seen(pins), { ...options, oldSlots: true })
  expect(asked).toMatchObject({ oldSlots: [{ group: 'serena', slot: 'blue', vmid: 9201 }], remove: [{ vmid: 9010 }] })
  expect(pruneLines(asked)).toEqual([
    `remove slot blue of group serena, which rests: VM 9201 (home-serena-blue) of image ${old.name}. There is no way back to it then`,
    `remove image ${old.name} (9010) of 2026-11-01`,
    `keep image ${spare.name} (9012): one of the newest 1; deployments take it; the last that came into channel candidate`,
    `keep image ${now.name} (9011): used by serena green`,
  ])
  const moving: GroupPins = { ...pins, rollout: { to: 'green', phase: 'watch', since: hour(4) } }
  expect(planPrune(few, seen(moving), { ...options, oldSlots: true })).toMatchObject({ oldSlots: [], remove: [] })
})

it('of bases only those go that no bake begins with, nobody has used, and that are old enough', () => {
  const bases = [
    aBase(9000),
    aBase(9001),
    aBase(9002, { revoked: true }),
    aBase(9003, { revoked: true, record: { base: { os: 'debian-13', sha256: hash('9') } } }),
    aBase(9004, { record: { built: hour(30) } }),
    aBase(9005, { record: { site: 'office' } }),
    aBase(9006),
  ]
  const users = { ...nobody, vms: [vm(700, { scsi0: 'local-lvm:base-9006-disk-0/vm-700-disk-0' })] }
  const plan = planPrune(site, seenOf({ bases, users }), { ...options, mayBeBaking: (built) => built === hour(30) })
  expect(plan.remove.map(({ vmid }) => vmid)).toEqual([9001, 9003])
  expect(plan.keep.map(({ vmid, why }) => [vmid, why.join('; ')])).toEqual([
    [9000, 'bakes begin with it'],
    [9002, 'it is revoked, and site.ts has it still'],
    [9004, 'it is so new that a bake may be at it'],
    [9005, 'it is of site office'],
    [9006, 'used by VM 700 vm-700 (linked)'],
  ])
})

it('of a site that is to go all goes, but for what somebody uses, what is of another site, and what is protected', () => {
  const images = [
    anImage(9010, { channel: 'stable' }),
    anImage(9011, { protected: true }),
    anImage(9012, { record: { site: 'office' } }),
    anImage(9013),
  ]
  const users = { ...nobody, vms: [vm(700, { scsi0: `${images[3]!.volume}/vm-700-disk-0` })] }
  const seen = seenOf({ images: newestFirst(images), bases: [aBase(9000)], users })
  const all = { ...options, mayBeBaking: () => true, all: true }
  expect(planPrune(site, seen, all).remove.map(({ vmid }) => vmid)).toEqual([9010, 9000])
  expect(planPrune(site, seenOf({ ...seen, users: { ...users, away: ['pve2'] } }), all).remove).toEqual([])
  expect(planPrune(site, seen, { ...all, all: false }).remove).toEqual([])
})

it('what an earlier run had begun to remove is removed, unless somebody uses it after all', () => {
  const { vmid, name, node, volume, record } = anImage(9010)
  const doomed = [{ vmid, name, node, volume, record }]
  expect(planPrune(site, seenOf({ doomed }), options).remove).toMatchObject([{ vmid: 9010 }])
  const users = { ...nobody, vms: [vm(700, { scsi0: `${volume}/vm-700-disk-0` })] }
  expect(planPrune(site, seenOf({ doomed, users }), options)).toMatchObject({ remove: [], keep: [{ vmid: 9010 }] })
})

it('removes what is agreed to and still of no use, nothing else', () => {
  const images = newestFirst([1, 2, 3, 4, 5].map((count) => anImage(9010 + count, { record: { built: hour(count) } })))
  const plan = planPrune(site, seenOf({ images, seeds: ['a', 'b'] }), options)
  expect(plan.remove.map(({ vmid }) => vmid)).toEqual([9012, 9011])
  const agreed = { ...plan, remove: plan.remove.slice(0, 1), seeds: ['b', 'c'] }
  expect(narrowed(plan, agreed)).toMatchObject({ remove: [{ vmid: 9012 }], seeds: ['b'] })
  // The same VMID, another image.
  expect(narrowed(plan, { ...plan, remove: plan.remove.map((one) => ({ ...one, fingerprint: hash('0') })) }).remove).toEqual([])
})

it("of seeds only the site's own go, that no pin and no drive has", () => {
  const key = Buffer.alloc(32, 7)
  const name = (vmid: number, release: string, tag: string): string => `golden-iso:iso/seed-${vmid}-${release}${tag}.iso`
  const own = (vmid: number, release: string): string => name(vmid, release, seedTag(key, 'home', vmid, release))
  const [lost, wanted] = [own(9201, '1'.repeat(12)), own(9201, '2'.repeat(12))]
  const theirs = [
    name(9201, '3'.repeat(12), '4'.repeat(12)),
    name(9201, '5'.repeat(12), ''),
    'golden-iso:iso/debian.iso',
    'golden-iso:iso/golden-build-home-0123456789ab.iso',
  ]
  expect(straySeeds(site, key, [lost, wanted, ...theirs], new Set([wanted]))).toEqual([lost])
  expect(straySeeds({ name: 'office' }, key, [lost], new Set())).toEqual([])
  expect(straySeeds(site, undefined, [lost], new Set())).toEqual([])
})

it('the list says of each image how far it has come, who uses it, and which one is next', () => {
  const stable = anImage(9010, { channel: 'stable', verification: 'passed', record: { built: hour(0) } })
  const newer = anImage(9011, { record: { built: hour(48) } })
  const bad = anImage(9012, { revoked: true, revokedFor: 'CVE-2026-1 (ann@desk, 2026-11-05)', record: { built: hour(50) } })
  const users = {
    ...nobody,
    deployment: pinned(pinsOf({ blue: stable, green: bad }, 'green')),
    vms: [vm(700, { scsi0: `${newer.volume}/vm-700-disk-0` })],
  }
  const sorted = {
    images: newestFirst([stable, newer, bad]),
    bases: [aBase(9000)],
    doomed: [],
    ignored: [{ vmid: 9013, name: 'x', reason: 'is no template' }],
  }
  const trust = new Map<Image, Trust>([
    [stable, { by: 'home', problem: null }],
    [newer, { by: null, problem: { code: 'image-unsigned', message: 'x' } }],
    [bad, { by: null, problem: { code: 'image-altered', message: 'x' } }],
  ])
  const list = describeImages(site, sorted, users, { sizes: new Map([[stable.volume!, 16 * 2 ** 30]]), trust, now: new Date(hour(72)) })
  expect(list.images).toMatchObject([
    { vmid: 9012, revoked: true, next: false },
    { vmid: 9011, next: true, bytes: null, ageMinutes: 24 * 60 },
    {
      vmid: 9010,
      channel: 'stable',
      verification: 'passed',
      bytes: 16 * 2 ** 30,
      uses: [{ group: 'serena', slot: 'blue', serves: false }],
    },
  ])
  expect(imageLines(list)).toEqual([
    `${bad.name} (9012), 22 h old, candidate, not verified, NOT TRUSTED (image-altered), REVOKED: CVE-2026-1 (ann@desk, 2026-11-05)`,
    '  used by serena green',
    `${newer.name} (9011), 24 h old, candidate, not verified, NOT SIGNED, the next deployment takes it`,
    '  used by VM 700 vm-700 (linked)',
    `${stable.name} (9010), 3 days old, stable, verified, signed by home, 16.0 GiB`,
    '  used by serena blue (rests)',
    `base ${aBase(9000).name} (9000), debian-13, imported 2026-11-01`,
    'not counted: x (9013) is no template',
  ])
})
