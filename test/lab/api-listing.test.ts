/** Lists of VMs are behind when the lab is told so, as on a real host; configurations are not. */
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { startRig, type Rig } from './api-rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await startRig({ listingLagMs: 2000 })
  await rig.ok('POST', '/pools', { form: { poolid: 'golden' } })
})
afterAll(() => rig?.close())

interface Entry {
  vmid: number
  name?: string
  status: string
  template?: number
  tags?: string
  pool?: string
}
const listed = async (): Promise<Entry> =>
  ((await rig.ok('GET', '/cluster/resources', { query: { type: 'vm' } })) as Entry[]).find(({ vmid }) => vmid === 100) as Entry
const once = (wanted: (entry: Entry) => boolean): Promise<true> =>
  vi.waitUntil(async () => wanted(await listed()) || undefined, { timeout: 10_000, interval: 20 })

it('a new VM has neither name nor status for a while, a change of name or into a template shows late, and nothing else is late', async () => {
  await rig.done('POST', '/nodes/pve/qemu', {
    form: { vmid: 100, name: 'one', tags: 'a', pool: 'golden', scsi0: 'local-disks:1,format=qcow2' },
  })
  const entry = await listed()
  expect(entry).toMatchObject({ type: 'qemu', node: 'pve', status: 'unknown', pool: 'golden', tags: 'a' })
  expect(entry).not.toHaveProperty('name')
  expect(await rig.ok('GET', '/pools', { query: { poolid: 'golden' } })).toMatchObject([{ members: [{ vmid: 100, status: 'unknown' }] }])
  expect(await rig.ok('GET', '/nodes/pve/qemu/100/config')).toMatchObject({ name: 'one' })
  await once(({ name, status }) => name === 'one' && status === 'stopped')
  await rig.ok('PUT', '/nodes/pve/qemu/100/config', { form: { name: 'two', tags: 'b' } })
  // The name has just come, so the next look is two seconds away.
  expect(await listed()).toMatchObject({ name: 'one', template: 0, tags: 'b' })
  await rig.done('POST', '/nodes/pve/qemu/100/template', { form: {} })
  await once(({ name, template }) => name === 'two' && template === 1)
  await rig.done('DELETE', '/nodes/pve/qemu/100')
  expect(await listed()).toBeUndefined()
})
