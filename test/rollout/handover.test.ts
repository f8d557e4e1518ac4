/** The decisions of a handover, of what a rollout is, and of what a rollback is: pure. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { GroupPins, Release, RolloutNote } from '../../releases/deployment.ts'
import { newRelease } from '../../releases/deployment.ts'
import { decideHandover, type HandoverSeen, type HandoverWanted } from '../../rollout/decide-handover.ts'
import type { GuestStatus } from '../../rollout/guest.ts'
import { cutOffText, serveLimit } from '../../rollout/handover.ts'
import { placesOf, type Disk, type GroupSeen, type VmThere } from '../../rollout/observe.ts'
import { planRollout, rolloutLines, type RolloutSeen } from '../../rollout/plan-rollout.ts'
import { planRollback, rollbackLines } from '../../rollout/rollback.ts'
import { restorePointFor, stateLines } from '../../rollout/state-before.ts'
import { slotVmName, type Site } from '../../settings/site.ts'
import { exampleSite } from '../images/example.ts'

const disk: Disk = { key: 'scsi1', volume: 'local-lvm:vm-1-disk-0' }
const vm = (change: Partial<VmThere> = {}): VmThere => ({
  there: true,
  name: 'x',
  running: true,
  protected: false,
  disks: [],
  digest: 'd',
  ...change,
})
const guest = (change: Partial<GuestStatus> = {}): GuestStatus => ({
  schema: 1,
  release: 'new',
  image: 'f',
  group: 'all',
  slot: 'green',
  roles: [],
  active: false,
  dataDisk: 'absent',
  services: {},
  missing: [],
  serviceAddress: { address: '10.0.0.1', held: false },
  healthy: true,
  handover: 'none',
  problems: [],
  ...change,
})
const wanted: HandoverWanted = { group: 'all', slot: 'green', release: 'new', healthTimeoutMs: 1, force: false }
const old = {
  guest: guest({ release: 'old', slot: 'blue' }),
  silent: false,
  vmid: 1,
  asked: true,
  letGo: 'unasked',
  keeps: false,
  forwards: 'unasked',
} as const
function seen(
  blue: Partial<VmThere>,
  green: Partial<VmThere>,
  change: Partial<HandoverSeen> = {},
  depot: readonly Disk[] = [],
): HandoverSeen {
  return {
    group: { depot: vm({ running: false, protected: true, disks: depot }), slots: { blue: vm(blue), green: vm(green) } },
    dataDisk: 'made',
    guest: guest(),
    activated: false,
    old,
    ...change,
  }
}
const next = (state: HandoverSeen, want: HandoverWanted = wanted): string => {
  const decision = decideHandover(want, state)
  return decision.kind === 'step' ? decision.step.do : decision.kind === 'refuse' ? decision.refusal.code : decision.kind
}

describe('a handover', () => {
  const owner = { disks: [disk], protected: true }
  it.each<[string, HandoverSeen, string]>([
    ['the new slot is started', seen(owner, { running: false }), 'start'],
    ['its guest is waited for', seen(owner, {}, { guest: undefined }), 'wait-agent'],
    ['it has to be well', seen(owner, {}, { guest: guest({ healthy: false }) }), 'wait'],
    ['and of its release', seen(owner, {}, { guest: guest({ release: 'other' }) }), 'other-release'],
    ['it is protected before it gets anything', seen(owner, {}), 'protect'],
    ['Proxmox is asked before anything is stopped', seen(owner, { protected: true }, { old: { ...old, asked: false } }), 'ask'],
    ['the old slot lets go', seen(owner, { protected: true }), 'let-go'],
    ['one that does not answer is waited for', seen(owner, { protected: true }, { old: { ...old, guest: undefined } }), 'wait'],
    ['then its disk may be detached', seen(owner, { protected: true }, { old: { ...old, letGo: 'done' } }), 'loosen'],
    ['is detached', seen({ ...owner, protected: false }, { protected: true }, { old: { ...old, letGo: 'done' } }), 'detach'],
    ['is protected as soon as it is', seen({ disks: [{ ...disk, key: 'unused0' }] }, { protected: true }), 'fasten'],
    ['goes into the depot', seen({ protected: true, disks: [{ ...disk, key: 'unused0' }] }, { protected: true }), 'give-back'],
    ['also of one that was shut down', seen({ ...owner, running: false }, { protected: true }), 'give-back'],
    ['and out of it', seen({}, { protected: true }, {}, [{ ...disk, key: 'unused0' }]), 'take'],
    ['is attached', seen({}, { protected: true, disks: [{ ...disk, key: 'unused0' }] }), 'attach'],
    ['and what needs it started', seen({}, owner, { guest: guest({ dataDisk: 'ready' }) }), 'activate'],
    [
      'the old slot passes its calls on once the new one serves',
      seen({}, owner, { guest: guest({ dataDisk: 'mounted', active: true, healthy: false, serves: true }), old: { ...old, keeps: true } }),
      'forward',
    ],
    [
      'then the address moves',
      seen({}, owner, {
        guest: guest({ dataDisk: 'mounted', active: true, healthy: false, serves: true }),
        old: { ...old, keeps: true, forwards: 'done' },
      }),
      'take-over',
    ],
    [
      'an old slot that does not let go of it is shut down',
      seen({}, owner, {
        guest: guest({ dataDisk: 'mounted', active: true, healthy: false, serves: true }),
        old: { ...old, keeps: true, forwards: 'refused' },
      }),
      'shutdown',
    ],
    [
      'one that has let go of it altogether is waited for no more than the new one',
      seen({}, owner, { guest: guest({ dataDisk: 'mounted', active: true, healthy: false, serves: true }) }),
      'wait',
    ],
    [
      'the old slot loses its protection',
      seen({ protected: true }, owner, {
        guest: guest({ dataDisk: 'mounted', active: true, serviceAddress: { address: '', held: true } }),
      }),
      'unprotect',
    ],
    [
      'and that is all',
      seen({}, owner, { guest: guest({ dataDisk: 'mounted', active: true, serviceAddress: { address: '', held: true } }) }),
      'done',
    ],
    [
      'one that had begun to let go, and has the data still, is activated again',
      seen({}, owner, {
        guest: guest({ dataDisk: 'mounted', active: true, handover: 'parking', serviceAddress: { address: '', held: true } }),
      }),
      'activate',
    ],
    [
      'what an earlier run has told the new slot of the state is taken back, before the old one is asked',
      seen(owner, { protected: true }, { guest: guest({ state: 'before' }) }),
      'tell-state',
    ],
    ['also once the data is in the depot', seen({}, { protected: true }, { guest: guest({ state: 'before' }) }, [disk]), 'tell-state'],
    [
      'until it is attached',
      seen({}, { protected: true, disks: [{ ...disk, key: 'unused0' }] }, { guest: guest({ state: 'before' }) }),
      'tell-state',
    ],
    ['a lock is waited for', seen({ ...owner, lock: 'backup' }, { protected: true }), 'wait'],
    ['a stray disk of the new slot is not mistaken for the data', seen(owner, { disks: [disk] }), 'several-data-disks'],
  ])('%s', (_what, state, step) => expect(next(state)).toBe(step))

  it('the state of before is asked for while the new slot has no data, and of one that can', () => {
    const before: HandoverWanted = { ...wanted, state: 'before' }
    const now = { guest: guest({ state: 'now' }) }
    const told = { guest: guest({ state: 'before' }) }
    const moved = [{ ...disk, key: 'unused0' }]
    expect(next(seen(owner, { protected: true }, now), before)).toBe('tell-state')
    expect(next(seen(owner, { protected: true }, told), before)).toBe('let-go')
    expect(next(seen(owner, { protected: true }), before)).toBe('restore-point-missing')
    expect(next(seen({}, { protected: true }, now, moved), before)).toBe('tell-state')
    expect(next(seen({}, { protected: true }, told, moved), before)).toBe('take')
    expect(next(seen({}, { protected: true, disks: moved }, { guest: undefined }), before)).toBe('wait-agent')
    expect(next(seen({}, { protected: true, disks: moved }, told), before)).toBe('attach')
    expect(next(seen({}, owner, { guest: guest({ state: 'now', dataDisk: 'ready' }) }), before)).toBe('activate')
  })

  it('whatever is found, no slot lets go of the data or gets it before the new one knows which state is meant', () => {
    const flag = fc.boolean()
    const state = fc.constantFrom('now' as const, 'before' as const)
    fc.assert(
      fc.property(
        fc.constantFrom('blue', 'depot', 'green-unused'),
        state,
        state,
        flag,
        flag,
        flag,
        flag,
        (at, meant, known, answers, r1, p1, force) => {
          const has = (slot: string): Disk[] => (at.startsWith(slot) ? [{ ...disk, key: at.endsWith('unused') ? 'unused0' : 'scsi1' }] : [])
          const found = seen(
            { running: r1, protected: p1, disks: has('blue') },
            { protected: true, disks: has('green') },
            { guest: answers ? guest({ state: known }) : undefined },
            at === 'depot' ? [disk] : [],
          )
          const what = next(found, { ...wanted, force, state: meant })
          // The usual state needs no answer: what was told before is seen before.
          if (
            ['ask', 'let-go', 'loosen', 'detach', 'give-back', 'shutdown', 'take', 'attach'].includes(what) &&
            (answers || meant === 'before')
          )
            expect(answers && known).toBe(meant)
        },
      ),
    )
  })

  it('a new slot without room on its own disk does not stand by, where that is asked for', () => {
    const full = seen(owner, {}, { guest: guest({ full: ['root'], problems: ['the root disk is full'] }) })
    expect(next(full, { ...wanted, needsRoom: true })).toBe('slot-disk-full')
    expect(next(full)).toBe('protect')
    expect(next(seen(owner, {}, { guest: guest({ full: ['data'] }) }), { ...wanted, needsRoom: true })).toBe('protect')
  })

  it('by force, an old slot that does not answer or does not let go is shut down', () => {
    const force = { ...wanted, force: true }
    expect(next(seen(owner, { protected: true }, { old: { ...old, guest: undefined } }), force)).toBe('wait')
    expect(next(seen(owner, { protected: true }, { old: { ...old, guest: undefined, silent: true } }), force)).toBe('shutdown')
    expect(next(seen(owner, { protected: true }, { old: { ...old, letGo: 'refused' } }), force)).toBe('shutdown')
  })

  it('at no state is the old slot touched before the new one stands by, nor the data given to one that is not protected', () => {
    const flag = fc.boolean()
    const place = fc.constantFrom('blue', 'green', 'depot', 'blue-unused', 'green-unused')
    fc.assert(
      fc.property(
        place,
        flag,
        flag,
        flag,
        flag,
        flag,
        flag,
        fc.constantFrom('unasked', 'done', 'refused'),
        flag,
        (at, r1, r2, p1, p2, well, answers, letGo, force) => {
          const has = (slot: string): Disk[] => (at.startsWith(slot) ? [{ ...disk, key: at.endsWith('unused') ? 'unused0' : 'scsi1' }] : [])
          const state = seen(
            { running: r1, protected: p1, disks: has('blue') },
            { running: r2, protected: p2, disks: has('green') },
            { guest: answers ? guest({ healthy: well }) : undefined, old: { ...old, letGo } },
            at === 'depot' ? [disk] : [],
          )
          const decision = decideHandover({ ...wanted, force }, state)
          const what = decision.kind === 'step' ? decision.step.do : decision.kind
          if (['ask', 'let-go', 'loosen', 'detach', 'give-back', 'shutdown'].includes(what) && at.startsWith('blue')) {
            expect({ r2, p2, well, answers }).toEqual({ r2: true, p2: true, well: true, answers: true })
          }
          if (what === 'loosen') expect(r1).toBe(true)
          if (what === 'take') expect(p2).toBe(true)
          if (what === 'unprotect') expect(at.startsWith('green')).toBe(true)
        },
      ),
    )
  })
})

const site: Site = exampleSite()
const image = { vmid: 9001, name: 'golden-one', record: { fingerprint: 'a'.repeat(64), built: '2026-11-01T00:00:00.000Z' } }
const releaseOf = (slot: 'blue' | 'green', of: Site = site, id = 'aaaaaaaaaaaa'): Release =>
  newRelease(of, 'serena', slot, {
    id,
    created: new Date(0),
    image: { vmid: image.vmid, name: image.name, fingerprint: image.record.fingerprint },
  })
const pins: GroupPins = { dataDisk: 'made', depot: 9200, active: 'blue', slots: { blue: releaseOf('blue') } }
const groupSeen = (blue: Partial<VmThere>, green: GroupSeen['slots']['green'] = { there: false }): GroupSeen => ({
  depot: vm({ name: `${site.name}-serena-depot`, running: false, protected: true }),
  slots: { blue: vm({ name: slotVmName(site, 'serena', 'blue'), protected: true, disks: [disk], ...blue }), green },
})
const facts = (change: Partial<RolloutSeen> = {}): RolloutSeen => ({
  places: placesOf(site, 'serena', change.pins ?? pins),
  pins,
  seen: groupSeen({}),
  image,
  secrets: { blue: [], green: [] },
  obstacles: [],
  missing: 'look',
  ...change,
})
const green = vm({ name: slotVmName(site, 'serena', 'green') })

it('a slot that does not serve gives the data back before calls have waited too long', () => {
  const limit = (healthTimeoutMs: number, callsWaitMs?: number) =>
    serveLimit({ healthTimeoutMs, ...(callsWaitMs === undefined ? {} : { callsWaitMs }) })
  expect([limit(900_000), limit(900_000, 240_000), limit(60_000, 240_000), limit(900_000, 20_000)]).toEqual([
    900_000, 180_000, 60_000, 10_000,
  ])
  fc.assert(
    fc.property(fc.nat(7_200_000), fc.integer({ min: 1000, max: 7_200_000 }), (health, calls) => {
      expect(limit(health, calls)).toBeLessThanOrEqual(Math.min(health, calls - Math.min(60_000, calls / 2)))
    }),
  )
})

it('what had to be cut off is told', () => {
  expect(cutOffText('blue', { drained: false, requests: 1, transfers: 2 }, 60)).toBe(
    '1 call and 2 SSH transfers on slot blue took longer than rollout.drainSeconds (60), and had to be cut off',
  )
  expect(cutOffText('blue', { drained: false, requests: 0, transfers: 1 }, 60)).toMatch(/^1 SSH transfer on/)
})

describe('what a rollout is', () => {
  it('nothing, where what runs is what site.ts says', () => {
    expect(planRollout(site, facts())).toMatchObject({ do: 'nothing', changes: [] })
  })

  it.each<[string, Site, Partial<RolloutSeen>, string]>([
    ['another image', site, { image: { ...image, vmid: 9002, name: 'golden-two' } }, 'image: golden-one → golden-two'],
    [
      'an image of the same VMID that is another by now',
      site,
      { image: { ...image, record: { ...image.record, fingerprint: 'b'.repeat(64) } } },
      'image: ',
    ],
    ['a secret', site, { secrets: { blue: ['the password of me'] } }, 'the password of me: as the site folder has it now'],
    ['a setting', exampleSite((input) => void (input.serena.shell = true)), {}, 'serena.shell: '],
  ])('%s is a change, told with every step', (_what, changed, change, said) => {
    const plan = planRollout(changed, facts(change))
    expect(plan).toMatchObject({
      do: 'roll',
      from: 'blue',
      to: 'green',
      release: 'new',
      keeps: true,
      changes: [expect.stringContaining(said)],
    })
    expect(rolloutLines(plan, 5).join('\n')).toContain('hand over the data')
  })

  it('clients over SSE are told beforehand, and how many', () => {
    const changed = exampleSite((input) => void (input.serena.shell = true))
    const said = (sseClients?: number): string =>
      rolloutLines(planRollout(changed, facts({ guest: guest(sseClients === undefined ? {} : { sseClients }) })), 5).join('\n')
    expect(said(2)).toContain('2 clients over SSE will have to reconnect')
    expect(said(1)).toContain('1 client over SSE will have to reconnect')
    expect(said(0)).not.toContain('SSE')
    expect(said()).not.toContain('SSE')
    expect(rolloutLines(planRollout(site, facts({ guest: guest({ sseClients: 2 }) })), 5).join()).not.toContain('SSE')
    const back = planRollback('serena', { ...pins, slots: { ...pins.slots, green: releaseOf('green') } }, groupSeen({}, green))
    expect(rollbackLines({ ...back, sseClients: 2 }).join('\n')).toContain('2 clients over SSE')
    expect(rollbackLines(back).join('\n')).not.toContain('SSE')
  })

  it('a former slot makes room, but for one that is what site.ts says now', () => {
    const changed = exampleSite((input) => void (input.serena.shell = true))
    const both = (slot: Release): Partial<RolloutSeen> => ({
      pins: { ...pins, slots: { ...pins.slots, green: slot } },
      seen: groupSeen({}, green),
    })
    expect(planRollout(changed, facts(both(releaseOf('green', site, 'bbbbbbbbbbbb'))))).toMatchObject({
      release: 'new',
      removes: { release: 'bbbbbbbbbbbb' },
    })
    const wanted = both(releaseOf('green', changed, 'bbbbbbbbbbbb'))
    expect(planRollout(changed, facts(wanted))).toMatchObject({ release: 'pinned' })
    const failed = { ...wanted.pins, rollout: { to: 'green', phase: 'failed', since: '2026-11-01T00:00:00.000Z' } } as GroupPins
    expect(planRollout(changed, facts({ ...wanted, pins: failed }))).toMatchObject({ release: 'new' })
    expect(planRollout(changed, facts({ ...wanted, secrets: { blue: [], green: ['the password of me'] } }))).toMatchObject({
      release: 'new',
    })
    expect(planRollout(changed, facts({ ...wanted, secrets: { blue: [] } }))).toMatchObject({ release: 'new' })
  })

  it('a slot that serves on a full disk is left alone; one that does not is not', () => {
    const changed = exampleSite((input) => void (input.serena.shell = true))
    const full = guest({ slot: 'blue', full: ['data'] })
    expect(() => planRollout(changed, facts({ guest: full }))).toThrow(expect.objectContaining({ code: 'slot-disk-full' }))
    expect(planRollout(changed, facts({ guest: { ...full, healthy: false } }))).toMatchObject({ do: 'roll' })
    expect(planRollout(changed, facts({ guest: { ...full, full: ['root'] } }))).toMatchObject({ do: 'roll' })
    expect(planRollout(site, facts({ guest: full }))).toMatchObject({ do: 'nothing' })
  })

  it('deployment.json of before a rollout is named, and nothing is done by it', () => {
    const made = (release: string) => `local:iso/seed-9012-${release}.iso`
    const after = groupSeen({ disks: [], protected: false }, { ...green, disks: [disk], protected: true, seed: made('cccccccccccc') })
    const outdated = expect.objectContaining({
      code: 'deployment-outdated',
      message: expect.stringContaining('cccccccccccc'),
      hint: expect.stringContaining('git log -S cccccccccccc -- deployment.json'),
    })
    expect(() => planRollout(site, facts({ seen: after }))).toThrow(outdated)
    // Two rollouts before.
    expect(() => planRollout(site, facts({ seen: groupSeen({ seed: made('cccccccccccc') }) }))).toThrow(outdated)
    expect(planRollout(site, facts({ seen: groupSeen({ seed: made('aaaaaaaaaaaa') }) }))).toMatchObject({ do: 'nothing' })
    // One that was interrupted knows both.
    const both: GroupPins = { ...pins, slots: { ...pins.slots, green: releaseOf('green', site, 'cccccccccccc') } }
    expect(planRollout(site, facts({ seen: after, pins: both }))).toMatchObject({ finishes: 'blue' })
  })

  it('first of all an interrupted one is finished', () => {
    const moved = groupSeen({ disks: [], protected: false }, { ...green, disks: [disk], protected: true })
    expect(planRollout(site, facts({ seen: moved }))).toMatchObject({ do: 'watch', finishes: 'blue' })
  })

  it('an address by which the running slot does not know the new one is told beforehand', () => {
    const moved = exampleSite((input) => void (input.groups.serena.slots.green.address = '192.168.1.99'))
    expect(planRollout(moved, facts())).toMatchObject({ do: 'roll', keeps: false })
  })

  it.each<[string, Site, Partial<RolloutSeen>, string]>([
    ['a group that is not deployed', site, { pins: { slots: {} } }, 'not-deployed'],
    ['another node', exampleSite((input) => void (input.proxmox.node = 'other')), {}, 'rollout-elsewhere'],
    ['data that is nowhere', site, { seen: groupSeen({ disks: [] }) }, 'data-disk-missing'],
    ['a snapshot', site, { obstacles: [{ code: 'disk-in-snapshot', message: 'm', hint: 'h' }] }, 'disk-in-snapshot'],
  ])('%s is refused before anything is done', (_what, of, change, code) => {
    expect(() => planRollout(of, facts(change))).toThrow(expect.objectContaining({ code }))
  })
})

describe('what a rollback is', () => {
  const two: GroupPins = { ...pins, active: 'green', slots: { blue: releaseOf('blue'), green: releaseOf('green', site, 'bbbbbbbbbbbb') } }
  const there = groupSeen({ disks: [] }, { ...green, disks: [disk], protected: true })
  const note = (phase: 'prepare' | 'hand-over' | 'watch' | 'take-back' | 'failed', to: 'blue' | 'green' = 'green') => ({
    to,
    phase,
    since: '2026-11-01T00:00:00.000Z',
  })
  it.each<[string, GroupPins, GroupSeen, object]>([
    ['to the other slot', two, there, { do: 'back', from: 'green', to: 'blue' }],
    [
      'of one that was interrupted, to where it came from',
      { ...two, rollout: note('hand-over') },
      groupSeen({}, green),
      { do: 'back', to: 'blue' },
    ],
    [
      'of one whose data is half-way back, there',
      { ...two, active: 'blue', rollout: note('take-back') },
      there,
      { do: 'back', to: 'blue' },
    ],
    [
      'of one that has been taken back: nothing',
      { ...two, active: 'blue', rollout: note('failed') },
      groupSeen({}, green),
      { do: 'nothing', to: 'blue' },
    ],
  ])('%s', (_what, of, state, plan) => expect(planRollback('serena', of, state)).toMatchObject(plan))

  it.each<[string, RolloutNote | undefined, 'now' | 'before' | undefined, object]>([
    ['as it is', undefined, undefined, { to: 'blue', state: 'now' }],
    ['as the old image had left it', undefined, 'before', { to: 'blue', state: 'before' }],
    [
      'asked for again, an interrupted one goes on',
      { ...note('hand-over', 'blue'), state: 'before' },
      'before',
      { to: 'blue', do: 'back' },
    ],
    ['even while it is watched', { ...note('watch', 'blue'), state: 'before' }, 'before', { to: 'blue', do: 'back' }],
    [
      'given up, the other slot has its own',
      { ...note('hand-over', 'blue'), state: 'before' },
      undefined,
      { to: 'green', state: 'before' },
    ],
    ['or what there is', { ...note('hand-over', 'blue'), state: 'before' }, 'now', { to: 'green', state: 'now' }],
    ['one that is being taken back is', { ...note('take-back', 'green'), state: 'before' }, 'before', { to: 'blue', state: 'before' }],
  ])('with the state: %s', (_what, rollout, state, plan) => {
    const pinned: GroupPins = rollout === undefined ? two : { ...two, active: rollout.phase === 'take-back' ? 'blue' : rollout.to, rollout }
    const place = rollout?.phase === 'watch' ? groupSeen({}, green) : there
    expect(planRollback('serena', pinned, place, state === undefined ? {} : { state })).toMatchObject(plan)
  })

  it('the restore point is that of the image before the one that serves, and of the old slot', () => {
    const point = (image: string, last: boolean) => ({ made: '2026-11-29T10:00:00.000Z', image, bytes: 5 * 1024 ** 2, last })
    const of = (points?: ReturnType<typeof point>[]): GuestStatus =>
      guest({ image: 'new', ...(points === undefined ? {} : { restorePoints: points }) })
    expect(restorePointFor('all', of([point('old', false), point('old', true)]), 'old')).toEqual(point('old', true))
    for (const points of [undefined, [], [point('old', false)], [point('other', true)]])
      expect(() => restorePointFor('all', of(points), 'old')).toThrow(expect.objectContaining({ code: 'restore-point-missing' }))
    expect(() => restorePointFor('all', of([point('older', true)]), 'new')).toThrow('both slots have the same image')
    expect(stateLines(['serena'], point('old', true))[0]).toMatch(/of 2026-11-29 10:00.*\(5 MiB\)/)
    expect(stateLines(['logging'], undefined).join()).toMatch(/does not say.*Grafana/)
  })

  it('there has to be an old slot', () => {
    expect(() => planRollback('serena', pins, groupSeen({}))).toThrow(expect.objectContaining({ code: 'nothing-to-go-back-to' }))
    expect(() => planRollback('serena', { ...pins, rollout: note('prepare') }, groupSeen({}))).toThrow(
      expect.objectContaining({ code: 'nothing-to-go-back-to' }),
    )
  })
})
