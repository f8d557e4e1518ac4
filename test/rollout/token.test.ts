/** What the token that setup makes can't do to the data of the site, whatever it tries. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startRolloutLab, type RolloutLab } from './lab.ts'

let t: RolloutLab
let volume = ''
const node = '/nodes/pve'
const configOf = (vmid: number): Promise<Record<string, unknown>> => t.root.get(`${node}/qemu/${vmid}/config`)

beforeAll(async () => {
  t = await startRolloutLab()
  // A depot with data, and a VM of the site that somebody with the token does what they like with.
  await t.root.put(`${node}/qemu/9010/config`, { scsi1: `${t.site.proxmox.storage.disks}:1` })
  volume = String((await configOf(9010))['scsi1']).split(',')[0] ?? ''
  await t.proxmox.task(await t.proxmox.post<string>(`${node}/qemu`, { vmid: 9011, name: 'home-serena-blue', pool: t.site.proxmox.pool, memory: 64 }))
})
afterAll(() => t?.close())

const ways: [string, () => Promise<unknown>][] = [
  ['attach it', () => t.proxmox.put(`${node}/qemu/9011/config`, { scsi1: volume })],
  ['attach it as a task', () => t.proxmox.post(`${node}/qemu/9011/config`, { scsi1: volume })],
  ['attach it as a CD', () => t.proxmox.put(`${node}/qemu/9011/config`, { ide2: `${volume},media=cdrom` })],
  ['import it', () => t.proxmox.put(`${node}/qemu/9011/config`, { scsi1: `${t.site.proxmox.storage.disks}:0,import-from=${volume}` })],
  ['make a VM with it', () => t.proxmox.post(`${node}/qemu`, { vmid: 9012, pool: t.site.proxmox.pool, scsi0: volume })],
  ['unprotect its depot', () => t.proxmox.put(`${node}/qemu/9010/config`, { protection: 0 })],
  ['destroy its depot', () => t.proxmox.del(`${node}/qemu/9010`)],
  ['delete it', () => t.proxmox.del(`${node}/storage/${t.site.proxmox.storage.disks}/content/${encodeURIComponent(volume)}`)],
  ['detach and free it', async () => { await t.proxmox.put(`${node}/qemu/9010/config`, { delete: 'scsi1', force: 1 }) }]
]

test.each(ways)('a depot\'s data disk: can\'t %s', async (_way, attempt) => {
  const before = await configOf(9010)
  const refused = await attempt().then(async (upid) => t.proxmox.task(String(upid)).then(() => undefined), (error: unknown) => error).catch((error: unknown) => error)
  expect(refused).toMatchObject({ name: 'ProxmoxError' })
  expect(await configOf(9010)).toEqual(before)
  expect(await t.root.get(`${node}/storage/${t.site.proxmox.storage.disks}/content`)).toContainEqual(expect.objectContaining({ volid: volume }))
})
