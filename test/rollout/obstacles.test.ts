/** What keeps a data disk from being handed over is found out before a service is stopped, or anything made, for it. */
import { renameSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { activate } from '../../rollout/activate.ts'
import { deleteData } from '../../rollout/delete-data.ts'
import { deploy } from '../../rollout/deploy.ts'
import { destroy } from '../../rollout/destroy.ts'
import { diskPlace, observeGroup, placesOf, type DiskPlace } from '../../rollout/observe.ts'
import { readPins, updatePins } from '../../releases/pins.ts'
import { decideRelease, release } from '../../rollout/release.ts'
import { readSeedSecrets, uploadSeed } from '../../releases/seed.ts'
import { readStatus } from '../../rollout/status.ts'
import { newRelease, type Release } from '../../releases/deployment.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'

let t: RolloutLab
let rel: Release
let dataDisk: 'new' | 'made' | undefined
const slot = '/nodes/pve/qemu/9011'
const depot = '/nodes/pve/qemu/9010'

beforeAll(async () => {
  t = await startRolloutLab({}, 'one-vm')
  await t.addImage(9001)
  rel = newRelease(t.site, 'all', 'blue', {
    id: 'abcabcabcabc',
    created: new Date(),
    image: { vmid: 9001, name: 'x', fingerprint: 'f'.repeat(64) },
  })
  await uploadSeed(t.proxmox, rel, await readSeedSecrets(t.site, t.folder, rel))
  await t.root.put('/access/acl', {
    path: `/storage/${t.site.proxmox.storage.disks}`,
    roles: 'PVEDatastoreUser',
    tokens: t.site.proxmox.tokenId,
    users: t.site.proxmox.tokenId.split('!')[0] as string,
  })
})
afterAll(() => t?.close())

const places = () => placesOf(t.site, 'all', undefined)
const place = async (): Promise<DiskPlace> => diskPlace(await observeGroup(t.proxmox, places()))
const running = async (): Promise<boolean> => (await t.root.get<{ status: string }>(`${slot}/status/current`)).status === 'running'
const task = async (call: Promise<unknown>): Promise<void> => t.root.task((await call) as string)
const end = () => release({ proxmox: t.proxmox, places: places(), progress: t.options().progress, pauseMs: 20 }, 'blue')
const begin = () =>
  activate(
    {
      proxmox: t.proxmox,
      places: places(),
      progress: t.options().progress,
      pauseMs: 20,
      readDataDisk: async () => dataDisk,
      writeDataDisk: async (state) => {
        dataDisk = state
      },
    },
    'blue',
    rel.id,
    5000,
  )
/** Where a volume of the lab lies, whatever its storage calls it. */
const fileOf = (volume: string): string =>
  join(
    dirname(t.lab.connectionFile),
    'storage',
    t.site.proxmox.storage.disks,
    'images',
    /vm-(\d+)-/.exec(volume)?.[1] ?? '',
    volume.split(/[:/]/).at(-1) as string,
  )

async function makeSlot(): Promise<void> {
  await task(t.proxmox.post('/nodes/pve/qemu/9001/clone', { newid: 9011, name: rel.vm.name, pool: rel.vm.pool }))
  await t.proxmox.put(`${slot}/config`, {
    scsi13: `${rel.vm.seed},media=cdrom`,
    net0: `virtio=${rel.vm.mac},bridge=${t.site.proxmox.bridge}`,
  })
}

async function removeSlot(): Promise<void> {
  if (await running()) await task(t.root.post(`${slot}/status/stop`))
  await t.root.put(`${slot}/config`, { protection: 0 })
  await task(t.root.del(slot, { purge: 1 }))
}

it.each<[string, () => Promise<unknown>, () => Promise<unknown>, string, string]>([
  [
    'a snapshot',
    () => task(t.root.post(`${slot}/snapshot`, { snapname: 'before-update' })),
    () => task(t.root.del(`${slot}/snapshot/before-update`)),
    'disk-in-snapshot',
    'qm delsnapshot 9011 before-update',
  ],
  [
    'HA on the slot',
    () => t.root.post('/cluster/ha/resources', { sid: 'vm:9011' }),
    () => t.root.del('/cluster/ha/resources/vm:9011'),
    'ha-managed',
    'ha-manager remove vm:9011',
  ],
  [
    'HA on the depot',
    () => t.root.post('/cluster/ha/resources', { sid: 'vm:9010' }),
    () => t.root.del('/cluster/ha/resources/vm:9010'),
    'ha-managed',
    'ha-manager remove vm:9010',
  ],
  [
    'replication of the depot',
    () => t.root.post('/cluster/replication', { id: '9010-0', type: 'local', target: 'other' }),
    () => t.root.del('/cluster/replication/9010-0'),
    'replicated',
    'pvesr delete 9010-0',
  ],
  [
    'something that only Proxmox knows of',
    async () =>
      t.lab.faults.order({
        request: { method: 'POST', path: '/qemu/9011/move_disk$' },
        status: 500,
        reason: 'Storage does not support moving of this disk to another VM',
      }),
    async () => t.lab.faults.clear(),
    'handover-refused',
    'Nothing was stopped',
  ],
])(
  "a slot that can't give the disk back because of %s serves on",
  async (_what, put, take, code, hint) => {
    if ((await place()).at === 'nowhere') await makeSlot()
    await begin()
    const calls = t.world.calls.length
    await put()
    await expect(end()).rejects.toMatchObject({ code, hint: expect.stringContaining(hint) })
    expect(await running()).toBe(true)
    expect(t.world.calls.slice(calls)).toEqual([])
    await take()
  },
  60_000,
)

it('destroy says so of every group before it stops one, and status beforehand', async () => {
  await updatePins(t.folder, 'all', () => ({ dataDisk: 'made', depot: 9010, active: 'blue', slots: { blue: rel } }))
  await task(t.root.post(`${slot}/snapshot`, { snapname: 'kept' }))
  const calls = t.world.calls.length
  await expect(destroy(t.options())).rejects.toMatchObject({ code: 'disk-in-snapshot', message: expect.stringContaining('kept') })
  expect(t.world.calls.slice(calls)).toEqual([])
  expect(await readStatus(t.options())).toMatchObject({
    healthy: true,
    groups: { all: { warnings: [expect.stringContaining('qm delsnapshot 9011 kept')] } },
  })
  await task(t.root.del(`${slot}/snapshot/kept`))
  expect((await readStatus(t.options())).groups.all).toMatchObject({ warnings: [] })
  await updatePins(t.folder, 'all', () => undefined)
})

it('what comes in the way only after the VM was stopped: it is started again', async () => {
  t.lab.faults.order({ task: { type: 'qmmove' }, reason: 'lvrename failed' })
  await expect(end()).rejects.toMatchObject({
    code: 'handover-refused',
    message: expect.stringContaining('lvrename failed'),
    hint: expect.stringContaining('started again'),
  })
  expect(await running()).toBe(true)
  expect(await place()).toMatchObject({ at: 'blue' })
  expect(await end()).toMatchObject({ at: 'depot' })
  await removeSlot()
})

it('a hibernated VM is not waited for', () => {
  const vm = { there: true as const, digest: 'd', name: 'x', running: false, protected: true, lock: 'suspended', disks: [] }
  expect(
    decideRelease('all', 'blue', {
      group: { depot: { ...vm, lock: 'backup' }, slots: { blue: vm, green: { there: false } } },
      guest: undefined,
      drained: false,
      yielded: false,
      vmids: { slot: 9011, depot: 9010 },
    }),
  ).toMatchObject({ kind: 'refuse', refusal: { code: 'vm-suspended', hint: expect.stringContaining('qm resume 9011') } })
})

it('a depot whose disk a snapshot holds: deploy makes nothing, delete-data deletes nothing', async () => {
  await task(t.root.post(`${depot}/snapshot`, { snapname: 'mine' }))
  await updatePins(t.folder, 'all', () => ({ dataDisk: 'made', depot: 9010, slots: {} }))
  await expect(deploy(t.options())).rejects.toMatchObject({
    code: 'disk-in-snapshot',
    hint: expect.stringContaining('qm delsnapshot 9010 mine'),
  })
  expect((await readPins(t.folder)).groups.all?.slots).toEqual({})
  await expect(deleteData(t.options(), 'all')).rejects.toMatchObject({
    code: 'disk-in-snapshot',
    hint: expect.stringContaining('Nothing was deleted'),
  })
  expect(
    await t.root.get<{ vmid: number }[]>('/cluster/resources', { type: 'vm' }).then((list) => list.map(({ vmid }) => vmid).sort()),
  ).toEqual([9001, 9010])
  await task(t.root.del(`${depot}/snapshot/mine`))
})

/** As a node that loses its power in the middle of a reassignment: the volume has its new name, and nobody names it. */
async function loseOnTheWay(): Promise<void> {
  const found = await place()
  if (found.at !== 'depot') throw new Error('the disk is not at home')
  const to = fileOf(found.disk.volume.replaceAll('9010', '9011').replace('disk-0', 'disk-1'))
  await mkdir(dirname(to), { recursive: true })
  renameSync(fileOf(found.disk.volume), to)
  await t.root.put(`${depot}/config`, { protection: 0 })
  await t.root.put(`${depot}/config`, { delete: 'scsi1' })
  await t.root.put(`${depot}/config`, { delete: 'unused0' })
  await t.root.put(`${depot}/config`, { protection: 1 })
}

it('a volume that a killed reassignment has left in no configuration: first the command that finds it, an empty one last', async () => {
  await makeSlot()
  dataDisk = 'made'
  await loseOnTheWay()
  expect(await place()).toEqual({ at: 'nowhere' })
  const error = (await begin().catch((one: { code: string; hint: string }) => one)) as { code: string; hint: string }
  expect(error).toMatchObject({
    code: 'data-disk-missing',
    hint: expect.stringMatching(/^\S*vm-9011-disk-1\S* is on the storage.*"qm disk rescan --vmid 9011"/),
  })
  expect(error.hint.indexOf('rescan')).toBeLessThan(error.hint.indexOf('delete-data'))
  await removeSlot()
  await expect(deploy(t.options())).rejects.toMatchObject({
    code: 'data-disk-missing',
    hint: expect.stringMatching(/"qm disk rescan --vmid 9010" and "qm disk rescan --vmid 9011".*backup.*delete-data/),
  })
  rmSync(dirname(fileOf('vm-9011-disk-1')), { recursive: true, force: true })
})

it('a depot whose volume is gone: nothing is handed over, and delete-data comes to its end', async () => {
  await task(t.root.post(`${depot}/config`, { scsi1: `${t.site.proxmox.storage.disks}:1,serial=golden-data` }))
  const found = await place()
  if (found.at !== 'depot') throw new Error('the disk is not at home')
  rmSync(fileOf(found.disk.volume))
  expect(await place()).toMatchObject({ at: 'depot', disk: { gone: true } })
  await expect(deploy(t.options())).rejects.toMatchObject({
    code: 'data-disk-missing',
    message: expect.stringContaining(found.disk.volume),
  })
  expect(await destroy(t.options())).toMatchObject([{ outcome: 'absent', dataDisk: 'missing' }])
  expect(await deleteData(t.options(), 'all')).toBe(found.disk.volume)
  expect(await place()).toEqual({ at: 'nowhere' })
  expect((await readPins(t.folder)).groups).toEqual({})
  expect(await t.root.get(`${depot}/config`)).toMatchObject({ protection: 1 })
  expect(await t.root.get(`${depot}/config`)).not.toHaveProperty('scsi1')
})
