/** What a destroy is going to do, as it is shown before it begins. */
import { expect, it } from 'vitest'
import { newRelease, type GroupPins } from '../../releases/deployment.ts'
import { placesOf, type GroupSeen, type VmThere } from '../../rollout/observe.ts'
import { destructionLines, planDestroy, type DestroySeen } from '../../rollout/plan-destroy.ts'
import { exampleSite } from '../images/example.ts'

const site = exampleSite()
const release = newRelease(site, 'serena', 'blue', {
  id: '0123456789ab',
  created: new Date('2026-11-23T12:00:00Z'),
  image: { vmid: 9001, name: 'i', fingerprint: 'f' },
})
const pins: GroupPins = { dataDisk: 'made', depot: 9200, active: 'blue', slots: { blue: release } }
const vm = (name: string, change: Partial<VmThere> = {}): VmThere => ({
  there: true,
  name,
  running: true,
  protected: true,
  digest: 'd',
  disks: [],
  ...change,
})
const data = { key: 'scsi1', volume: 'local-lvm:vm-9201-disk-1', gib: 32 }
const deployed: GroupSeen = {
  depot: vm('home-serena-depot', { running: false }),
  slots: { blue: vm('home-serena-blue', { disks: [data], seed: 'golden-iso:iso/seed-9201-old.iso' }), green: { there: false } },
}
const look = (change: Partial<DestroySeen> = {}): DestroySeen => ({
  places: placesOf(site, 'serena', 'pins' in change ? change.pins : pins),
  pins,
  seen: deployed,
  obstacles: [],
  missing: 'look for it',
  ...change,
})

it('a deployed group: its VM, its seeds, where the data goes', () => {
  const plan = planDestroy(look())
  expect(plan).toEqual({
    group: 'serena',
    exists: true,
    vms: [{ slot: 'blue', vmid: 9201, name: 'home-serena-blue' }],
    strangers: [],
    seeds: [release.vm.seed, 'golden-iso:iso/seed-9201-old.iso'],
    data: { volume: 'local-lvm:vm-9201-disk-1', at: 'blue', depot: 9200 },
  })
  expect(destructionLines(plan)).toEqual([
    'serena:',
    '  remove VM 9201 (home-serena-blue)',
    `  delete the seed ${release.vm.seed}`,
    '  delete the seed golden-iso:iso/seed-9201-old.iso',
    '  give the data disk local-lvm:vm-9201-disk-1 back to depot 9200, which keeps it',
    '  take the release out of deployment.json',
  ])
})

it('one that was never deployed: nothing to do', () => {
  const plan = planDestroy(
    look({ pins: undefined, seen: { depot: deployed.depot, slots: { blue: { there: false }, green: { there: false } } } }),
  )
  expect(plan).toMatchObject({ exists: false, vms: [], seeds: [] })
  expect(destructionLines(plan)).toEqual(['serena: there is no VM'])
})

it("somebody else's VM is left alone, unless it may have the data", () => {
  const foreign = { there: 'foreign', name: 'theirs' } as const
  const home = { ...deployed, depot: vm('home-serena-depot', { running: false, disks: [data] }), slots: { blue: foreign, green: foreign } }
  const plan = planDestroy(look({ seen: home }))
  expect(plan).toMatchObject({ vms: [], strangers: [{ vmid: 9201 }, { vmid: 9202 }], data: { at: 'depot' } })
  expect(destructionLines(plan)).toContain("  leave VMID 9201 of slot blue alone: it is somebody else's VM")
  const nowhere = { ...home, depot: vm('home-serena-depot', { running: false }) }
  expect(() => planDestroy(look({ seen: nowhere }))).toThrow(
    expect.objectContaining({ code: 'vmid-taken', hint: expect.stringContaining('look for it') }),
  )
})

it('what is in the way is said before anything is done', () => {
  expect(() => planDestroy(look({ obstacles: [{ code: 'disk-in-snapshot', message: 'a', hint: 'b' }] }))).toThrow(
    expect.objectContaining({ code: 'disk-in-snapshot' }),
  )
  expect(() => planDestroy(look({ seen: { ...deployed, depot: { there: false } } }))).toThrow(
    expect.objectContaining({ code: 'depot-missing' }),
  )
})
