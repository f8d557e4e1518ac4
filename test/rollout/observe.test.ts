/** What a host's answers mean for whose VM is where. */
import { expect, it } from 'vitest'
import { ProxmoxError, type Proxmox } from '../../proxmox/client.ts'
import { checkIdentity, diskPlace, observeGroup, observeVm, placesOf } from '../../rollout/observe.ts'
import { newRelease } from '../../releases/deployment.ts'
import { exampleSite } from '../images/example.ts'

const site = exampleSite()
const release = newRelease(site, 'serena', 'blue', {
  id: '0123456789ab',
  created: new Date(),
  image: { vmid: 9001, name: 'i', fingerprint: 'f' },
})
const pins = { active: 'blue' as const, dataDisk: 'made' as const, slots: { blue: release } }
const unpinned = placesOf(site, 'serena', undefined)
const pinned = placesOf(site, 'serena', pins)

/** A host with these VMs, and others in the cluster. */
function host(vms: Readonly<Record<number, Record<string, string | number>>>, elsewhere: readonly number[] = []): Proxmox {
  const refused = (status: number, message: string): ProxmoxError =>
    new ProxmoxError(status === 500 ? 'vm-missing' : 'proxmox-refused', message, 'x', { status, method: 'GET', path: '' })
  const all: Record<number, Record<string, string | number>> = { 9200: { name: 'home-serena-depot', protection: 1 }, ...vms }
  return {
    get: async (path: string, query: { vmid?: number } = {}) => {
      if (path === '/cluster/nextid') {
        if (elsewhere.includes(Number(query.vmid))) throw refused(400, 'Parameter verification failed.')
        return query.vmid
      }
      const id = Number(/qemu\/(\d+)/.exec(path)?.[1])
      const config = all[id]
      if (config === undefined) throw refused(500, `Configuration file 'nodes/pve/qemu-server/${id}.conf' does not exist`)
      return path.endsWith('/config') ? config : { status: id === 9200 ? 'stopped' : 'running' }
    },
  } as unknown as Proxmox
}

it('a VM on another node is not one that is not there', async () => {
  expect(await observeVm(host({}), 'pve', 9201, 'scsi0')).toEqual({ there: false })
  expect(await observeVm(host({}, [9201]), 'pve', 9201, 'scsi0')).toEqual({ there: 'elsewhere' })
  const seen = await observeGroup(host({}, [9201]), pinned)
  expect(() => checkIdentity(pinned, seen)).toThrow(
    expect.objectContaining({
      code: 'vm-elsewhere',
      message: expect.stringMatching(/9201.*node pve \(proxmox\.node\)/),
      hint: expect.stringContaining('migrate it back'),
    }),
  )
})

it('what is pinned is looked for on the node that it was pinned for', () => {
  expect(placesOf({ ...site, proxmox: { ...site.proxmox, node: 'other' } }, 'serena', pins).node).toBe('pve')
  expect(placesOf({ ...site, proxmox: { ...site.proxmox, node: 'other' } }, 'serena', undefined).node).toBe('other')
})

it("a VM that is being made is the slot's own only if the slot is pinned", async () => {
  const proxmox = host({ 9201: { lock: 'clone' } })
  const before = await observeGroup(proxmox, unpinned)
  expect(() => checkIdentity(unpinned, before)).toThrow(expect.objectContaining({ code: 'vmid-taken' }))
  const after = await observeGroup(proxmox, pinned)
  checkIdentity(pinned, after)
  expect(after.slots.blue).toMatchObject({ there: true, lock: 'clone' })
})

it("somebody else's disks are nobody's data", async () => {
  const seen = await observeGroup(host({ 9201: { name: 'mail', scsi1: 'local-lvm:vm-9201-disk-1,size=32G' } }), pinned)
  expect(diskPlace(seen)).toEqual({ at: 'nowhere' })
  expect(() => checkIdentity(pinned, seen)).toThrow(
    expect.objectContaining({ code: 'vmid-taken', hint: expect.stringContaining('golden destroy serena') }),
  )
  expect(() => checkIdentity(unpinned, seen)).toThrow(
    expect.objectContaining({ hint: expect.stringContaining('Choose another groups.serena.slots.blue.vmid') }),
  )
})

it('the VM that takes deleted data along is known by its name', async () => {
  const seen = await observeGroup(host({ 9201: { name: 'home-serena-delete', unused0: 'local-lvm:vm-9201-disk-0' } }), unpinned)
  expect(() => checkIdentity(unpinned, seen)).toThrow(
    expect.objectContaining({ code: 'delete-data-interrupted', hint: expect.stringContaining('golden delete-data serena') }),
  )
})

it.each([
  ['32G', 32],
  ['512M', 0.5],
  ['1T', 1024],
])('a disk of size %s has %d GiB', async (size, gib) => {
  expect(
    diskPlace(
      await observeGroup(host({ 9201: { name: 'home-serena-blue', scsi1: `local-lvm:vm-9201-disk-1,discard=on,size=${size}` } }), pinned),
    ),
  ).toMatchObject({ at: 'blue', disk: { gib } })
})
