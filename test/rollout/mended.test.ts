/** What people, other computers and half-done runs have done to a deployment: mended, or refused with what mends it. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { loadContent, saveContent } from '../../lab/compute/fake/volumes.ts'
import { deleteData } from '../../rollout/delete-data.ts'
import { deploy } from '../../rollout/deploy.ts'
import { givenKey, seedTag } from '../../releases/given.ts'
import { destroy } from '../../rollout/destroy.ts'
import { readPins, updatePins } from '../../releases/pins.ts'
import { readStatus } from '../../rollout/status.ts'
import { planFiles, startOneVm, writeSite, type OneVm } from './one-vm.ts'

let t: OneVm
beforeAll(async () => {
  t = await startOneVm()
})
afterAll(() => t?.close())

it('a destroy that was stopped after the data went home is taken back by deploy, and so is what somebody did by hand', async () => {
  await deploy(t.options())
  await t.stopAt(/^destroy home-all/, destroy)
  expect(await t.place()).toMatchObject({ at: 'depot' })
  expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
  expect(await readStatus(t.options())).toMatchObject({ healthy: true, groups: { all: { activeSlot: 'blue' } } })

  await t.proxmox.agentExec('pve', 9011, ['/usr/local/sbin/slotctl', 'yield'])
  expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
  expect((await readStatus(t.options())).healthy).toBe(true)

  await t.proxmox.agentExec('pve', 9011, ['/usr/local/sbin/slotctl', 'yield'])
  await t.root.put('/nodes/pve/qemu/9011/config', { protection: 0 })
  await t.root.put('/nodes/pve/qemu/9011/config', { delete: 'scsi1' })
  expect(await t.place()).toMatchObject({ at: 'blue', disk: { key: 'unused0' } })
  expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
  expect((await readStatus(t.options())).healthy).toBe(true)
  expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged' }])
})

it("a seed that nobody knows of any more goes with its VM, and no other site's", async () => {
  const { node, storage } = t.site.proxmox
  const key = await givenKey(t.folder)
  const own = ['0123456789ab', 'ba9876543210'].map((id, index) => `seed-${9011 + index}-${id}${seedTag(key, 'home', 9011 + index, id)}.iso`)
  const others = [
    'seed-7000-0123456789ab.iso',
    'seed-9011-0123456789ab.iso',
    `seed-9011-0123456789ab${seedTag(Buffer.alloc(32), 'home', 9011, '0123456789ab')}.iso`,
  ]
  for (const name of [...own, ...others])
    await t.proxmox.upload({ node, storage: storage.iso, content: 'iso', filename: name, data: Buffer.from('x') })
  await destroy(t.options())
  const left = (await t.proxmox.get<{ volid: string }[]>(`/nodes/${node}/storage/${storage.iso}/content`, { content: 'iso' })).map(
    ({ volid }) => volid,
  )
  expect(left.sort()).toEqual(others.map((name) => `${storage.iso}:iso/${name}`).sort())
  for (const volid of left) await t.proxmox.del(`/nodes/${node}/storage/${storage.iso}/content/${encodeURIComponent(volid)}`)
})

it('a slot whose VMID somebody else has got by now: that VM is left alone, the release ends, the data is kept', async () => {
  await deploy(t.options())
  await t.removeSlot()
  await t.root.task(
    await t.root.post<string>('/nodes/pve/qemu', {
      vmid: 9011,
      name: 'mail',
      memory: 64,
      pool: t.site.proxmox.pool,
      scsi1: `${t.site.proxmox.storage.disks}:1`,
    }),
  )
  const config = await t.root.get('/nodes/pve/qemu/9011/config')
  await expect(deploy(t.options())).rejects.toMatchObject({
    code: 'vmid-taken',
    message: expect.stringContaining('mail'),
    hint: expect.stringContaining('golden destroy all'),
  })
  expect((await readStatus(t.options())).groups.all).toMatchObject({ health: 'absent', problems: [expect.stringContaining('mail')] })
  expect(await destroy(t.options())).toMatchObject([{ outcome: 'destroyed', dataDisk: 'kept', data: { depot: 9010 } }])
  expect(await t.root.get('/nodes/pve/qemu/9011/config')).toEqual(config)
  expect((await readPins(t.folder)).groups.all).toEqual({ dataDisk: 'made', depot: 9010, slots: {} })
  expect(await t.made()).toMatchObject({ seeds: [] })
  await t.root.task(await t.root.del<string>('/nodes/pve/qemu/9011'))
  expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
})

it("a VM that was given another name and still has the data is not taken for somebody else's", async () => {
  await t.root.put('/nodes/pve/qemu/9011/config', { name: 'mine' })
  await expect(destroy(t.options())).rejects.toMatchObject({ code: 'vmid-taken', hint: expect.stringContaining('give it its name') })
  await expect(deploy(t.options())).rejects.toMatchObject({ code: 'vmid-taken' })
  expect((await readPins(t.folder)).groups.all).toMatchObject({ active: 'blue' })
  await t.root.put('/nodes/pve/qemu/9011/config', { name: 'home-all-blue' })
  expect((await readStatus(t.options())).healthy).toBe(true)
})

it('a group that site.ts has lost is shown, and deploy refuses before it does anything', async () => {
  const site = structuredClone(t.site)
  site.groups = {
    other: {
      ...site.groups.all!,
      depot: 9110,
      slots: { blue: { vmid: 9111, address: '10.77.0.122' }, green: { vmid: 9112, address: '10.77.0.123' } },
    },
  }
  const before = await t.made()
  await expect(deploy(t.options({ site }))).rejects.toMatchObject({
    code: 'group-unknown',
    hint: expect.stringContaining('golden destroy all'),
  })
  expect(await t.made()).toEqual(before)
  expect(await readStatus(t.options({ site }))).toMatchObject({
    healthy: false,
    groups: { all: { activeSlot: 'blue', vm: { vmid: 9011, running: true }, problems: [expect.stringContaining('put it back')] } },
  })
})

it('a site that got another name is told to take the old one back, by every verb', async () => {
  const site = { ...t.site, name: 'casa' }
  for (const verb of [deploy, destroy, readStatus])
    await expect(verb(t.options({ site }))).rejects.toMatchObject({ code: 'site-renamed', hint: expect.stringContaining("name: 'home'") })
})

it('a state that another computer has locked is not settled', async () => {
  const server = createServer((request, response) => {
    response.statusCode = request.method === 'LOCK' ? 423 : request.method === 'GET' ? 404 : 200
    response.end(request.method === 'LOCK' ? JSON.stringify({ ID: 'abc', Who: 'me@there', Operation: 'apply' }) : '')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/state`
  const site = { ...t.site, backend: { type: 'http' as const, config: { address, lock_address: address, unlock_address: address } } }
  await writeSite(t, site)
  await expect(
    t.withEngine(
      async (engine) => {
        await engine.synth()
        await engine.init('home-all')
        await engine.tryLock('home-all')
      },
      { site },
    ),
  ).rejects.toMatchObject({ code: 'state-locked', message: expect.stringContaining('me@there') })
  server.close()
  await writeSite(t, t.site)
  await t.withEngine(async (engine) => {
    await engine.synth()
    await engine.init('home-all')
    await engine.tryLock('home-all')
  })
  expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged' }])
  await destroy(t.options())
})

/** Puts something on the data disk that is neither empty nor ours. @returns what takes it away again, wherever the disk is then */
async function takeForeign(): Promise<() => Promise<void>> {
  const file = async (): Promise<string> => {
    const place = await t.place()
    if (!('disk' in place)) throw new Error('there is no data disk')
    return t.fileOf(place.disk.volume)
  }
  const kept = loadContent(await file())
  saveContent(await file(), { kind: 'foreign', type: 'LVM2_member', uuid: 'x' })
  return async () => saveContent(await file(), kept)
}

it('a plain destroy after an activation that failed hands the data back, too', async () => {
  const giveBack = await takeForeign()
  await expect(deploy(t.options())).rejects.toMatchObject({ code: 'data-disk-foreign' })
  expect(await t.place()).toMatchObject({ at: 'blue' })
  await t.withEngine((engine) => engine.destroy('home-all', () => {}))
  expect(await t.place()).toMatchObject({ at: 'depot' })
  expect(await t.made()).toMatchObject({ vms: [9001, 9010] })
  await giveBack()
  expect(await destroy(t.options())).toMatchObject([{ dataDisk: 'kept' }])
})

it('a guest that refuses is named, destroy cleans up after it, and the data is safe', async () => {
  const giveBack = await takeForeign()
  await expect(deploy(t.options())).rejects.toMatchObject({
    code: 'data-disk-foreign',
    message: expect.stringContaining("not this project's file system"),
  })
  expect(await destroy(t.options())).toMatchObject([{ data: { depot: 9010 } }])
  await giveBack()
})

it('a VM that vanished is made again, with its data', async () => {
  await deploy(t.options())
  await t.removeSlot()

  const { description } = await t.root.get<{ description: string }>('/nodes/pve/qemu/9001/config')
  await t.root.put('/nodes/pve/qemu/9001/config', { description: description.replaceAll('0009001', '0009002') })
  await expect(deploy(t.options())).rejects.toMatchObject({ code: 'image-changed', message: expect.stringContaining('9001') })
  await t.root.put('/nodes/pve/qemu/9001/config', { description })
  expect(await planFiles(t)).toEqual([])

  expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
  expect((await readStatus(t.options())).healthy).toBe(true)
})

it('data that is not where it was is called missing, not never there', async () => {
  await destroy(t.options())
  await deleteData(t.options(), 'all')
  await updatePins(t.folder, 'all', () => ({ dataDisk: 'made', slots: {} }))
  expect(await destroy(t.options())).toMatchObject([{ outcome: 'absent', dataDisk: 'missing' }])
  expect(t.shown.at(-1)).toMatch(/neither in depot 9010 nor in a slot/)
  await expect(deploy(t.options())).rejects.toMatchObject({ code: 'data-disk-missing' })
  await updatePins(t.folder, 'all', () => undefined)
})
