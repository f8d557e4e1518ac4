/** VMs: pending changes, hotplug, disks that change hands, the agent, the firewall. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startRig, type Rig } from './api-rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await startRig({ lockTimeoutMs: 300 })
})
afterAll(() => rig.close())

const at = (vmid: number): string => `/nodes/pve/qemu/${vmid}`
const config = (vmid: number) => rig.ok('GET', `${at(vmid)}/config`)
const set = (vmid: number, form: Record<string, string | number>) => rig.call('PUT', `${at(vmid)}/config`, { form })
const create = (vmid: number, form: Record<string, string | number> = {}) =>
  rig.done('POST', '/nodes/pve/qemu', {
    form: { vmid, memory: 64, scsihw: 'virtio-scsi-pci', scsi0: 'local-disks:1,format=qcow2', ...form },
  })

it('a new VM has what every VM has, and the JSON types that clients insist on', async () => {
  await create(100, { net0: 'virtio,bridge=vmbr0,firewall=1', onboot: 1, cores: 2, agent: '1', ide2: 'none,media=cdrom' })
  const made = await config(100)
  expect(made).toMatchObject({
    memory: '64',
    cores: 2,
    onboot: 1,
    agent: '1',
    boot: 'order=scsi0;ide2;net0',
    scsi0: 'local-disks:100/vm-100-disk-0.qcow2,size=1G',
  })
  expect(made.net0).toMatch(/^virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0,firewall=1$/)
  expect(made.meta).toMatch(/^creation-qemu=\S+,ctime=\d+$/)
  expect(made.smbios1).toMatch(/^uuid=[0-9a-f-]{36}$/)
  expect(made.digest).toMatch(/^[0-9a-f]{40}$/)
  expect((await rig.call('POST', '/nodes/pve/qemu', { form: { vmid: 100 } })).reason).toBe(
    "unable to create VM 100 - VM 100 already exists on node 'pve'",
  )
})

it('a running VM keeps what it can not change as pending, until it is stopped and started', async () => {
  await create(101)
  await rig.done('POST', `${at(101)}/status/start`)
  await set(101, { cores: 4, name: 'renamed' })
  expect((await config(101)).cores).toBe(4)
  expect(await rig.ok('GET', `${at(101)}/config`, { query: { current: 1 } })).toMatchObject({ name: 'renamed' })
  expect(await rig.ok('GET', `${at(101)}/config`, { query: { current: 1 } })).not.toHaveProperty('cores')
  await set(101, { revert: 'cores' })
  expect(await config(101)).not.toHaveProperty('cores')
  await set(101, { cores: 3 })
  await rig.done('POST', `${at(101)}/status/shutdown`, { form: { timeout: 0, forceStop: 1 } })
  await rig.done('POST', `${at(101)}/status/start`)
  expect(await rig.ok('GET', `${at(101)}/config`, { query: { current: 1 } })).toMatchObject({ cores: 3 })
  await rig.done('POST', `${at(101)}/status/stop`)
})

it('a data disk is handed from one running VM to another, and keeps its content and number of owners', async () => {
  await create(110)
  await create(111)
  for (const vmid of [110, 111]) await rig.done('POST', `${at(vmid)}/status/start`)
  await set(110, { scsi1: 'local-disks:1,format=qcow2,serial=data' })
  expect((await set(110, { delete: 'scsi1' })).status).toBe(200)
  expect(await config(110)).toMatchObject({ unused0: 'local-disks:110/vm-110-disk-1.qcow2' })
  await rig.done('POST', `${at(110)}/move_disk`, { form: { disk: 'unused0', 'target-vmid': 111, 'target-disk': 'unused0' } })
  expect(await config(110)).not.toHaveProperty('unused0')
  const { unused0 } = await config(111)
  expect((await set(111, { scsi1: `${unused0},serial=data,discard=on` })).status).toBe(200)
  expect(await rig.ok('GET', `${at(111)}/pending`)).toContainEqual({
    key: 'scsi1',
    value: 'local-disks:111/vm-111-disk-1.qcow2,discard=on,serial=data,size=1G',
  })
  expect(await config(111)).not.toHaveProperty('unused0')
  await set(111, { protection: 1 })
  expect((await set(111, { delete: 'scsi1' })).reason).toBe("can't remove drive 'scsi1' - protection mode enabled")
  expect((await rig.call('DELETE', at(111))).reason).toBe("can't remove VM 111 - protection mode enabled")
  for (const vmid of [110, 111]) await rig.done('POST', `${at(vmid)}/status/stop`)
})

it('destroying a VM takes its own disks with it, not what only looks like them', async () => {
  await create(120, { scsi1: 'local-disks:1' })
  await set(120, { delete: 'scsi1' })
  await create(121)
  await rig.done('DELETE', `${at(120)}/`, { query: { purge: 1, 'destroy-unreferenced-disks': 1 } })
  const volumes = (await rig.ok('GET', '/nodes/pve/storage/local-disks/content')).map((item: { volid: string }) => item.volid)
  expect(volumes.filter((volid: string) => volid.includes('120'))).toEqual([])
  expect(volumes).toContain('local-disks:121/vm-121-disk-0.qcow2')
})

it('a template in use is not destroyed; a killed clone leaves nothing', async () => {
  await create(130)
  await rig.done('POST', `${at(130)}/template`)
  await rig.done('POST', `${at(130)}/clone`, { form: { newid: 131, name: 'linked' } })
  expect(await config(131)).toMatchObject({
    scsi0: 'local-disks:130/base-130-disk-0.qcow2/131/vm-131-disk-0.qcow2,size=1G',
    name: 'linked',
  })
  expect(await rig.wait(await rig.ok('DELETE', at(130)))).toBe(
    "base volume 'local-disks:130/base-130-disk-0.qcow2' is still in use by linked cloned",
  )
  rig.lab.faults.order({ task: { type: 'qmclone' }, reason: 'out of luck' })
  expect(await rig.wait(await rig.ok('POST', `${at(130)}/clone`, { form: { newid: 132 } }))).toBe('out of luck')
  expect((await rig.call('GET', `${at(132)}/config`)).status).toBe(500)
})

it('two changes of one VM at a time wait for each other, and give up with a message', async () => {
  await create(140)
  await rig.done('POST', `${at(140)}/status/start`)
  const [first, second] = await Promise.all([set(140, { description: 'one' }), set(140, { onboot: 1 })])
  expect([first.status, second.status]).toEqual([200, 200])
  expect(await config(140)).toMatchObject({ description: 'one', onboot: 1 })
  const { digest } = await config(140)
  await set(140, { description: 'two' })
  expect((await rig.call('PUT', `${at(140)}/config`, { form: { description: 'three', digest } })).reason).toBe(
    'checksum mismatch (file change by other user?)',
  )
  await rig.done('POST', `${at(140)}/status/stop`)
})

it('the agent: not configured, not running, then answers', async () => {
  await create(150)
  expect((await rig.call('POST', `${at(150)}/agent/ping`)).reason).toBe('No QEMU guest agent configured')
  await set(150, { agent: 'enabled=1' })
  expect((await rig.call('POST', `${at(150)}/agent/ping`)).reason).toBe('VM 150 is not running')
  await rig.done('POST', `${at(150)}/status/start`)
  // The disk is blank: nothing boots, nobody answers.
  expect((await rig.call('GET', `${at(150)}/agent/network-get-interfaces`)).reason).toBe('QEMU guest agent is not running')
  await rig.done('POST', `${at(150)}/status/stop`)
})

it('firewall: a new rule goes to the top, options echo, sets and aliases are per VM', async () => {
  const fw = `${at(160)}/firewall`
  await create(160)
  await rig.ok('PUT', `${fw}/options`, { form: { enable: 1, policy_in: 'DROP' } })
  expect(await rig.ok('GET', `${fw}/options`)).toMatchObject({ enable: 1, policy_in: 'DROP', digest: expect.any(String) })
  await rig.ok('POST', `${fw}/rules`, { form: { type: 'in', action: 'ACCEPT', proto: 'tcp', dport: '22', enable: 1, pos: 5 } })
  await rig.ok('POST', `${fw}/rules`, { form: { type: 'in', action: 'ACCEPT', proto: 'tcp', dport: '443', enable: 1, source: '' } })
  const rules = await rig.ok('GET', `${fw}/rules`)
  expect(rules.map((rule: { pos: number; dport: string }) => [rule.pos, rule.dport])).toEqual([
    [0, '443'],
    [1, '22'],
  ])
  expect(rules[0]).not.toHaveProperty('source')
  expect((await rig.ok('GET', `${fw}/rules/0`)).pos).toBe('0')
  expect((await rig.call('GET', `${fw}/rules/9`)).reason).toBe('no rule at position 9')
  await rig.ok('POST', `${fw}/ipset`, { form: { name: 'admins' } })
  await rig.ok('POST', `${fw}/ipset/admins`, { form: { cidr: '10.0.0.0/24' } })
  expect(await rig.ok('GET', `${fw}/ipset/admins/10.0.0.0%2F24`)).toMatchObject({ cidr: '10.0.0.0/24' })
  await rig.ok('DELETE', `${fw}/ipset/admins/10.0.0.0%2F24`)
  expect(await rig.ok('GET', `${fw}/ipset/admins`)).toEqual([])
  await rig.done('POST', `${at(160)}/clone`, { form: { newid: 161 } })
  expect(await rig.ok('GET', `${at(161)}/firewall/rules`)).toHaveLength(2)
  expect(await rig.ok('GET', '/cluster/firewall/options')).not.toHaveProperty('enable')
})

it('keys: unknown ones are refused', async () => {
  await create(170)
  await rig.done('POST', `${at(170)}/status/start`)
  expect((await rig.call('PUT', `${at(170)}/sendkey`, { form: { key: 'ctrl-alt-delete' } })).data).toBeNull()
  expect((await rig.call('PUT', `${at(170)}/sendkey`, { form: { key: 'no-such-key' } })).status).toBe(400)
  await rig.done('POST', `${at(170)}/status/stop`)
})
