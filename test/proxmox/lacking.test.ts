/** What a token lacks, by what Proxmox tells it of itself. */
import { expect, it } from 'vitest'
import { lackingOn } from '../../proxmox/lacking.ts'
import { looking } from '../../proxmox/looking.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import { privilegeTable } from '../../proxmox/privileges.ts'

const table = privilegeTable({ node: 'pve', pool: 'golden', depotPool: 'depots', disks: 'tank', iso: 'isos', bridge: 'vmbr0' })
const target = (path: string) => table.find((one) => one.path === path)!

it('what is granted on the path itself, and what comes down from above', () => {
  const disks = target('/storage/tank')
  expect(lackingOn(disks, { '/storage/tank': { 'Datastore.AllocateSpace': 1, 'Datastore.Audit': 0 } })).toBeUndefined()
  expect(lackingOn(disks, { '/storage': { 'Datastore.AllocateSpace': 1, 'Datastore.Audit': 1 } })).toBeUndefined()
  expect(lackingOn(disks, { '/': { 'Datastore.AllocateSpace': 1, 'Datastore.Audit': 1 } })).toBeUndefined()
  // On the path above alone, without what is below.
  expect(lackingOn(disks, { '/storage': { 'Datastore.AllocateSpace': 1, 'Datastore.Audit': 0 } })).toEqual({
    missing: ['Datastore.Audit'],
    all: false,
  })
  // What is nearer counts.
  expect(lackingOn(disks, { '/': { 'Datastore.AllocateSpace': 1, 'Datastore.Audit': 1 }, '/storage': { 'Datastore.Audit': 1 } })).toEqual({
    missing: ['Datastore.AllocateSpace'],
    all: false,
  })
  expect(lackingOn(disks, { '/storage/other': { 'Datastore.AllocateSpace': 1, 'Datastore.Audit': 1 } })).toEqual({
    missing: disks.privileges,
    all: true,
  })
})

it('a vnet may be in any zone of SDN', () => {
  const bridge = target('/sdn/zones/localnetwork/vmbr0')
  expect(lackingOn(bridge, { '/sdn/zones/lab/vmbr0': { 'SDN.Use': 1 } })).toBeUndefined()
  expect(lackingOn(bridge, { '/sdn/zones/localnetwork': { 'SDN.Use': 1 } })).toBeUndefined()
  expect(lackingOn(bridge, { '/sdn/zones/lab/vmbr00': { 'SDN.Use': 1 }, '/sdn/zones/lab/x-vmbr0': { 'SDN.Use': 1 } })).toMatchObject({
    all: true,
  })
})

it('whoever looks changes nothing, and asks nothing twice', async () => {
  const asked: string[] = []
  const proxmox = {
    get: async (path: string, query?: object) => asked.push(`${path} ${JSON.stringify(query ?? {})}`),
  } as unknown as Proxmox
  const look = looking(proxmox)
  await Promise.all([look.get('/version'), look.get('/version'), look.get('/pools', { poolid: 'a' }), look.get('/pools', { poolid: 'b' })])
  expect(asked).toEqual(['/version {}', '/pools {"poolid":"a"}', '/pools {"poolid":"b"}'])
  for (const change of [look.post, look.put, look.del]) await expect(change('/pools')).rejects.toThrow('changes nothing')
  await expect(look.upload({} as never)).rejects.toThrow('changes nothing')
})
