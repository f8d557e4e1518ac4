/** What a token with the least privileges may do, and what it may not (facts measured on a real Proxmox VE). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startRig, type Rig } from './api-rig.ts'

let rig: Rig
let token: string
const poolRole =
  'VM.Allocate,VM.Audit,VM.Clone,VM.PowerMgmt,VM.Config.CDROM,VM.Config.CPU,VM.Config.Disk,VM.Config.HWType,VM.Config.Memory,VM.Config.Network,VM.Config.Options,VM.GuestAgent.Audit,Pool.Audit'

async function grant(role: string, privileges: string, path: string): Promise<void> {
  await rig.ok('POST', '/access/roles', { form: { roleid: role, privs: privileges } })
  for (const who of [{ users: 'robot@pve' }, { tokens: 'robot@pve!tk' }])
    await rig.ok('PUT', '/access/acl', { form: { path, roles: role, ...who } })
}

beforeAll(async () => {
  rig = await startRig()
  await rig.ok('POST', '/access/users', { form: { userid: 'robot@pve' } })
  token = `robot@pve!tk=${(await rig.ok('POST', '/access/users/robot@pve/token/tk', { form: { privsep: 1 } })).value}`
  for (const poolid of ['vms', 'depots']) await rig.ok('POST', '/pools', { form: { poolid } })
  await rig.ok('POST', '/storage', { form: { storage: 'seeds', type: 'dir', path: '/var/lib/seeds', content: 'iso,import' } })
  await grant('robot-vms', poolRole, '/pool/vms')
  await grant('robot-depots', 'VM.Config.Disk,VM.Audit,Pool.Audit', '/pool/depots')
  await grant('robot-disks', 'Datastore.AllocateSpace', '/storage/local-disks')
  await grant('robot-seeds', 'Datastore.Allocate,Datastore.AllocateTemplate,Datastore.Audit', '/storage/seeds')
  await grant('robot-net', 'SDN.Use', '/sdn/zones/localnetwork/vmbr0')
  await rig.done('POST', '/nodes/pve/qemu', { form: { vmid: 200, name: 'depot', pool: 'depots', protection: 1, scsi1: 'local-disks:1' } })
  await rig.done('POST', '/nodes/pve/qemu', { form: { vmid: 201, name: 'foreign' } })
})
afterAll(() => rig.close())

const as = (form?: Record<string, string | number>) => ({ token, ...(form === undefined ? {} : { form }) })

it('makes, templates, clones and destroys VMs in its pool', async () => {
  await rig.done(
    'POST',
    '/nodes/pve/qemu',
    as({ vmid: 110, pool: 'vms', scsi0: 'local-disks:1,format=qcow2', net0: 'virtio,bridge=vmbr0', memory: 64 }),
  )
  await rig.ok('PUT', '/nodes/pve/qemu/110/config', as({ tags: 'golden', name: 'image' }))
  await rig.done('POST', '/nodes/pve/qemu/110/template', as({}))
  await rig.done('POST', '/nodes/pve/qemu/110/clone', as({ newid: 111, pool: 'vms' }))
  await rig.done('DELETE', '/nodes/pve/qemu/111', as())
  await rig.done('DELETE', '/nodes/pve/qemu/110', as())
})

describe('is refused', () => {
  it.each([
    ['to make a VM outside its pool', 'POST', '/nodes/pve/qemu', { vmid: 120 }, ''],
    ["to look at another's VM", 'GET', '/nodes/pve/qemu/201/config', undefined, '(/vms/201, VM.Audit)'],
    ["to start another's VM", 'POST', '/nodes/pve/qemu/201/status/start', {}, '(/vms/201, VM.PowerMgmt)'],
    ['to unprotect a depot', 'PUT', '/nodes/pve/qemu/200/config', { protection: 0 }, '(/vms/200, VM.Config.Options)'],
    ['to destroy a depot', 'DELETE', '/nodes/pve/qemu/200', undefined, '(/vms/200, VM.Allocate)'],
    [
      'to delete a disk through its storage',
      'DELETE',
      '/nodes/pve/storage/local-disks/content/local-disks:200/vm-200-disk-0.raw',
      undefined,
      '(/storage/local-disks, Datastore.Allocate)',
    ],
    [
      'to use another bridge',
      'POST',
      '/nodes/pve/qemu',
      { vmid: 121, pool: 'vms', net0: 'virtio,bridge=vmbr9' },
      '(/sdn/zones/localnetwork/vmbr9, SDN.Use)',
    ],
    [
      'to use another storage',
      'POST',
      '/nodes/pve/qemu',
      { vmid: 121, pool: 'vms', scsi0: 'local:1' },
      '(/storage/local, Datastore.AllocateSpace)',
    ],
    [
      'to fetch from the network',
      'POST',
      '/nodes/pve/storage/seeds/download-url',
      { url: 'http://127.0.0.1/', content: 'iso', filename: 'a.iso' },
      '',
    ],
    ['to change the datacenter firewall', 'PUT', '/cluster/firewall/options', { enable: 1 }, '(/, Sys.Modify)'],
    ['to make pools, roles or users', 'POST', '/pools', { poolid: 'mine' }, '(/pool/mine, Pool.Allocate)'],
  ] as const)('%s', async (_, method, path, form, what) => {
    const answer = await rig.call(method, path, as(form as Record<string, string | number> | undefined))
    expect([answer.status, answer.reason]).toEqual([403, `Permission check failed${what === '' ? '' : ` ${what}`}`])
  })
})

it('tags of a new VM need a privilege that the pool does not give: the task fails and nothing is left', async () => {
  const upid = await rig.ok('POST', '/nodes/pve/qemu', as({ vmid: 130, pool: 'vms', tags: 'a', scsi0: 'local-disks:1' }))
  expect(await rig.wait(upid)).toBe('unable to create VM 130 - 403 Permission check failed (/vms/130, VM.Config.Options)')
  expect((await rig.call('GET', '/nodes/pve/qemu/130/config')).status).toBe(500)
  expect((await rig.ok('GET', '/pools', { query: { poolid: 'vms' } }))[0].members).toEqual([])
})

it('sees its own privileges and only what it may see', async () => {
  expect(await rig.ok('GET', '/access/permissions', { token, query: { path: '/vms/999' } })).toEqual({ '/vms/999': {} })
  const pool = (await rig.ok('GET', '/access/permissions', { token, query: { path: '/pool/depots' } }))['/pool/depots']
  expect(Object.keys(pool).sort()).toEqual(['Pool.Audit', 'VM.Audit', 'VM.Config.Disk'])
  const seen = (await rig.ok('GET', '/cluster/resources', { token, query: { type: 'vm' } })).map((vm: { vmid: number }) => vm.vmid)
  expect(seen).toContain(200)
  expect(seen).not.toContain(201)
  expect((await rig.call('GET', '/cluster/nextid', { token, query: { vmid: 201 } })).status).toBe(400)
})

it('a token is no more than its user, an expired or deleted one is nobody', async () => {
  const secret = (await rig.ok('POST', '/access/users/robot@pve/token/more', { form: { privsep: 1 } })).value
  const more = `robot@pve!more=${secret}`
  await rig.ok('PUT', '/access/acl', { form: { path: '/', roles: 'Administrator', tokens: 'robot@pve!more' } })
  expect((await rig.call('GET', '/nodes/pve/qemu/201/config', { token: more })).status).toBe(403)
  await rig.ok('PUT', '/access/users/robot@pve/token/more', { form: { expire: 1 } })
  expect(await rig.call('GET', '/version', { token: more })).toMatchObject({ status: 401, reason: 'Authentication failed!' })
  await rig.ok('DELETE', '/access/users/robot@pve/token/more')
  expect((await rig.call('GET', '/version', { token: more })).status).toBe(401)
  await rig.ok('PUT', '/access/users/robot@pve', { form: { enable: 0 } })
  expect((await rig.call('GET', '/version', { token })).reason).toBe('Authentication failed!')
  await rig.ok('PUT', '/access/users/robot@pve', { form: { enable: 1 } })
})

it("root's token is not root", async () => {
  for (const key of ['args', 'lock', 'hookscript', 'vmgenid']) {
    const value = { args: '-x', lock: 'backup', hookscript: 'local:snippets/x', vmgenid: '1' }[key] as string
    expect((await rig.call('PUT', '/nodes/pve/qemu/201/config', { form: { [key]: value } })).reason).toBe(
      `only root can set '${key}' config`,
    )
  }
})

it('ACLs go with what they are about', async () => {
  await rig.ok('POST', '/pools', { form: { poolid: 'short' } })
  await rig.ok('PUT', '/access/acl', { form: { path: '/pool/short', roles: 'PVEVMUser', users: 'robot@pve' } })
  await rig.ok('DELETE', '/pools/short')
  const paths = (await rig.ok('GET', '/access/acl')).map((acl: { path: string }) => acl.path)
  expect(paths).toContain('/pool/vms')
  expect(paths).not.toContain('/pool/short')
})
