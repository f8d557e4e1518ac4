/** Taking a VM away, whatever happens to it meanwhile. */
import { expect, it } from 'vitest'
import { ProxmoxError, type Proxmox } from '../../proxmox/client.ts'
import { conditionError } from '../../proxmox/conditions.ts'
import { removeVm, type VmToRemove } from '../../proxmox/remove-vm.ts'

const vm = '/nodes/pve/qemu/100'
const refused = (text: string, lost = false): ProxmoxError => {
  const details = { status: 500, method: 'DELETE', path: vm, lost }
  return conditionError(text, details) ?? new ProxmoxError('proxmox-refused', text, '', details)
}

/** @param deletions what becomes of each: refused so, or done */
function host(...deletions: readonly (ProxmoxError | undefined)[]): { proxmox: Proxmox; calls: string[] } {
  const calls: string[] = []
  const left = [...deletions]
  const proxmox = {
    get: async () => {
      calls.push('look for tasks')
      return []
    },
    post: async (path: string) => calls.push(`POST ${path.slice(vm.length)}`),
    put: async (_path: string, { tags, digest }: Record<string, string>) => calls.push(`mark ${tags} ${digest}`),
    del: async () => {
      calls.push('delete')
      const error = left.shift()
      if (error !== undefined) throw error
    },
    task: async () => {},
  } as unknown as Proxmox
  return { proxmox, calls }
}

/** What is seen, one a look; the last one stays. */
function seeing(...looks: (VmToRemove | undefined)[]): () => Promise<VmToRemove | undefined> {
  return async () => (looks.length > 1 ? looks.shift() : looks[0])
}

const off: VmToRemove = { running: false, digest: 'd1' }
const on: VmToRemove = { running: true, digest: 'd2' }
const remove = (proxmox: Proxmox, look: () => Promise<VmToRemove | undefined>, timeoutMs = 60_000): Promise<boolean> =>
  removeVm(proxmox, 'pve', 100, look, { timeoutMs })

it.concurrent('one that is off is marked by what was seen, and deleted', async ({ expect }) => {
  const { proxmox, calls } = host(undefined)
  expect(await remove(proxmox, seeing(off))).toBe(true)
  expect(calls).toEqual(['mark golden-doomed d1', 'delete'])
})

it.concurrent('one that runs is stopped, and looked at again', async ({ expect }) => {
  const { proxmox, calls } = host(undefined)
  expect(await remove(proxmox, seeing(on, off))).toBe(true)
  expect(calls).toEqual(['POST /status/stop', 'mark golden-doomed d1', 'delete'])
})

it.concurrent('one that somebody has started since is stopped again', async ({ expect }) => {
  const { proxmox, calls } = host(refused('VM 100 is running - destroy failed\n'), undefined)
  expect(await remove(proxmox, seeing(off, on, off))).toBe(true)
  expect(calls).toEqual(['mark golden-doomed d1', 'delete', 'look for tasks', 'POST /status/stop', 'mark golden-doomed d1', 'delete'])
})

it.concurrent('where the answer is lost, what it began is waited for, and the VM looked at', async ({ expect }) => {
  const { proxmox, calls } = host(refused('connection broke', true))
  expect(await remove(proxmox, seeing(off, undefined))).toBe(true)
  expect(calls).toEqual(['mark golden-doomed d1', 'delete', 'look for tasks'])
})

it.concurrent('one that is not there, or is to stay by now, is not touched', async ({ expect }) => {
  const { proxmox, calls } = host()
  expect(await remove(proxmox, seeing(undefined))).toBe(false)
  await expect(remove(proxmox, () => Promise.reject(new Error('it has data')))).rejects.toThrow('it has data')
  expect(calls).toEqual([])
})

it.concurrent('a refusal that no look does away with is told', async ({ expect }) => {
  const { proxmox } = host(refused("can't remove VM 100 - storage is away"))
  await expect(remove(proxmox, seeing(off))).rejects.toThrow('storage is away')
})

it('a lock is waited for, and named when it does not end', async () => {
  const { proxmox, calls } = host(undefined)
  expect(await remove(proxmox, seeing({ ...off, lock: 'backup' }, off))).toBe(true)
  await expect(remove(proxmox, seeing({ ...off, lock: 'backup' }), 0)).rejects.toMatchObject({
    code: 'vm-locked',
    message: 'VM 100 stays locked (backup)',
    hint: expect.stringContaining('qm unlock 100'),
  })
  expect(calls).toEqual(['mark golden-doomed d1', 'delete'])
})
