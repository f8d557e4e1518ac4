/** The cloud-init drive: an image that guests can read, rendered from the configuration at each start. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { smallIso } from '../../lab/api/vm/cloudinit-iso.ts'
import { readIso } from '../../lab/iso/read.ts'
import { startRig, type Rig } from './api-rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await startRig()
})
afterAll(() => rig.close())

it('says at each start what the configuration says then', async () => {
  const at = '/nodes/pve/qemu/100'
  await rig.done('POST', '/nodes/pve/qemu', {
    form: {
      vmid: 100,
      memory: 64,
      name: 'seeded',
      ide2: 'local-disks:cloudinit',
      net0: 'virtio=02:00:00:00:00:01,bridge=vmbr0',
      ipconfig0: 'ip=10.77.0.20/24,gw=10.77.0.1',
    },
  })
  const file = join(rig.folder, 'state/storage/local-disks/images/100/vm-100-cloudinit.qcow2')
  const first = readIso(await readFile(file))
    .files.get('meta-data')
    ?.toString()
  await rig.ok('PUT', `${at}/config`, { form: { ciuser: 'admin', nameserver: '10.77.0.1' } })
  await rig.done('POST', `${at}/status/start`)
  const iso = readIso(await readFile(file))
  expect(iso.label).toBe('cidata')
  expect([...iso.files.keys()].sort()).toEqual(['meta-data', 'network-config', 'user-data', 'vendor-data'])
  for (const [name, type] of [
    ['user-data', 'user'],
    ['network-config', 'network'],
    ['meta-data', 'meta'],
  ] as const) {
    expect(iso.files.get(name)?.toString()).toBe(await rig.ok('GET', `${at}/cloudinit/dump`, { query: { type } }))
  }
  expect(iso.files.get('user-data')?.toString()).toContain('user: admin')
  expect(iso.files.get('network-config')?.toString()).toContain("address: '10.77.0.20'")
  expect(iso.files.get('meta-data')?.toString()).not.toBe(first)
})

it('files of any size up to what fits; more is an error', () => {
  const text = 'x'.repeat(5000)
  const iso = readIso(smallIso('label', { 'long-name-of-a-file.txt': text, empty: '' }, 131072))
  expect(iso.files.get('long-name-of-a-file.txt')?.toString()).toBe(text)
  expect(iso.files.get('empty')?.length).toBe(0)
  expect(() => smallIso('label', { big: 'x'.repeat(131072) }, 131072)).toThrow('does not fit')
})
