/** Answers that are lost, and an API that is away, in the middle of a handover: looked at, gone on with, nothing done twice. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { FaultOrder } from '../../lab/api/faults.ts'
import { activate } from '../../rollout/activate.ts'
import { deleteData } from '../../rollout/delete-data.ts'
import { diskPlace, observeGroup, placesOf, type DiskPlace, type GroupPlaces } from '../../rollout/observe.ts'
import { release } from '../../rollout/release.ts'
import { removeLeftover } from '../../rollout/slots.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'
import { slotSeed } from './slot-seed.ts'

const releaseId = 'ffffffffffff'
const vm = '/nodes/pve/qemu/9011'
let t: RolloutLab
let places: GroupPlaces
let dataDisk: 'new' | 'made' | undefined

beforeAll(async () => {
  t = await startRolloutLab({}, 'one-vm')
  await t.addImage(9001)
  places = placesOf(t.site, 'all', undefined)
  await t.proxmox.upload({
    node: 'pve',
    storage: t.site.proxmox.storage.iso,
    content: 'iso',
    filename: 'seed.iso',
    data: slotSeed(releaseId),
  })
})
afterAll(() => t?.close())

/** As the engine leaves it: a clone with its seed, stopped. */
async function makeSlot(): Promise<void> {
  await t.proxmox.task(
    await t.proxmox.post<string>('/nodes/pve/qemu/9001/clone', {
      newid: 9011,
      name: 'home-all-blue',
      pool: t.site.proxmox.pool,
      full: false,
    }),
  )
  await t.proxmox.put(`${vm}/config`, { scsi13: `${t.site.proxmox.storage.iso}:iso/seed.iso,media=cdrom` })
}

beforeEach(async () => {
  dataDisk = undefined
  t.world.calls.length = 0
  t.world.disks.clear()
  t.shown.length = 0
  await makeSlot()
})
afterEach(async () => {
  t.lab.faults.clear()
  await removeLeftover(t.proxmox, places, 'blue', new AbortController().signal)
  await deleteData(t.options(), 'all')
})

const place = async (): Promise<DiskPlace> => diskPlace(await observeGroup(t.proxmox, places))
const pauseMs = 1
const take = (): Promise<void> =>
  activate(
    {
      proxmox: t.proxmox,
      places,
      pauseMs,
      progress: t.options().progress,
      readDataDisk: async () => dataDisk,
      writeDataDisk: async (state) => {
        dataDisk = state
      },
    },
    'blue',
    releaseId,
    5000,
  )
const giveBack = (): Promise<DiskPlace> => release({ proxmox: t.proxmox, places, pauseMs, progress: t.options().progress }, 'blue')

/** Of Proxmox's own tasks, which the group's VMs have had. */
const tasks = async (type: string): Promise<number> =>
  (await t.root.get<{ type: string; id: string }[]>('/nodes/pve/tasks', { limit: 5000 })).filter(
    (one) => one.type === type && /90(10|11)/.test(one.id),
  ).length

async function handOverAndBack(faults: readonly FaultOrder[]): Promise<void> {
  for (const fault of faults) t.lab.faults.order(fault)
  await take()
  const taken = await place()
  expect(taken).toMatchObject({ at: 'blue', disk: { key: 'scsi1' } })
  expect(await t.root.get(`${vm}/config`)).toMatchObject({ protection: 1 })
  await giveBack()
  expect(await place()).toMatchObject({ at: 'depot' })
  expect(await t.root.get(`${vm}/config`)).toMatchObject({ protection: 0 })
  expect(await t.root.get(`${vm}/status/current`)).toMatchObject({ status: 'stopped' })
  expect(t.world.calls.filter((call) => call.endsWith('format'))).toHaveLength(1)
}

const notTheAgent = '^/nodes/pve/qemu/\\d+/(?!agent)'
const steps: [method: string, path: string][] = [
  ['POST', '/9010/config$'],
  ['POST', '/9011/status/start$'],
  ['PUT', '/9011/config$'],
  ['POST', '/9010/move_disk$'],
  ['POST', '/9011/status/shutdown$'],
  ['POST', '/9011/move_disk$'],
]
/** A look at once would see nothing of what has begun. */
const slowTasks = ['qmconfig', 'qmstart', 'qmmove', 'qmshutdown'].map((type): FaultOrder => ({ task: { type }, delayMs: 400, times: 10 }))

describe('a handover and back', () => {
  it('of which no answer arrives does every step once', async () => {
    const before = await tasks('qmmove')
    await handOverAndBack([
      ...slowTasks,
      ...['POST', 'PUT'].map((method): FaultOrder => ({ request: { method, path: notTheAgent }, drop: 'after', times: 100 })),
    ])
    expect((await tasks('qmmove')) - before).toBe(2)
    expect(t.shown.join('\n')).toMatch(
      /take the data disk out of the depot: looking what became of it: .*did not say what became of POST \/nodes\/pve\/qemu\/9010\/move_disk/,
    )
  })

  it.each<[string, Omit<FaultOrder, 'request'>]>([
    ['whose requests are each lost once', { drop: 'before' }],
    ['whose requests are each handed on to nobody once', { status: 595, reason: 'Connection refused' }],
    ['of which pveproxy does not know what pvedaemon did', { status: 596, reason: 'Connection timed out' }],
  ])('%s is carried out all the same', async (_what, fault) => {
    await handOverAndBack(steps.map(([method, path]) => ({ ...fault, request: { method, path } })))
  })

  it.each(['before', 'after'] as const)('goes on when the API goes away %s each reassignment', async (drop) => {
    await handOverAndBack([
      ...slowTasks,
      ...['9010', '9011'].map((from): FaultOrder => ({ request: { method: 'POST', path: `/${from}/move_disk$` }, drop, awayMs: 600 })),
    ])
  })

  it('goes on when the API goes away while tasks and the guest are waited for', async () => {
    await handOverAndBack([
      ...slowTasks,
      { request: { method: 'GET', path: '/tasks/[^/]+/status$' }, drop: 'before', awayMs: 500 },
      { request: { method: 'GET', path: '/agent/exec-status' }, drop: 'before', awayMs: 500 },
      { request: { method: 'GET', path: '/9011/config' }, skip: 5, drop: 'before', awayMs: 500 },
    ])
  })

  it('goes on when a busy guest misses what its agent is asked', async () => {
    await handOverAndBack([
      { request: { method: 'GET', path: '/agent/exec-status' }, status: 500, reason: 'QEMU guest agent is not running', times: 8 },
    ])
    expect(t.shown.join('\n')).not.toContain('warning')
  })

  it.each([0, 1, 3, 4])('asks the guest again when the answer to call %i of its agent is lost', async (skip) => {
    for (const drop of ['before', 'after'] as const) t.lab.faults.order({ request: { method: 'POST', path: '/agent/exec$' }, drop, skip })
    await handOverAndBack([])
  })
})

it('a guest is drained before its VM is shut down, also when the API is away just then', async () => {
  await take()
  t.world.calls.length = 0
  t.lab.faults.order({ request: { method: 'POST', path: '/agent/exec$' }, drop: 'before', awayMs: 600 })
  await giveBack()
  expect(t.world.calls).toEqual(['home-all-blue drain', 'home-all-blue yield'])
})

it('a step that is refused after its answer was lost is looked at once more, and then it is the failure', async () => {
  t.lab.faults.order({ request: { method: 'POST', path: '/9010/move_disk$' }, drop: 'before' })
  t.lab.faults.order({ request: { method: 'POST', path: '/9010/move_disk$' }, status: 500, reason: 'no such disk', times: 5 })
  await expect(take()).rejects.toMatchObject({ code: 'proxmox-refused', message: expect.stringContaining('no such disk') })
  expect(t.lab.faults.list().find(({ status }) => status === 500)?.left).toBe(4)
  t.lab.faults.clear()
  await take()
  await giveBack()
})

it('answers that are always lost without anything done are a failure in the end', async () => {
  t.lab.faults.order({ request: { method: 'POST', path: '/9010/move_disk$' }, drop: 'before', times: 100 })
  await expect(take()).rejects.toMatchObject({ code: 'proxmox-unreachable', lost: true })
  expect(await place()).toMatchObject({ at: 'depot' })
  t.lab.faults.clear()
  await giveBack()
})

it.each(['before', 'after'] as const)('data is deleted when each answer is lost %s the work', async (drop) => {
  await take()
  await giveBack()
  await removeLeftover(t.proxmox, places, 'blue', new AbortController().signal)
  for (const task of ['qmcreate', 'qmmove', 'qmdestroy']) t.lab.faults.order({ task: { type: task }, delayMs: 300 })
  for (const [method, path] of [
    ['POST', '^/nodes/pve/qemu$'],
    ['POST', '/9010/move_disk$'],
    ['PUT', '/9011/config$'],
    ['DELETE', '/9011$'],
  ] as const)
    t.lab.faults.order({ request: { method, path }, drop })
  expect(await deleteData(t.options(), 'all')).toBeDefined()
  expect(await place()).toEqual({ at: 'nowhere' })
  await makeSlot()
})

it.each(['before', 'after'] as const)('what a run left is removed when the answers to that are lost %s the work', async (drop) => {
  await t.proxmox.task(await t.proxmox.post<string>(`${vm}/status/start`))
  for (const type of ['qmstop', 'qmdestroy']) t.lab.faults.order({ task: { type }, delayMs: 300 })
  for (const [method, path] of [
    ['POST', '/9011/status/stop$'],
    ['PUT', '/9011/config$'],
    ['DELETE', '/9011$'],
  ] as const)
    t.lab.faults.order({ request: { method, path }, drop })
  expect(await removeLeftover(t.proxmox, places, 'blue', new AbortController().signal)).toBe(true)
  await makeSlot()
})
