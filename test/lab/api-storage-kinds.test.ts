/** Types of storage: what their volumes are called, and what can't be done with them (PVE::Storage::*Plugin). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startRig, type Rig } from './api-rig.ts'

let rig: Rig
const qemu = '/nodes/pve/qemu'
const image = Buffer.alloc(1 << 20)

beforeAll(async () => {
  rig = await startRig()
  const storages: Record<string, Record<string, string | number>> = {
    tank: { type: 'zfspool', pool: 'tank' },
    ceph: { type: 'rbd', pool: 'rbd', content: 'images' },
    nas: { type: 'nfs', server: '192.168.1.9', export: '/volume1', content: 'images,iso' },
    thick: { type: 'lvm', vgname: 'san', shared: 1 },
    chains: { type: 'lvm', vgname: 'san2', 'snapshot-as-volume-chain': 1 },
    remote: { type: 'zfs', pool: 'tank', portal: '192.168.1.9', target: 'iqn.2026-11.example:tank', iscsiprovider: 'LIO', blocksize: '8k' },
    luns: { type: 'iscsi', portal: '192.168.1.9', target: 'iqn.2026-11.example:luns', content: 'images' },
    backups: { type: 'pbs', server: '192.168.1.9', datastore: 'main', username: 'backup@pbs' },
  }
  for (const [storage, form] of Object.entries(storages)) await rig.ok('POST', '/storage', { form: { storage, ...form } })
  const boundary = 'x-boundary-x'
  const raw = Buffer.concat([
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="content"\r\n\r\nimport\r\n--${boundary}\r\nContent-Disposition: form-data; name="filename"; filename="cloud.raw"\r\n\r\n`,
    ),
    image,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ])
  await rig.wait(
    await rig.ok('POST', '/nodes/pve/storage/local/upload', {
      raw,
      headers: { 'Content-Type': `multipart/form-data; boundary=${boundary}` },
    }),
  )
})
afterAll(() => rig.close())

const config = (vmid: number): Promise<Record<string, string>> => rig.ok('GET', `${qemu}/${vmid}/config`)
const volume = async (vmid: number, slot = 'scsi0'): Promise<string> => ((await config(vmid))[slot] ?? '').split(',')[0] ?? ''
const volumes = async (storage: string): Promise<string[]> =>
  (await rig.ok('GET', `/nodes/pve/storage/${storage}/content`)).map((one: { volid: string }) => one.volid).sort()
const make = (vmid: number, form: Record<string, string | number>): Promise<void> =>
  rig.done('POST', qemu, { form: { vmid, memory: 64, ...form } })

describe('images, templates, clones and handed-over disks', () => {
  it.each([
    ['local-lvm', 'raw', 'vm-1000-disk-0', 'base-1000-disk-0', 'vm-1001-disk-0', 'vm-1002-disk-0'],
    ['tank', 'raw', 'vm-1000-disk-0', 'base-1000-disk-0', 'base-1000-disk-0/vm-1001-disk-0', 'base-1000-disk-0/vm-1002-disk-0'],
    ['ceph', 'raw', 'vm-1000-disk-0', 'base-1000-disk-0', 'base-1000-disk-0/vm-1001-disk-0', 'base-1000-disk-0/vm-1002-disk-0'],
    [
      'local-disks',
      'raw',
      '1000/vm-1000-disk-0.raw',
      '1000/base-1000-disk-0.raw',
      '1000/base-1000-disk-0.raw/1001/vm-1001-disk-0.qcow2',
      '1000/base-1000-disk-0.raw/1002/vm-1002-disk-0.qcow2',
    ],
    [
      'nas',
      'raw',
      '1000/vm-1000-disk-0.raw',
      '1000/base-1000-disk-0.raw',
      '1000/base-1000-disk-0.raw/1001/vm-1001-disk-0.qcow2',
      '1000/base-1000-disk-0.raw/1002/vm-1002-disk-0.qcow2',
    ],
  ])('on %s', async (storage, format, made, base, linked, moved) => {
    await make(1000, { scsi0: `${storage}:0,import-from=local:import/cloud.raw` })
    expect(await volume(1000)).toBe(`${storage}:${made}`)
    expect(await rig.ok('GET', `/nodes/pve/storage/${storage}/content/${storage}:${made}`)).toMatchObject({ format, size: image.length })
    await rig.done('POST', `${qemu}/1000/template`, { form: {} })
    expect(await volume(1000)).toBe(`${storage}:${base}`)
    expect(await rig.ok('GET', `${qemu}/1000/feature`, { query: { feature: 'clone' } })).toMatchObject({ hasFeature: 1 })
    await rig.done('POST', `${qemu}/1000/clone`, { form: { newid: 1001 } })
    expect(await volume(1001)).toBe(`${storage}:${linked}`)
    await rig.done('POST', `${qemu}/1000/clone`, { form: { newid: 1003, full: 1 } })
    expect(await volume(1003)).toBe(`${storage}:${made.replaceAll('1000', '1003')}`)
    await make(1002, {})
    await rig.done('POST', `${qemu}/1001/move_disk`, { form: { disk: 'scsi0', 'target-vmid': 1002 } })
    expect(await volume(1002)).toBe(`${storage}:${moved}`)
    // LVM itself lets a base go whose clones live on; the others' names tell who needs it.
    const ended = await rig.wait(await rig.ok('DELETE', `${qemu}/1000`))
    expect(ended).toBe(storage === 'local-lvm' ? 'OK' : `base volume '${storage}:${base}' is still in use by linked cloned`)
    expect(await volumes(storage)).toEqual(
      [...(storage === 'local-lvm' ? [] : [base]), moved, made.replaceAll('1000', '1003')].map((name) => `${storage}:${name}`).sort(),
    )
    await rig.done('POST', `${qemu}/1002/status/start`)
    await rig.done('POST', `${qemu}/1002/status/stop`)
    for (const vmid of [1001, 1002, 1003]) await rig.done('DELETE', `${qemu}/${vmid}`)
    if (storage !== 'local-lvm') await rig.done('DELETE', `${qemu}/1000`)
    expect(await volumes(storage)).toEqual([])
  })
})

describe('thick LVM', () => {
  it.each([
    ['thick', 'vm-1010-disk-0'],
    ['chains', 'vm-1010-disk-0.qcow2'],
  ])('%s makes no base volumes: no linked clones, full ones work', async (storage, name) => {
    await make(1010, { scsi0: `${storage}:1` })
    expect(await volume(1010)).toBe(`${storage}:${name}`)
    await rig.done('POST', `${qemu}/1010/template`, { form: {} })
    expect(await config(1010)).toMatchObject({ template: 1, scsi0: expect.stringMatching(`^${storage}:${name},`) })
    expect((await rig.call('POST', `${qemu}/1010/clone`, { form: { newid: 1011 } })).reason).toBe(
      `Linked clone feature is not supported for '${storage}:${name}' (scsi0)`,
    )
    await rig.done('POST', `${qemu}/1010/clone`, { form: { newid: 1011, full: 1 } })
    expect(await volume(1011)).toBe(`${storage}:${name.replace('1010', '1011')}`)
    for (const vmid of [1010, 1011]) await rig.done('DELETE', `${qemu}/${vmid}`)
  })
})

it('no disk is handed over on ZFS over iSCSI, and none is made on LUNs', async () => {
  await make(1020, { scsi1: 'remote:1' })
  await make(1021, {})
  expect((await rig.call('POST', `${qemu}/1020/move_disk`, { form: { disk: 'scsi1', 'target-vmid': 1021 } })).reason).toBe(
    'Storage does not support moving of this disk to another VM',
  )
  expect(await rig.wait(await rig.ok('POST', qemu, { form: { vmid: 1022, scsi0: 'luns:1' } }))).toBe(
    "unable to create VM 1022 - can't allocate space in iscsi storage",
  )
  expect((await rig.call('POST', qemu, { form: { vmid: 1022, scsi0: 'backups:1' } })).body.errors).toEqual({
    storage: "storage 'backups' does not support vm images",
  })
  for (const vmid of [1020, 1021]) await rig.done('DELETE', `${qemu}/${vmid}`)
})

it('formats: block storages have raw only, an import takes what there is', async () => {
  expect(await rig.wait(await rig.ok('POST', qemu, { form: { vmid: 1030, scsi0: 'local-lvm:1,format=qcow2' } }))).toBe(
    "unable to create VM 1030 - unsupported format 'qcow2'",
  )
  await make(1030, { scsi0: 'local-lvm:0,import-from=local:import/cloud.raw,format=qcow2', ide2: 'local-lvm:cloudinit' })
  expect(await config(1030)).toMatchObject({ scsi0: 'local-lvm:vm-1030-disk-0,size=1M', ide2: 'local-lvm:vm-1030-cloudinit,media=cdrom' })
  await rig.done('DELETE', `${qemu}/1030`)
})

it('names that a storage does not understand, contents and settings that its type does not have', async () => {
  await make(1040, {})
  const put = async (scsi1: string) => (await rig.call('PUT', `${qemu}/1040/config`, { form: { scsi1 } })).reason
  expect(await put('local-lvm:100/vm-100-disk-0.qcow2')).toBe("unable to parse lvm volume name '100/vm-100-disk-0.qcow2'")
  expect(await put('local-disks:vm-100-disk-0')).toBe("unable to parse directory volume name 'vm-100-disk-0'")
  expect((await rig.call('PUT', '/storage/local-lvm', { form: { content: 'images,iso' } })).reason).toBe(
    "storage does not support content type 'iso'",
  )
  expect((await rig.call('POST', '/storage', { form: { storage: 'half', type: 'lvmthin', vgname: 'pve' } })).body.errors).toEqual({
    thinpool: 'property is missing and it is not optional',
  })
  await rig.done('DELETE', `${qemu}/1040`)
})

it('who looks at one volume needs Datastore.Audit on its storage, and VM.Config.Disk on its owner', async () => {
  await make(1050, { scsi0: 'local-lvm:1' })
  await rig.ok('POST', '/access/users', { form: { userid: 'robot@pve' } })
  const token = `robot@pve!tk=${(await rig.ok('POST', '/access/users/robot@pve/token/tk', { form: { privsep: 0 } })).value}`
  const look = () => rig.call('GET', '/nodes/pve/storage/local-lvm/content/local-lvm:vm-1050-disk-0', { token })
  const grant = async (role: string, privs: string, path: string): Promise<void> => {
    await rig.ok('POST', '/access/roles', { form: { roleid: role, privs } })
    await rig.ok('PUT', '/access/acl', { form: { path, roles: role, users: 'robot@pve' } })
  }
  await grant('space', 'Datastore.AllocateSpace', '/storage/local-lvm')
  await grant('disk', 'VM.Config.Disk', '/vms/1050')
  expect((await look()).reason).toBe('Permission check failed (/storage/local-lvm, Datastore.Audit)')
  await rig.ok('PUT', '/access/roles/space', { form: { privs: 'Datastore.AllocateSpace,Datastore.Audit' } })
  expect((await look()).data).toMatchObject({ format: 'raw', size: 1 << 30 })
  await rig.ok('PUT', '/access/acl', { form: { path: '/vms/1050', roles: 'disk', users: 'robot@pve', delete: 1 } })
  expect((await look()).reason).toBe('Permission check failed (/vms/1050, VM.Config.Disk)')
})
