/** Activation and release as decisions: any observed state, killed anywhere, run again. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decideActivation, type ActivationStep } from '../../rollout/activate.ts'
import { decideDeleteData, type DeleteDataStep } from '../../rollout/delete-data.ts'
import type { GuestStatus } from '../../rollout/guest.ts'
import { diskPlace, type GroupSeen, type VmSeen } from '../../rollout/observe.ts'
import type { Decision } from '../../rollout/reconcile.ts'
import { decideRelease, type ReleaseStep } from '../../rollout/release.ts'

type Owner = 'depot' | 'blue' | 'green'
interface World {
  /** Undefined: there is no data disk. */
  disk: { owner: Owner; key: 'scsi1' | 'unused0'; content: 'blank' | 'ours' | 'foreign' } | undefined
  pin: 'new' | 'made' | undefined
  vms: Record<'blue' | 'green', { there: boolean; running: boolean; protected: boolean }>
  /** Of blue's guest. */
  mounted: boolean
  answers: boolean
  healthy: boolean
  release: 'wanted' | 'other'
}

const vm = fc.record({ there: fc.boolean(), running: fc.boolean(), protected: fc.boolean() })
const world: fc.Arbitrary<World> = fc
  .record({
    disk: fc.option(
      fc.record({
        owner: fc.constantFrom<Owner>('depot', 'blue', 'green'),
        key: fc.constantFrom('scsi1' as const, 'unused0' as const),
        content: fc.constantFrom('blank' as const, 'ours' as const, 'foreign' as const),
      }),
      { nil: undefined },
    ),
    pin: fc.constantFrom('new', 'made', undefined),
    vms: fc.record({ blue: vm, green: vm }),
    mounted: fc.boolean(),
    answers: fc.boolean(),
    healthy: fc.boolean(),
    release: fc.constantFrom('wanted' as const, 'other' as const),
  })
  .map((one): World => {
    // What can't be: a disk of a VM that is not there, a mounted disk that is not plugged into a running guest.
    if (one.disk && one.disk.owner !== 'depot') one.vms[one.disk.owner].there = true
    const plugged = one.disk?.owner === 'blue' && one.disk.key === 'scsi1' && one.disk.content === 'ours' && one.vms.blue.running
    return { ...one, mounted: one.mounted && plugged === true }
  })

function seenOf(world: World): GroupSeen {
  const disksOf = (owner: Owner) => (world.disk?.owner === owner ? [{ key: world.disk.key, volume: 'the-disk' }] : [])
  const slot = (name: 'blue' | 'green'): VmSeen =>
    world.vms[name].there ? { ...world.vms[name], there: true, name, digest: 'd', disks: disksOf(name) } : { there: false }
  return {
    depot: { there: true, name: 'depot', digest: 'd', running: false, protected: true, disks: disksOf('depot') },
    slots: { blue: slot('blue'), green: slot('green') },
  }
}

function guestOf(world: World): GuestStatus | undefined {
  if (!world.answers || !world.vms.blue.running) return undefined
  const plugged = world.disk?.owner === 'blue' && world.disk.key === 'scsi1'
  const dataDisk = !plugged
    ? 'absent'
    : world.mounted
      ? 'mounted'
      : world.disk?.content === 'ours'
        ? 'ready'
        : world.disk?.content === 'blank'
          ? 'blank'
          : 'foreign'
  return {
    schema: 1,
    release: world.release,
    image: '',
    group: wanted.group,
    slot: wanted.slot,
    roles: ['serena'],
    active: world.mounted,
    dataDisk,
    services: {},
    missing: [],
    serviceAddress: { address: '', held: world.mounted },
    handover: 'none',
    healthy: world.healthy,
    problems: [],
  }
}

/** Asked when its disk is plugged in, and once before, as activate() does. */
const asked = (world: World, known: GuestStatus | undefined): boolean =>
  world.vms.blue.running && ((world.disk?.owner === 'blue' && world.disk.key === 'scsi1') || known === undefined)

function takeActivation(world: World, step: ActivationStep): void {
  switch (step.do) {
    case 'mark-new':
      expect(world.disk).toBeUndefined()
      world.pin = 'new'
      return
    case 'create-disk':
      expect(world.disk).toBeUndefined()
      expect(world.pin).toBe('new')
      world.disk = { owner: 'depot', key: 'scsi1', content: 'blank' }
      return
    case 'start':
      world.vms.blue.running = true
      return
    case 'protect':
      world.vms.blue.protected = true
      return
    case 'take':
      expect(world.disk?.owner).toBe('depot')
      expect(world.vms.blue.protected, 'an owner is protected before the disk comes').toBe(true)
      expect(guestOf(world)?.release, 'only a guest that answers, and is the right one, gets the data').toBe('wanted')
      world.disk = { ...world.disk!, owner: 'blue', key: 'unused0' }
      return
    case 'attach':
      expect(world.disk).toMatchObject({ owner: 'blue', key: 'unused0' })
      world.disk = { ...world.disk!, key: 'scsi1' }
      return
    case 'wait-agent':
      if (step.mayReset) expect(world.disk?.owner, 'a VM with data is not reset').not.toBe('blue')
      world.answers = true
      return
    case 'format':
      expect(world.disk?.content, 'only a blank disk is formatted').toBe('blank')
      expect(world.pin, 'and only a new one').toBe('new')
      world.disk = { ...world.disk!, content: 'ours' }
      return
    case 'activate':
      expect(world.disk).toMatchObject({ owner: 'blue', key: 'scsi1', content: 'ours' })
      world.mounted = true
      return
    case 'mark-made':
      expect(world.mounted).toBe(true)
      world.pin = 'made'
  }
}

const wanted = { group: 'serena', slot: 'blue' as const, release: 'wanted', healthTimeoutMs: 1 }

/** Runs to its end, or is killed after some steps. @returns the last decision */
function activateIn(world: World, steps: number): Decision<ActivationStep> {
  let activated = false
  let known: GuestStatus | undefined
  for (let taken = 0; ; taken++) {
    if (asked(world, known)) known = guestOf(world)
    const decision = decideActivation(wanted, { group: seenOf(world), dataDisk: world.pin, guest: known, activated })
    if (decision.kind !== 'step' || taken >= steps) return decision
    if (decision.step.do === 'activate') activated = true
    takeActivation(world, decision.step)
    expect(taken, 'it comes to an end').toBeLessThan(30)
  }
}

describe('activation', () => {
  it('whatever it finds, it ends, formats only what is new and blank, and never takes a disk from another slot', () => {
    fc.assert(
      fc.property(world, fc.array(fc.nat(8), { maxLength: 4 }), (start, kills) => {
        const before = structuredClone(start)
        for (const steps of kills) activateIn(start, steps)
        const last = activateIn(start, 100)
        if (before.disk?.owner === 'green') expect(start.disk).toEqual(before.disk)
        if (before.disk?.content === 'foreign') expect(start.disk?.content).toBe('foreign')
        if (before.disk?.content === 'blank' && before.pin !== 'new') expect(start.disk?.content).toBe('blank')
        if (last.kind === 'done')
          expect(start).toMatchObject({
            disk: { owner: 'blue', key: 'scsi1', content: 'ours' },
            pin: 'made',
            mounted: true,
            vms: { blue: { running: true, protected: true } },
          })
      }),
      { numRuns: 3000 },
    )
  })

  it('a first deployment and one from the depot reach the end, killed anywhere', () => {
    const fresh: fc.Arbitrary<World> = fc
      .constantFrom<World['disk']>(
        undefined,
        { owner: 'depot', key: 'scsi1', content: 'ours' },
        { owner: 'depot', key: 'unused0', content: 'ours' },
      )
      .map(
        (disk): World => ({
          disk,
          pin: disk ? 'made' : undefined,
          vms: { blue: { there: true, running: true, protected: false }, green: { there: false, running: false, protected: false } },
          mounted: false,
          answers: true,
          healthy: true,
          release: 'wanted',
        }),
      )
    fc.assert(
      fc.property(fresh, fc.array(fc.nat(8), { maxLength: 6 }), (start, kills) => {
        for (const steps of kills) activateIn(start, steps)
        expect(activateIn(start, 100).kind).toBe('done')
      }),
    )
  })

  it.each<[string, Partial<World>, string]>([
    ['the disk is gone', { disk: undefined, pin: 'made' }, 'data-disk-missing'],
    [
      'the disk is blank and not marked new',
      { disk: { owner: 'depot', key: 'scsi1', content: 'blank' }, pin: undefined },
      'data-disk-blank',
    ],
    ['the disk holds something else', { disk: { owner: 'depot', key: 'scsi1', content: 'foreign' }, pin: 'new' }, 'data-disk-foreign'],
    ['the other slot owns the disk', { disk: { owner: 'green', key: 'scsi1', content: 'ours' } }, 'data-disk-in-use'],
    ['the guest has another seed', { disk: { owner: 'depot', key: 'scsi1', content: 'ours' }, release: 'other' }, 'other-release'],
  ])('refuses when %s', (_what, change, code) => {
    const there = { there: true, running: true, protected: false }
    const last = activateIn(
      {
        disk: undefined,
        pin: undefined,
        vms: { blue: { ...there }, green: { ...there } },
        mounted: false,
        answers: true,
        healthy: true,
        release: 'wanted',
        ...change,
      },
      100,
    )
    expect(last).toMatchObject({ kind: 'refuse', refusal: { code } })
  })

  it('waits while somebody holds a lock', () => {
    const seen = seenOf({
      disk: { owner: 'depot', key: 'scsi1', content: 'ours' },
      pin: 'made',
      vms: { blue: { there: true, running: true, protected: true }, green: { there: false, running: false, protected: false } },
      mounted: false,
      answers: true,
      healthy: true,
      release: 'wanted',
    })
    const locked: GroupSeen = { ...seen, depot: { ...(seen.depot as Extract<VmSeen, { there: true }>), lock: 'backup' } }
    expect(decideActivation(wanted, { group: locked, dataDisk: 'made', guest: undefined, activated: false })).toMatchObject({
      kind: 'wait',
      for: 'the depot is locked: backup',
    })
  })

  it("two disks that could be the data are nobody's guess", () => {
    const disk = { key: 'unused0', volume: 'a' }
    const both: GroupSeen = {
      depot: { there: true, name: 'depot', digest: 'd', running: false, protected: true, disks: [disk] },
      slots: {
        blue: { there: true, name: 'blue', digest: 'd', running: true, protected: true, disks: [{ ...disk, volume: 'b' }] },
        green: { there: false },
      },
    }
    expect(diskPlace(both)).toEqual({ at: 'several', list: ['a', 'b'] })
    expect(decideActivation(wanted, { group: both, dataDisk: 'made', guest: undefined, activated: false })).toMatchObject({
      kind: 'refuse',
      refusal: { code: 'several-data-disks' },
    })
    expect(decideRelease('serena', 'blue', { group: both, guest: undefined, drained: false, yielded: false })).toMatchObject({
      kind: 'refuse',
      refusal: { code: 'several-data-disks' },
    })
  })
})

function releaseIn(world: World, steps: number, yields = true): Decision<ReleaseStep> {
  let drained = false
  let yielded = false
  for (let taken = 0; ; taken++) {
    const decision = decideRelease('serena', 'blue', {
      group: seenOf(world),
      guest: world.disk?.owner === 'blue' ? guestOf(world) : undefined,
      drained,
      yielded,
    })
    if (decision.kind !== 'step' || taken >= steps) return decision
    const { step } = decision
    switch (step.do) {
      case 'drain':
        drained = true
        break
      case 'yield':
        yielded = true
        if (yields) world.mounted = false
        break
      case 'shutdown':
        expect(world.mounted && world.answers && !yielded, 'a guest that answers has let go before').toBe(false)
        world.vms.blue.running = false
        world.mounted = false
        break
      case 'give-back':
        expect(world.vms.blue.running).toBe(false)
        expect(world.disk?.owner).toBe('blue')
        world.disk = { ...world.disk!, owner: 'depot', key: step.key as 'scsi1' | 'unused0' }
        break
      case 'unprotect':
        expect(world.disk?.owner, 'protected as long as it owns the data').not.toBe('blue')
        world.vms.blue.protected = false
    }
    expect(taken, 'it comes to an end').toBeLessThan(30)
  }
}

it('release ends with the disk at home and the VM unprotected, in that order, killed anywhere, with a guest that obeys or not', () => {
  fc.assert(
    fc.property(world, fc.array(fc.nat(5), { maxLength: 4 }), fc.boolean(), (start, kills, yields) => {
      const before = structuredClone(start)
      for (const steps of kills) releaseIn(start, steps, yields)
      expect(releaseIn(start, 100, yields).kind).toBe('done')
      expect(start.disk?.owner).toBe(before.disk?.owner === 'blue' ? 'depot' : before.disk?.owner)
      expect(start.disk?.content).toBe(before.disk?.content)
      if (start.vms.blue.there) expect(start.vms.blue.protected).toBe(false)
    }),
    { numRuns: 3000 },
  )
})

it('data is deleted only when no slot is there, with a VM made for that, killed anywhere', () => {
  interface Bin {
    disk: 'depot' | 'bin' | undefined
    bin: 'absent' | 'ours' | 'slot'
    green: boolean
  }
  const arbitrary: fc.Arbitrary<Bin> = fc
    .record({
      disk: fc.constantFrom('depot' as const, 'bin' as const, undefined),
      bin: fc.constantFrom('absent' as const, 'ours' as const, 'slot' as const),
      green: fc.boolean(),
    })
    .map((one) => (one.disk === 'bin' && one.bin === 'absent' ? { ...one, bin: 'ours' as const } : one))
  const run = (state: Bin, steps: number): Decision<DeleteDataStep> => {
    for (let taken = 0; ; taken++) {
      const off = { there: true as const, digest: 'd', running: false, protected: false, disks: [] }
      const disks = (owner: 'depot' | 'bin') => (state.disk === owner ? [{ key: 'scsi1', volume: 'v' }] : [])
      const bin: VmSeen =
        state.bin === 'absent' ? { there: false } : { ...off, name: state.bin === 'ours' ? 'bin' : 'home-serena-blue', disks: disks('bin') }
      const group: GroupSeen = {
        depot: { ...off, name: 'depot', protected: true, disks: disks('depot') },
        slots: { blue: bin, green: state.green ? { ...off, name: 'green' } : { there: false } },
      }
      const decision = decideDeleteData('serena', 'bin', { group, throwAway: bin })
      if (decision.kind !== 'step' || taken >= steps) return decision
      expect(state.green || state.bin === 'slot', 'nothing happens while a slot is there').toBe(false)
      switch (decision.step.do) {
        case 'make-throw-away':
          state.bin = 'ours'
          break
        case 'move':
          state.disk = 'bin'
          break
        case 'destroy-throw-away':
          state.bin = 'absent'
          if (state.disk === 'bin') state.disk = undefined
      }
      expect(taken).toBeLessThan(20)
    }
  }
  fc.assert(
    fc.property(arbitrary, fc.array(fc.nat(3), { maxLength: 3 }), (state, kills) => {
      const before = { ...state }
      for (const steps of kills) run(state, steps)
      const last = run(state, 100)
      if (before.green || before.bin === 'slot') expect(state).toEqual(before)
      else {
        expect(last.kind).toBe('done')
        expect(state).toEqual({ disk: undefined, bin: 'absent', green: false })
      }
    }),
  )
})
