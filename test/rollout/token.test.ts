/** What the token that setup makes can't do to a depot and its data, and what only backups guard against. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { markDoomed } from '../../proxmox/doomed.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'

let t: RolloutLab
let volume = ''
const node = '/nodes/pve'
const configOf = (vmid: number): Promise<Record<string, unknown>> => t.root.get(`${node}/qemu/${vmid}/config`)

beforeAll(async () => {
  t = await startRolloutLab()
  // A depot with data, and a VM of the site that somebody with the token does what they like with.
  await t.root.put(`${node}/qemu/9010/config`, { scsi1: `${t.site.proxmox.storage.disks}:1` })
  volume = String((await configOf(9010)).scsi1).split(',')[0] ?? ''
  await t.proxmox.task(
    await t.proxmox.post<string>(`${node}/qemu`, { vmid: 9011, name: 'home-serena-blue', pool: t.site.proxmox.pool, memory: 64 }),
  )
})
afterAll(() => t?.close())

const volumes = async (): Promise<string[]> =>
  (await t.root.get<{ volid: string }[]>(`${node}/storage/${t.site.proxmox.storage.disks}/content`)).map((one) => one.volid)
const done = async (upid: Promise<string>): Promise<void> => t.proxmox.task(await upid)

const ways: [string, () => Promise<unknown>][] = [
  ['import it', () => t.proxmox.put(`${node}/qemu/9011/config`, { scsi1: `${t.site.proxmox.storage.disks}:0,import-from=${volume}` })],
  ['destroy its depot', () => t.proxmox.del(`${node}/qemu/9010`)],
  ['delete it', () => t.proxmox.del(`${node}/storage/${t.site.proxmox.storage.disks}/content/${encodeURIComponent(volume)}`)],
  [
    'detach and free it',
    async () => {
      await t.proxmox.put(`${node}/qemu/9010/config`, { delete: 'scsi1', force: 1 })
    },
  ],
]

it.each(ways)("a depot's data disk: can't %s", async (_way, attempt) => {
  const before = await configOf(9010)
  const refused = await attempt()
    .then(
      async (upid) => t.proxmox.task(String(upid)).then(() => undefined),
      (error: unknown) => error,
    )
    .catch((error: unknown) => error)
  expect(refused).toMatchObject({ name: 'ProxmoxError' })
  expect(await configOf(9010)).toEqual(before)
  expect(await volumes()).toContain(volume)
})

it("the disk of a VM that is not the site's stays out of reach, Datastore.Audit or not", async () => {
  await t.root.task(
    await t.root.post<string>(`${node}/qemu`, { vmid: 7000, name: 'mail', memory: 64, scsi0: `${t.site.proxmox.storage.disks}:1` }),
  )
  const foreign = String((await configOf(7000)).scsi0).split(',')[0] ?? ''
  await expect(t.proxmox.put(`${node}/qemu/9011/config`, { scsi1: foreign })).rejects.toMatchObject({ status: 403 })
  await expect(
    t.proxmox.get(`${node}/storage/${t.site.proxmox.storage.disks}/content/${encodeURIComponent(foreign)}`),
  ).rejects.toMatchObject({ status: 403 })
})

// What docs/security.md says of a stolen token.
it('the same data disk can be destroyed by way of a VM of the pool, as delete-data does', async () => {
  await done(t.proxmox.post(`${node}/qemu/9010/move_disk`, { disk: 'scsi1', 'target-vmid': 9011, 'target-disk': 'unused0' }))
  await markDoomed(t.proxmox, 'pve', 9011, String((await configOf(9011)).digest))
  await done(t.proxmox.del(`${node}/qemu/9011`))
  expect((await volumes()).filter((one) => !/vm-7000/.test(one))).toEqual([])
})

it('with what it takes to write a claim a depot can be unprotected and its disk freed, which is no more than that; the depot itself stays', async () => {
  const own = async (): Promise<string[]> => (await volumes()).filter((one) => /vm-9010/.test(one))
  await t.root.put(`${node}/qemu/9010/config`, { scsi1: `${t.site.proxmox.storage.disks}:1` })
  expect(await own()).toHaveLength(1)
  await t.proxmox.put(`${node}/qemu/9010/config`, { protection: 0 })
  await expect(t.proxmox.del(`${node}/qemu/9010`)).rejects.toMatchObject({ code: 'permission-denied' })
  await t.proxmox.put(`${node}/qemu/9010/config`, { delete: 'scsi1' })
  await t.proxmox.put(`${node}/qemu/9010/config`, { delete: 'unused0' })
  expect(await own()).toEqual([])
})
