/** What a deploy is going to do, as it is shown before it begins. */
import { expect, it } from 'vitest'
import type { Image } from '../../images/catalog.ts'
import { seedForm } from '../../images/contract/seed.ts'
import { newRelease, type Deployment, type GroupPins } from '../../releases/deployment.ts'
import { placesOf, type GroupSeen, type VmThere } from '../../rollout/observe.ts'
import { checkImages } from '../../rollout/choose-image.ts'
import { deploymentLines, planDeploy, spaceNeeds, type DeploySeen } from '../../rollout/plan-deploy.ts'
import type { Site } from '../../settings/site.ts'
import { exampleSite, hash } from '../images/example.ts'

const site = exampleSite()
const image: Image = {
  vmid: 9001,
  name: 'golden-home-f00',
  node: 'pve',
  storage: 'local-lvm',
  channel: 'candidate',
  verification: 'none',
  revoked: false,
  record: {
    schema: 1,
    kind: 'image',
    site: 'home',
    fingerprint: hash('f'),
    lock: hash('b'),
    base: { os: 'debian-13', sha256: hash('a') },
    built: '2026-11-23T12:00:00.000Z',
    seed: seedForm,
    services: {},
  },
}
const release = newRelease(site, 'serena', 'blue', {
  id: '0123456789ab',
  created: new Date('2026-11-23T12:00:00Z'),
  image: { vmid: 9001, name: image.name, fingerprint: hash('f') },
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
const depot = vm('home-serena-depot', { running: false })
const bare: GroupSeen = { depot, slots: { blue: { there: false }, green: { there: false } } }
const deployed: GroupSeen = { depot, slots: { blue: vm('home-serena-blue', { disks: [data] }), green: { there: false } } }

function look(of: GroupPins | undefined, seen: GroupSeen, change: Partial<DeploySeen & { site: Site }> = {}): DeploySeen {
  const deployment: Deployment = { schema: 1, groups: of === undefined ? {} : { serena: of } }
  return {
    deployment,
    place: { problems: [], notes: [], linkedClones: true },
    images: [image],
    groups: [
      {
        places: placesOf(change.site ?? site, 'serena', of),
        pins: of,
        seen,
        obstacles: [],
        missing: 'look for it',
        seeds: of === undefined ? [] : ['blue'],
      },
    ],
    ...change,
  }
}
const lines = (seen: DeploySeen, of = site): string[] => deploymentLines(planDeploy(of, seen))

it('a first deployment: everything is made', () => {
  expect(lines(look(undefined, bare))).toEqual([
    'serena:',
    '  pin a release of image golden-home-f00 for slot blue',
    '  upload its seed to storage golden-iso',
    expect.stringMatching(
      /^ {2}make VM 9201 \(home-serena-blue\) on node pve: linked clone of golden-home-f00 \(9001\), \d+ cores, \d+ MiB, vmbr0, 192\.168\.1\.51, service address 192\.168\.1\.50, \d+ flows$/,
    ),
    '  make a data disk of 32 GiB on local-lvm, whose home is depot 9200, and format it',
  ])
  expect(lines(look(undefined, bare, { place: { problems: [], notes: [], linkedClones: false } }))[3]).toContain(': full clone of')
})

it('what it takes on the storage of disks is what it makes there: data, and full copies of the image', () => {
  const needs = (of: GroupPins | undefined, seen: GroupSeen, linkedClones: boolean) =>
    spaceNeeds(site, planDeploy(site, look(of, seen, { place: { problems: [], notes: [], linkedClones } }))).map(
      ({ bytes }) => bytes / 2 ** 30,
    )
  expect(needs(undefined, bare, true)).toEqual([32])
  expect(needs(undefined, bare, false)).toEqual([site.image.build.diskGiB, 32])
  expect(needs(pins, deployed, false)).toEqual([])
})

it('after a destroy: a new VM gets the data of before', () => {
  const home = { ...bare, depot: vm('home-serena-depot', { running: false, disks: [data] }) }
  expect(planDeploy(site, look({ dataDisk: 'made', depot: 9200, slots: {} }, home)).groups[0]).toMatchObject({
    release: 'first',
    vm: { do: 'make' },
    data: { do: 'hand-over', volume: data.volume, depot: 9200 },
  })
})

it('what is deployed stays, and an edit of the site is named with both values', () => {
  expect(planDeploy(site, look(pins, deployed)).groups[0]).toMatchObject({
    release: 'pinned',
    vm: { do: 'keep' },
    seed: { do: 'keep' },
    data: { do: 'keep' },
    differences: [],
  })
  expect(lines(look(pins, deployed))[1]).toMatch(/nothing to make: VM 9201/)
  const edited = exampleSite((input) => {
    input.groups.serena.memoryMiB = 8192
  })
  expect(lines(look(pins, deployed, { site: edited }), edited)[2]).toMatch(/note: .*groups\.serena\.memoryMiB: \d+ → 8192/)
})

it('a pinned VM that is gone is made again, of the image that is pinned and of no other', () => {
  const home = { ...bare, depot: vm('home-serena-depot', { running: false, disks: [data] }) }
  expect(planDeploy(site, look(pins, home)).groups[0]).toMatchObject({ release: 'pinned', vm: { do: 'make' }, data: { do: 'hand-over' } })
  const other = { ...image, record: { ...image.record, fingerprint: hash('e') } }
  expect(() => planDeploy(site, look(pins, home, { images: [other] }))).toThrow(expect.objectContaining({ code: 'image-changed' }))
})

it.each<[string, DeploySeen]>([
  ['no-image', look(undefined, bare, { images: [] })],
  ['image-revoked', look(pins, deployed, { images: [{ ...image, revoked: true }] })],
  ['data-disk-missing', look(pins, { ...deployed, slots: { blue: vm('home-serena-blue'), green: { there: false } } })],
  ['pin-lost', look(undefined, deployed)],
  ['vmid-taken', look(undefined, { ...bare, slots: { blue: { there: 'foreign', name: 'x' }, green: { there: false } } })],
  ['depot-missing', look(undefined, { ...bare, depot: { there: false } })],
])('%s is said before anything is done', (code, seen) => {
  expect(() => planDeploy(site, seen)).toThrow(expect.objectContaining({ code }))
})

it('a revoked image in the slot that rests is in the way of nothing, until its VM has to be made', () => {
  const idle = newRelease(site, 'serena', 'green', {
    id: 'abcdefabcdef',
    created: new Date('2026-11-22T12:00:00Z'),
    image: { vmid: 9002, name: 'golden-home-e00', fingerprint: hash('e') },
  })
  const both: GroupPins = { ...pins, slots: { blue: release, green: idle } }
  const bad = { ...image, vmid: 9002, name: 'golden-home-e00', revoked: true, record: { ...image.record, fingerprint: hash('e') } }
  expect(planDeploy(site, look(both, deployed, { images: [image, bad] })).groups[0]).toMatchObject({ slot: 'blue', vm: { do: 'keep' } })
  expect(() => checkImages([image, bad], 'serena', both, ['green'])).toThrow(expect.objectContaining({ code: 'image-revoked' }))
  expect(() => checkImages([image, bad], 'serena', both, ['blue'])).not.toThrow()
})

it('a group that only deployment.json knows is named', () => {
  const seen = look(undefined, bare)
  const plan = planDeploy(site, { ...seen, deployment: { schema: 1, groups: { old: { dataDisk: 'made', depot: 9300, slots: {} } } } })
  expect(plan.unknown).toEqual(['old'])
})
