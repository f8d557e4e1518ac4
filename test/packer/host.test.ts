import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { destroyVm } from '../../packer/host.ts'
import { connect, type Proxmox } from '../../proxmox/client.ts'
import { startRig, type Rig } from '../lab/api-rig.ts'

let rig: Rig
let proxmox: Proxmox
beforeAll(async () => {
  rig = await startRig()
  const [id = '', secret = ''] = rig.lab.connection.rootToken.split(/=(.*)/s)
  proxmox = connect({ url: rig.lab.connection.apiUrl, caPem: await readFile(rig.lab.connection.caFile, 'utf8'), auth: { id, secret } })
})
afterAll(async () => {
  proxmox?.close()
  await rig?.close()
})

it('keeps a volume that only bears the VMID in its name', async () => {
  await proxmox.task(
    await proxmox.post<string>('/nodes/pve/qemu', { vmid: 120, name: 'golden-build', memory: 64, scsi0: 'local-disks:1,format=qcow2' }),
  )
  const disk = join(rig.folder, 'state/storage/local-disks/images/120/vm-120-disk-0.qcow2')
  await copyFile(disk, disk.replace('disk-0', 'disk-9'))
  const volumes = async (): Promise<string[]> =>
    (await proxmox.get<{ volid: string }[]>('/nodes/pve/storage/local-disks/content')).map((one) => one.volid).sort()
  expect(await volumes()).toEqual(['local-disks:120/vm-120-disk-0.qcow2', 'local-disks:120/vm-120-disk-9.qcow2'])
  await destroyVm(proxmox, 'pve', 120, (config) => config.name === 'golden-build')
  expect(await volumes()).toEqual(['local-disks:120/vm-120-disk-9.qcow2'])
})

it('does not touch a VM that is not meant', async () => {
  await proxmox.task(await proxmox.post<string>('/nodes/pve/qemu', { vmid: 121, name: 'golden-build', memory: 64 }))
  await destroyVm(proxmox, 'pve', 121, (config) => config.name === 'another')
  expect(await proxmox.get('/nodes/pve/qemu/121/config')).toMatchObject({ name: 'golden-build' })
})

it('waits for a VM that is being made', async () => {
  rig.lab.faults.order({ task: { type: 'qmcreate', id: '122' }, delayMs: 1500 })
  await proxmox.post<string>('/nodes/pve/qemu', { vmid: 122, name: 'golden-build', memory: 64 })
  await destroyVm(proxmox, 'pve', 122, (config) => config.name === 'golden-build')
  expect((await proxmox.get<{ vmid: number }[]>('/cluster/resources', { type: 'vm' })).map((vm) => vm.vmid)).not.toContain(122)
})
