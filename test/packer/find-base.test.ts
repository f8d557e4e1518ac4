/** The base as Packer will find it: by its name, in a list that lags behind, in a cluster of which a node may be down. */
import { expect, it } from 'vitest'
import type { Proxmox } from '../../proxmox/client.ts'
import { findBase } from '../../packer/find-base.ts'
import { exampleSite } from '../images/example.ts'

const site = exampleSite()
const { node } = site.proxmox
const name = 'golden-base-x'
const { signal } = new AbortController()

interface Vm {
  readonly vmid: number
  readonly node?: string
  readonly listed?: string | undefined
  readonly named?: string
}

/** @param lists what the list says at each look; the last one stays */
function cluster(lists: readonly (readonly Vm[])[], nodes: Record<string, string> = { [node]: 'online' }) {
  let looks = 0
  const asked: string[] = []
  const get = async (path: string): Promise<unknown> => {
    if (path === '/nodes') return Object.entries(nodes).map(([one, status]) => ({ node: one, status }))
    const now = lists[Math.min(path === '/cluster/resources' ? looks++ : looks - 1, lists.length - 1)] ?? []
    if (path === '/cluster/resources') return now.map((vm) => ({ vmid: vm.vmid, type: 'qemu', node: vm.node ?? node, name: vm.listed }))
    asked.push(path)
    const vm = now.find(({ vmid }) => path.includes(`/qemu/${vmid}/`))
    return { name: vm?.named ?? vm?.listed }
  }
  return {
    asked,
    looks: () => looks,
    find: () => findBase({ proxmox: { get } as unknown as Proxmox, site, signal, pauseMs: 1 }, name, 9000),
  }
}

const base: Vm = { vmid: 9000, listed: name }

it('is waited for until the list has its name', async () => {
  const there = cluster([[{ vmid: 9000, listed: undefined }], [{ vmid: 9000, listed: undefined }], [base]])
  await there.find()
  expect(there.looks()).toBe(3)
})

it('is waited for while the list, by which Packer goes, still gives the name to another VM too', async () => {
  const there = cluster([
    [base, { vmid: 9008, listed: name, named: 'renamed' }],
    [base, { vmid: 9008, listed: name, named: 'renamed' }],
    [base, { vmid: 9008, listed: 'renamed' }],
  ])
  await there.find()
  expect(there.looks()).toBe(3)
})

it('is ambiguous once that does not end', async () => {
  await expect(cluster([[base, { vmid: 9008, listed: name, named: 'renamed' }]]).find()).rejects.toMatchObject({
    code: 'base-ambiguous',
    message: expect.stringContaining('9000, 9008'),
  })
})

it('is ambiguous at once when another VM has been given the name, whatever the list says', async () => {
  const there = cluster([[base, { vmid: 9008, listed: 'before', named: name }]])
  await expect(there.find()).rejects.toMatchObject({ code: 'base-ambiguous' })
  expect(there.looks()).toBe(1)
})

it('is unlisted when the list never names it', async () => {
  await expect(
    cluster([
      [
        { vmid: 9000, listed: undefined },
        { vmid: 9008, listed: name, named: 'renamed' },
      ],
    ]).find(),
  ).rejects.toMatchObject({ code: 'base-unlisted' })
})

it('asks nothing of VMs on a node that is down', async () => {
  const there = cluster([[base, { vmid: 100, node: 'down', listed: 'mail' }, { vmid: 101, node: 'up', listed: 'web' }]], {
    [node]: 'online',
    up: 'online',
    down: 'offline',
  })
  await there.find()
  expect(there.asked).toEqual(['/nodes/up/qemu/101/config'])
})

it('is ambiguous when the list gives the name to a VM there, which Packer could take', async () => {
  await expect(
    cluster([[base, { vmid: 100, node: 'down', listed: name }]], { [node]: 'online', down: 'offline' }).find(),
  ).rejects.toMatchObject({ code: 'base-ambiguous' })
})
