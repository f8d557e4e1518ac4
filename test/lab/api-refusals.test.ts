/** What Proxmox VE refuses beyond a method's own permission expression and schema (PVE::API2::ACL, ::Qemu, ::Storage). */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createFakeDriver } from '../../lab/compute/fake/driver.ts'
import type { FirewallState } from '../../lab/compute/driver.ts'
import { sha256Crypt } from '../../lab/api/vm/password.ts'
import { startRig, type Answer, type Rig } from './api-rig.ts'

let rig: Rig
let token: string
/** What the network was told last. */
let firewall: FirewallState | undefined
const everything = [
  'VM.Allocate',
  'VM.Audit',
  'VM.Clone',
  'VM.PowerMgmt',
  'VM.Config.CDROM',
  'VM.Config.CPU',
  'VM.Config.Cloudinit',
  'VM.Config.Disk',
  'VM.Config.HWType',
  'VM.Config.Memory',
  'VM.Config.Network',
  'VM.Config.Options',
]
const at = '/nodes/pve/qemu'
const config = (vmid: number) => rig.ok('GET', `${at}/${vmid}/config`)
const as = (form?: Record<string, string | number>) => ({ token, ...(form === undefined ? {} : { form }) })
const put = (vmid: number, form: Record<string, string | number>) => rig.call('PUT', `${at}/${vmid}/config`, { form })
const putAs = (vmid: number, form: Record<string, string | number>) => rig.call('PUT', `${at}/${vmid}/config`, as(form))
const refused = ({ status, reason }: Answer) => [status, reason]
const denied = (what: string) => [403, `Permission check failed (${what})`]

/** The token has these privileges in its pool, and no others there. */
const limitTo = (privileges: readonly string[]) => rig.ok('PUT', '/access/roles/pool', { form: { privs: privileges.join(',') } })
const without = (...names: string[]) => limitTo(everything.filter((privilege) => !names.includes(privilege)))

async function grant(role: string, path: string): Promise<void> {
  for (const who of [{ users: 'robot@pve' }, { tokens: 'robot@pve!tk' }])
    await rig.ok('PUT', '/access/acl', { form: { path, roles: role, ...who } })
}

beforeAll(async () => {
  rig = await startRig({
    createDriver: async (options) => {
      const driver = await createFakeDriver(options)
      const apply = driver.network.applyFirewall.bind(driver.network)
      driver.network.applyFirewall = async (state) => {
        firewall = state
        await apply(state)
      }
      return driver
    },
  })
  await rig.ok('POST', '/access/users', { form: { userid: 'robot@pve' } })
  token = `robot@pve!tk=${(await rig.ok('POST', '/access/users/robot@pve/token/tk', { form: { privsep: 1 } })).value}`
  await rig.ok('POST', '/pools', { form: { poolid: 'vms' } })
  await rig.ok('POST', '/access/roles', { form: { roleid: 'pool', privs: everything.join(',') } })
  await rig.ok('POST', '/access/roles', { form: { roleid: 'disks', privs: 'Datastore.AllocateSpace' } })
  await rig.ok('POST', '/access/roles', { form: { roleid: 'net', privs: 'SDN.Use' } })
  await rig.ok('POST', '/storage', { form: { storage: 'isos', type: 'dir', path: '/var/lib/isos', content: 'iso,import' } })
  await grant('pool', '/pool/vms')
  await grant('disks', '/storage/local-disks')
  await grant('net', '/sdn/zones/localnetwork/vmbr0')
  await rig.done('POST', at, {
    form: {
      vmid: 100,
      pool: 'vms',
      memory: 64,
      scsihw: 'virtio-scsi-pci',
      scsi0: 'local-disks:1,format=qcow2',
      net0: 'virtio,bridge=vmbr0',
    },
  })
  await rig.done('POST', at, { form: { vmid: 200, scsi0: 'local-disks:1,format=qcow2' } })
})
afterAll(() => rig.close())

it('a token hands on what it has on its own VM, and no more', async () => {
  const give = (form: Record<string, string | number>) =>
    rig.call('PUT', '/access/acl', as({ path: '/vms/100', tokens: 'robot@pve!tk', ...form }))
  const wrapped = [500, 'ACL update failed: 400 Parameter verification failed.']
  const administrator = await give({ roles: 'Administrator', propagate: 0 })
  expect(refused(administrator)).toEqual(wrapped)
  expect(administrator.body.message).toContain(
    "\nrole: Cannot add role 'Administrator' - requires 'Permissions.Modify' or superset of privileges.\n",
  )
  const below = await give({ roles: 'pool' })
  expect(below.body.message).toContain(
    "role: Cannot add role 'pool' with propagation - requires 'Permissions.Modify' or propagated superset of privileges.",
  )
  expect((await give({ roles: 'NoAccess', propagate: 0 })).body.message).toContain(
    "role: Cannot add role 'NoAccess' - requires 'Permissions.Modify'",
  )
  // One of two roles is too much: neither is given.
  expect((await give({ roles: 'pool,Administrator', propagate: 0 })).status).toBe(500)
  expect((await rig.ok('GET', '/access/acl')).filter((acl: { path: string }) => acl.path === '/vms/100')).toEqual([])
  expect((await give({ roles: 'pool', propagate: 0 })).status).toBe(200)
  expect((await give({ roles: 'Administrator', delete: 1 })).body.message).toContain("Cannot remove role 'Administrator'")
  expect((await give({ roles: 'pool', delete: 1 })).status).toBe(200)
})

it('privileges from a pool do not propagate, and are listed for its members', async () => {
  const all = await rig.ok('GET', '/access/permissions', { token })
  expect(all['/pool/vms']['VM.Audit']).toBe(1)
  expect(all['/vms/100']['VM.Audit']).toBe(0)
  expect(await rig.ok('GET', '/access/permissions', { token, query: { path: '/vms/100' } })).toEqual({
    '/vms/100': Object.fromEntries(everything.map((privilege) => [privilege, 0])),
  })
})

it("importing another VM's disk is cloning that VM", async () => {
  const source = (await config(200)).scsi0.split(',')[0]
  expect(refused(await putAs(100, { scsi1: `local-disks:0,import-from=${source}` }))).toEqual(denied('/vms/200, VM.Clone'))
  expect(refused(await rig.call('POST', at, as({ vmid: 101, pool: 'vms', scsi0: `local-disks:0,import-from=${source}` })))).toEqual(
    denied('/vms/200, VM.Clone'),
  )
  await without('VM.Clone')
  const own = (await config(100)).scsi0.split(',')[0]
  expect(refused(await putAs(100, { scsi1: `local-disks:0,import-from=${own}` }))).toEqual(denied('/vms/100, VM.Clone'))
  await limitTo(everything)
  expect((await putAs(100, { scsi1: `local-disks:0,import-from=${own}` })).status).toBe(200)
  await put(100, { delete: 'scsi1' })
  await put(100, { delete: 'unused0' })
})

it('to start a new VM takes what starting one takes, and a default storage its space', async () => {
  await without('VM.PowerMgmt')
  expect(refused(await rig.call('POST', at, as({ vmid: 101, pool: 'vms', start: 1 })))).toEqual(denied('/vms/101, VM.PowerMgmt'))
  await limitTo(everything)
  expect(refused(await rig.call('POST', at, as({ vmid: 101, pool: 'vms', storage: 'local' })))).toEqual(
    denied('/storage/local, Datastore.AllocateSpace'),
  )
  await rig.done('POST', at, as({ vmid: 101, pool: 'vms', storage: 'local-disks', scsi0: '1', ide2: 'cloudinit', memory: 64, start: 1 }))
  expect(await config(101)).toMatchObject({
    scsi0: 'local-disks:101/vm-101-disk-0.raw,size=1G',
    ide2: 'local-disks:101/vm-101-cloudinit.qcow2,media=cdrom',
  })
  await rig.done('POST', `${at}/101/status/stop`)
  await rig.done('DELETE', `${at}/101`)
  expect(refused(await put(100, { scsi5: '1' }))).toEqual([500, 'no storage ID specified (and no default storage)'])
})

it('a card that leaves a bridge needs that bridge too', async () => {
  await put(100, { net1: 'virtio,bridge=vmbr9', net2: 'virtio,bridge=vmbr9' })
  const bridge = denied('/sdn/zones/localnetwork/vmbr9, SDN.Use')
  expect(refused(await putAs(100, { net1: 'virtio,bridge=vmbr0' }))).toEqual(bridge)
  expect(refused(await putAs(100, { delete: 'net2' }))).toEqual(bridge)
  await put(100, { delete: 'net1,net2' })
  expect((await putAs(100, { net0: 'virtio,bridge=vmbr0,firewall=1' })).status).toBe(200)
})

it('a cloud-init drive comes and goes with both of its privileges', async () => {
  for (const privilege of ['VM.Config.Cloudinit', 'VM.Config.CDROM']) {
    await without(privilege)
    expect(refused(await putAs(100, { ide2: 'local-disks:cloudinit' }))).toEqual(denied(`/vms/100, ${privilege}`))
  }
  await limitTo(everything)
  expect((await putAs(100, { ide2: 'local-disks:cloudinit' })).status).toBe(200)
  await without('VM.Config.Cloudinit')
  expect(refused(await putAs(100, { delete: 'ide2' }))).toEqual(denied('/vms/100, VM.Config.Cloudinit'))
  await limitTo(everything)
  expect((await putAs(100, { delete: 'cdrom' })).status).toBe(200)
  expect(await config(100)).not.toHaveProperty('ide2')
})

it('whoever destroys a disk may allocate one', async () => {
  await put(100, { scsi1: 'local-disks:1', scsi2: 'local-disks:1', ide0: 'none,media=cdrom' })
  await put(100, { delete: 'scsi2' })
  await rig.ok('PUT', '/access/acl', { form: { path: '/storage/local-disks', roles: 'disks', tokens: 'robot@pve!tk', delete: 1 } })
  const space = denied('/storage/local-disks, Datastore.AllocateSpace')
  expect(refused(await putAs(100, { delete: 'unused0' }))).toEqual(space)
  expect(refused(await putAs(100, { delete: 'scsi1', force: 1 }))).toEqual(space)
  expect(await config(100)).toMatchObject({ scsi1: expect.any(String), unused0: expect.any(String) })
  await without('VM.Config.Disk')
  expect(refused(await putAs(100, { delete: 'ide0', force: 1 }))).toEqual(denied('/vms/100, VM.Config.Disk'))
  await limitTo(everything)
  await grant('disks', '/storage/local-disks')
  expect((await putAs(100, { delete: 'scsi1,unused0,ide0', force: 1 })).status).toBe(200)
  const volumes = (await rig.ok('GET', '/nodes/pve/storage/local-disks/content', { query: { vmid: 100 } })).map(
    (item: { volid: string }) => item.volid,
  )
  expect(volumes).toEqual(['local-disks:100/vm-100-disk-0.qcow2'])
})

it.each([
  ['an ISO that does not say that it is a CD', { ide0: 'isos:iso/x.iso' }, { ide0: "explicit 'media=cdrom' is required for iso images" }],
  [
    'an import of a size',
    { scsi1: 'local-disks:5,import-from=local-disks:200/vm-200-disk-0.qcow2' },
    { scsi1: "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>" },
  ],
  ['the deletion of what is no option', { delete: 'nosuch' }, { delete: "unknown option 'nosuch'" }],
  ['the revert of what is no option', { revert: 'net99' }, { revert: "unknown option 'net99'" }],
  [
    'the import of an ISO',
    { scsi1: 'local-disks:0,import-from=isos:iso/x.iso' },
    { scsi1: "isos:iso/x.iso has wrong type 'iso' - needs to be 'images' or 'import'" },
  ],
])('%s is a 400', async (_, form, errors) => {
  const answer = await put(100, form)
  expect([answer.status, answer.body.errors]).toEqual([400, errors])
})

it('a change of nothing, and more memory to give back than there is', async () => {
  expect(refused(await put(100, {}))).toEqual([500, 'no options specified'])
  const { digest } = await config(100)
  expect(refused(await put(100, { digest }))).toEqual([500, 'no options specified'])
  const tooLarge = [500, 'balloon value too large (must be smaller than assigned memory)']
  expect(refused(await put(100, { balloon: 128 }))).toEqual(tooLarge)
  expect((await put(100, { memory: 256, balloon: 128 })).status).toBe(200)
  expect(refused(await put(100, { memory: 64 }))).toEqual(tooLarge)
  expect((await put(100, { memory: 64, balloon: 0 })).status).toBe(200)
  // An option all the same, though nobody sets it here.
  expect(refused(await put(100, { delete: 'amd-sev' }))).toEqual([500, "only root can set 'amd-sev' config"])
})

it('disks go only where disks may be, and nothing goes to a disabled storage', async () => {
  const images = [400, { storage: "storage 'isos' does not support vm images" }]
  const clone = await rig.call('POST', `${at}/200/clone`, { form: { newid: 201, full: 1, storage: 'isos' } })
  expect([clone.status, clone.body.errors]).toEqual(images)
  const move = await rig.call('POST', `${at}/200/move_disk`, { form: { disk: 'scsi0', storage: 'isos' } })
  expect([move.status, move.body.errors]).toEqual(images)
  await rig.ok('POST', '/storage', { form: { storage: 'off', type: 'dir', path: '/var/lib/off', content: 'images,iso' } })
  await put(200, { scsi1: 'off:1,format=qcow2' })
  await rig.ok('PUT', '/storage/off', { form: { disable: 1 } })
  const disabled = "storage 'off' is disabled"
  expect((await put(200, { scsi2: 'off:1' })).reason).toBe(disabled)
  expect((await rig.call('POST', `${at}/200/clone`, { form: { newid: 201, full: 1, storage: 'off' } })).reason).toBe(disabled)
  expect((await rig.call('GET', '/nodes/pve/storage/off/content')).reason).toBe(disabled)
  expect(await rig.wait(await rig.ok('POST', `${at}/200/status/start`))).toBe(disabled)
  expect(await rig.wait(await rig.ok('POST', `${at}/200/clone`, { form: { newid: 201, full: 1 } }))).toBe(`clone failed: ${disabled}`)
  await rig.ok('PUT', '/storage/off', { form: { disable: 0 } })
  await put(200, { delete: 'scsi1', force: 1 })
})

it("a clone's firewall is in force when it can be started, and gone with it", async () => {
  await rig.ok('PUT', `${at}/200/firewall/options`, { form: { enable: 1, policy_in: 'DROP' } })
  await rig.done('POST', `${at}/200/clone`, { form: { newid: 201 } })
  expect(firewall?.vms[201]?.options).toMatchObject({ enable: '1', policy_in: 'DROP' })
  await rig.done('DELETE', `${at}/201`)
  expect(firewall?.vms[201]).toBeUndefined()
})

it('a password is kept and told as a hash', async () => {
  await put(200, { ciuser: 'gold', cipassword: 'hunter22' })
  const user = await rig.ok('GET', `${at}/200/cloudinit/dump`, { query: { type: 'user' } })
  const [, salt = ''] = /^password: \$5\$([./0-9A-Za-z]{8})\$/m.exec(user) ?? []
  expect(user).toContain(`password: ${sha256Crypt('hunter22', salt)}\n`)
  await rig.done('POST', at, { form: { vmid: 202, cipassword: 'hunter22' } })
  expect(await rig.ok('GET', `${at}/202/cloudinit/dump`, { query: { type: 'user' } })).not.toContain('hunter22')
  // From crypt(3) of glibc.
  expect(sha256Crypt('Hello world!', 'saltstring')).toBe('$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5')
  expect(sha256Crypt('', 'ab')).toBe('$5$ab$qRq/oZkUn9lJUSIcgVT3NbpSDsjn.r137TBSoCt2kCA')
  expect(sha256Crypt(`${'x'.repeat(70)}ü`, 'abcdefgh')).toBe('$5$abcdefgh$hfxNg3gCKnWAXkW21og.rCPWUmbclNYzxiwjhH0usT4')
})
