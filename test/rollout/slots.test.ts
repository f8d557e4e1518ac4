/** Whose VM at a slot's VMID is, before it is deleted. */
import { expect, it } from 'vitest'
import type { Proxmox } from '../../proxmox/client.ts'
import { Failure } from '../../core/failure.ts'
import type { Engine } from '../../rollout/engine.ts'
import { placesOf } from '../../rollout/observe.ts'
import { ofSlot, removeLeftover, settleSlot } from '../../rollout/slots.ts'
import { exampleSite } from '../images/example.ts'

const places = placesOf(exampleSite(), 'serena', undefined)
const { vmid, name } = places.slots.blue
const { signal } = new AbortController()

/** A host where the VM has these configurations, one a look, and keeps the last one. */
function host(...configs: readonly Record<string, string>[]): { proxmox: Proxmox; calls: string[] } {
  const calls: string[] = []
  const looks = [...configs]
  const proxmox = {
    get: async (path: string) => (path.endsWith('/config') ? (looks.length > 1 ? looks.shift() : looks[0]) : { status: 'running' }),
    post: async (path: string) => {
      calls.push(`POST ${path}`)
    },
    put: async (path: string, { tags }: { tags?: string }) => {
      calls.push(`PUT ${path} ${tags}`)
    },
    del: async (path: string) => {
      calls.push(`DELETE ${path}`)
    },
    task: async () => {},
  } as unknown as Proxmox
  return { proxmox, calls }
}

it.concurrent.each<[string, Record<string, string>[]]>([
  ['without a name', [{}]],
  ['without a name, while it is being backed up', [{ lock: 'backup' }, {}]],
  ['of another name', [{ name: 'mail' }]],
  ['that turns out to be another one once its clone is done', [{ lock: 'clone' }, { name: 'mail' }]],
])("a VM %s is somebody else's, and left alone", async (_what, configs) => {
  const { proxmox, calls } = host(...configs)
  await expect(removeLeftover(proxmox, places, 'blue', signal)).rejects.toMatchObject({
    code: 'vmid-taken',
    message: expect.stringContaining(String(vmid)),
  })
  expect(calls).toEqual([])
})

it.concurrent.each<[string, Record<string, string>[]]>([
  ["with the slot's name", [{ name }]],
  ['that was still being cloned, and had no name yet', [{ lock: 'clone' }, { name }]],
  ['whose clone never got as far as a name', [{ lock: 'clone' }, {}]],
  ['whose creation never got as far as a name', [{ lock: 'create' }, {}]],
])('a VM %s is a leftover, and removed', async (_what, configs) => {
  const { proxmox, calls } = host(...configs)
  expect(await removeLeftover(proxmox, places, 'blue', signal)).toBe(true)
  expect(calls).toEqual([
    `POST /nodes/${places.node}/qemu/${vmid}/status/stop`,
    `PUT /nodes/${places.node}/qemu/${vmid}/config golden-doomed`,
    `DELETE /nodes/${places.node}/qemu/${vmid}`,
  ])
})

it('what a run on another computer is making is no leftover: it holds the lock, or the state knows by then', async () => {
  const engine = (change: Partial<Engine>): Engine =>
    ({ tryLock: async () => {}, listState: async () => [], ...change }) as unknown as Engine
  const settle = async (one: Engine): Promise<string[]> => {
    const { proxmox, calls } = host({ name })
    await settleSlot(proxmox, places, 'blue', one, 'home-serena', [], undefined, () => {}, signal)
    return calls
  }
  await expect(settle(engine({ tryLock: () => Promise.reject(new Failure('state-locked', 'x', 'y')) }))).rejects.toMatchObject({
    code: 'state-locked',
  })
  expect(await settle(engine({ listState: async () => ['proxmox_virtual_environment_vm.blue'] }))).toEqual([])
  expect(await settle(engine({}))).toEqual([
    `POST /nodes/${places.node}/qemu/${vmid}/status/stop`,
    `PUT /nodes/${places.node}/qemu/${vmid}/config golden-doomed`,
    `DELETE /nodes/${places.node}/qemu/${vmid}`,
  ])
})

it.each<[string, Record<string, string>, string | undefined, boolean]>([
  [
    'of the pinned release, with the data',
    { scsi13: 'local:iso/seed-1-0123456789ab.iso', scsi1: 'local-lvm:vm-1-disk-1' },
    '0123456789ab',
    true,
  ],
  ['of the pinned release, protected', { scsi13: 'local:iso/seed-1-0123456789ab-tag.iso', protection: '1' }, '0123456789ab', true],
  ['of another release', { scsi13: 'local:iso/seed-1-ba9876543210.iso', protection: '1' }, '0123456789ab', false],
  ['that does not say of which it is', { protection: '1' }, '0123456789ab', false],
  ['that all of the group goes with', { scsi13: 'local:iso/seed-1-0123456789ab.iso', protection: '1' }, undefined, false],
])('a VM %s that the state does not know is taken in, or named', async (_what, config, release, isTaken) => {
  const { proxmox, calls } = host({ name, ...config })
  const adopted: string[] = []
  const engine = {
    tryLock: async () => {},
    listState: async () => [],
    adopt: async (_stack: string, address: string, id: string) => void adopted.push(`${address} ${id}`),
  } as unknown as Engine
  const known = ['proxmox_virtual_environment_firewall_rules.blue_rules']
  const settled = settleSlot(proxmox, places, 'blue', engine, 'home-serena', known, release, () => {}, signal)
  if (isTaken) expect(await settled).toBe('adopted')
  else await expect(settled).rejects.toMatchObject({ code: 'vm-not-in-state' })
  expect(adopted).toEqual(
    isTaken
      ? [
          `proxmox_virtual_environment_firewall_options.blue_firewall vm/${places.node}/${vmid}`,
          `proxmox_virtual_environment_vm.blue ${places.node}/${vmid}`,
        ]
      : [],
  )
  expect(calls).toEqual([])
})

it("a slot's addresses in the state are its own", () => {
  expect(
    ofSlot(
      [
        'proxmox_virtual_environment_vm.blue',
        'terraform_data.blue_release',
        'proxmox_virtual_environment_vm.green',
        'terraform_data.green_owner',
        'proxmox_virtual_environment_firewall_rules.blue_rules',
      ],
      'blue',
    ),
  ).toEqual(['proxmox_virtual_environment_vm.blue', 'terraform_data.blue_release', 'proxmox_virtual_environment_firewall_rules.blue_rules'])
})
