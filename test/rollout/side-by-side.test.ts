/** Groups of a site are deployed side by side, but for their clones. With the real engine and provider. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readPins } from '../../releases/pins.ts'
import { deploy } from '../../rollout/deploy.ts'
import { destroy } from '../../rollout/destroy.ts'
import { Turns } from '../../rollout/turns.ts'
import { toolEnvironment } from '../../tools/index.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'

let t: RolloutLab
beforeAll(async () => {
  t = await startRolloutLab(await toolEnvironment())
  await t.addImage(9001)
})
afterAll(() => t?.close())

interface Task {
  readonly type: string
  readonly id: string
  readonly starttime: number
  readonly endtime: number
}
const tasks = async (kind: string): Promise<Task[]> =>
  (await t.root.get<Task[]>('/nodes/pve/tasks', { limit: 500 }))
    .filter(({ type }) => type === kind)
    .sort((a, b) => a.starttime - b.starttime)

it('one is cloned while the other starts, never two at once', async () => {
  t.lab.faults.order({ task: { type: 'qmclone' }, delayMs: 3000, times: 2 })
  // Longer than all that the second one does before its clone, on a slow machine too.
  t.lab.faults.order({ task: { type: 'qmstart', id: '9021' }, delayMs: 40_000 })
  expect(await deploy(t.options())).toMatchObject([
    { group: 'logging', outcome: 'deployed' },
    { group: 'serena', outcome: 'deployed' },
  ])
  const [first, second, ...more] = await tasks('qmclone')
  expect(more).toEqual([])
  expect(second?.starttime).toBeGreaterThanOrEqual(first?.endtime ?? Infinity)
  const starts = new Map((await tasks('qmstart')).map((task) => [task.id, task]))
  expect(starts.get('9011')?.starttime).toBeLessThan(starts.get('9021')?.endtime ?? 0)
  await destroy(t.options())
})

it('the failure of one is told at once, and takes back that one alone', async () => {
  t.lab.faults.order({ task: { type: 'qmstart', id: '9021' }, reason: 'no memory for it', times: 1 })
  await expect(deploy(t.options())).rejects.toMatchObject({ message: expect.stringContaining('no memory for it') })
  expect(t.shown.join('\n')).toMatch(/group logging failed, the others go on: .*no memory for it/s)
  const { groups } = await readPins(t.folder)
  expect(groups.logging?.active).toBeUndefined()
  expect(groups.serena?.active).toBe('blue')
  const vms = await t.root.get<{ vmid: number }[]>('/cluster/resources', { type: 'vm' })
  expect(vms.map(({ vmid }) => vmid)).toEqual(expect.arrayContaining([9011]))
  expect(vms.map(({ vmid }) => vmid)).not.toContain(9021)
  expect(await deploy(t.options())).toMatchObject([
    { group: 'logging', outcome: 'deployed' },
    { group: 'serena', outcome: 'unchanged' },
  ])
})

it('turns come in the order in which they were asked for, and one that is given up holds nobody up', async () => {
  const turns = new Turns()
  const never = new AbortController().signal
  const order: string[] = []
  const first = await turns.take(never)
  const stop = new AbortController()
  const second = turns.take(stop.signal).then(() => order.push('second'))
  const third = turns.take(never).then((end) => {
    order.push('third')
    end()
  })
  expect(turns.waiting).toBe(2)
  stop.abort()
  await expect(second).rejects.toThrow()
  order.push('first ends')
  first()
  first()
  await third
  expect(order).toEqual(['first ends', 'third'])
  expect(turns.waiting).toBe(0)
})
