/** Vnets of SDN: rights on them hang below their zone, and only those that the caller may use are listed. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startRig, type Rig } from './api-rig.ts'

let rig: Rig
let token: string
beforeAll(async () => {
  rig = await startRig({ vnets: { home: 'simple', other: 'simple' } })
  await rig.ok('POST', '/access/users', { form: { userid: 'robot@pve' } })
  token = `robot@pve!tk=${(await rig.ok('POST', '/access/users/robot@pve/token/tk', { form: { privsep: 0 } })).value}`
  await rig.ok('POST', '/access/roles', { form: { roleid: 'net', privs: 'SDN.Use' } })
  await rig.ok('POST', '/access/roles', { form: { roleid: 'vms', privs: 'VM.Allocate,VM.Config.Network,VM.Config.Memory' } })
  await rig.ok('PUT', '/access/acl', { form: { path: '/vms', roles: 'vms', users: 'robot@pve' } })
})
afterAll(() => rig.close())

it('what is listed, and what a card may be on', async () => {
  const names = async (): Promise<string[]> =>
    (await rig.ok('GET', '/nodes/pve/network', { query: { type: 'any_bridge' }, token })).map((one: { iface: string }) => one.iface)
  const make = (vmid: number, bridge: string) =>
    rig.call('POST', '/nodes/pve/qemu', { form: { vmid, memory: 64, net0: `virtio,bridge=${bridge}` }, token })
  expect(await names()).toEqual([])
  // What setup did for every bridge: of no use to a vnet.
  await rig.ok('PUT', '/access/acl', { form: { path: '/sdn/zones/localnetwork/home', roles: 'net', users: 'robot@pve' } })
  expect(await names()).toEqual([])
  expect((await make(100, 'home')).reason).toBe('Permission check failed (/sdn/zones/simple/home, SDN.Use)')
  await rig.ok('PUT', '/access/acl', { form: { path: '/sdn/zones/simple/home', roles: 'net', users: 'robot@pve' } })
  expect(await names()).toEqual(['home'])
  expect(await rig.ok('GET', '/cluster/sdn/vnets', { token })).toEqual([{ vnet: 'home', zone: 'simple', type: 'vnet' }])
  expect(await rig.wait((await make(100, 'home')).data)).toBe('OK')
  expect((await rig.ok('GET', '/cluster/sdn/vnets')).map((one: { vnet: string }) => one.vnet)).toEqual(['home', 'other'])
})
