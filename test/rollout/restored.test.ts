/** A data disk out of a backup takes the place of the one that there is, as docs/how-to/backup-and-restore.md tells it. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { loadContent, saveContent } from '../../lab/compute/fake/volumes.ts'
import { activate } from '../../rollout/activate.ts'
import { diskPlace, observeGroup, placesOf, type DiskPlace, type GroupPlaces } from '../../rollout/observe.ts'
import { release } from '../../rollout/release.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'
import { slotSeed } from './slot-seed.ts'

const releaseId = 'ffffffffffff'
const slot = '/nodes/pve/qemu/9011'
const depot = 9010
/** What Proxmox restores a backup into: any number that is free. */
const restored = 999
let t: RolloutLab
let places: GroupPlaces
let dataDisk: 'new' | 'made' | undefined

beforeAll(async () => {
  t = await startRolloutLab({}, 'one-vm')
  await t.addImage(9001)
  places = placesOf(t.site, 'all', undefined)
  const { iso } = t.site.proxmox.storage
  await t.proxmox.upload({ node: 'pve', storage: iso, content: 'iso', filename: 'seed.iso', data: slotSeed(releaseId) })
  await t.proxmox.task(
    await t.proxmox.post<string>('/nodes/pve/qemu/9001/clone', {
      newid: 9011,
      name: 'home-all-blue',
      pool: t.site.proxmox.pool,
      full: false,
    }),
  )
  await t.proxmox.put(`${slot}/config`, { scsi13: `${iso}:iso/seed.iso,media=cdrom` })
})
afterAll(() => t?.close())

const place = async (): Promise<DiskPlace> => diskPlace(await observeGroup(t.proxmox, places))
const take = (): Promise<void> =>
  activate(
    {
      proxmox: t.proxmox,
      places,
      pauseMs: 1,
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
const giveBack = (): Promise<DiskPlace> => release({ proxmox: t.proxmox, places, pauseMs: 1, progress: t.options().progress }, 'blue')
const configOf = (vmid: number): Promise<Record<string, string>> => t.root.get(`/nodes/pve/qemu/${vmid}/config`)
const volumeIn = (value: string | undefined): string => value?.split(',')[0] ?? expect.fail('there is no disk')
/** `qm disk move FROM KEY --target-vmid TO --target-disk TARGET` */
const diskMove = async (from: number, disk: string, to: number, target: string): Promise<void> => {
  await t.root.task(await t.root.post<string>(`/nodes/pve/qemu/${from}/move_disk`, { disk, 'target-vmid': to, 'target-disk': target }))
}

it('the depot gives its disk away and gets the restored one: the next slot has that, and nothing is formatted', async () => {
  await take()
  await giveBack()
  const ours = await place()
  expect(ours).toMatchObject({ at: 'depot', disk: { key: 'scsi1' } })
  // What a backup brings: a VM with the data disk of that day.
  await t.root.task(
    await t.root.post<string>('/nodes/pve/qemu', {
      vmid: restored,
      name: 'restored',
      scsihw: 'virtio-scsi-pci',
      scsi0: `${t.site.proxmox.storage.disks}:1`,
      scsi1: `${t.site.proxmox.storage.disks}:3,serial=golden-data,discard=on`,
    }),
  )
  const thatDay = loadContent(t.fileOf(volumeIn((await configOf(depot)).scsi1)))
  if (thatDay.kind !== 'filesystem') return expect.fail('the data disk has no file system')
  saveContent(t.fileOf(volumeIn((await configOf(restored)).scsi1)), { ...thatDay, uuid: 'of-that-day' })

  await diskMove(depot, 'scsi1', restored, 'scsi2')
  expect(await place()).toEqual({ at: 'nowhere' })
  await diskMove(restored, 'scsi1', depot, 'scsi1')
  expect(await place()).toMatchObject({ at: 'depot', disk: { key: 'scsi1' } })

  await take()
  expect(await place()).toMatchObject({ at: 'blue', disk: { key: 'scsi1' } })
  expect(t.world.guest(9011)?.devices.disks.find(({ serial }) => serial === 'golden-data')?.content).toMatchObject({
    filesystem: { uuid: 'of-that-day' },
  })
  expect(t.world.calls.filter((call) => call.endsWith('format'))).toHaveLength(1)
  expect(await configOf(restored)).toHaveProperty('scsi2')
  await giveBack()
})
