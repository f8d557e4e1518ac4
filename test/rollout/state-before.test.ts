/** `rollback --state before`: the services' state as the old image had left it, with the real engine and fake guests. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readPins } from '../../releases/pins.ts'
import { deploy } from '../../rollout/deploy.ts'
import { planRollbacks, rollback, rollbackLines } from '../../rollout/rollback.ts'
import { rollout } from '../../rollout/rollout.ts'
import { renderStatus } from '../../rollout/render-status.ts'
import { readStatus } from '../../rollout/status.ts'
import type { Site } from '../../settings/site.ts'
import { startOneVm, type OneVm } from './one-vm.ts'

let t: OneVm
let site: Site
beforeAll(async () => {
  t = await startOneVm()
  site = { ...t.site, rollout: { healthMinutes: 1, soakMinutes: 0, drainSeconds: 5, old: 'running' } }
  await deploy(t.options({ site }))
  await t.addImage(9002, '2026-11-24T12:00:00.000Z')
})
afterAll(() => t?.close())

const vmids: Readonly<Record<string, number>> = { blue: 9011, green: 9012 }
const active = async (): Promise<string> => (await readPins(t.folder)).groups.all?.active ?? ''
const vfs = async () => {
  const guest = t.world.guest(vmids[await active()] ?? 0)
  if (guest === undefined) throw new Error('the active slot does not run')
  return guest.vfs
}
const places = ['serena/memories/global/note.md', 'grafana/grafana.db', 'loki/chunks/index/one', 'projects/note.md'].map(
  (path) => `/srv/golden/${path}`,
)
/** What the services and people leave there. */
async function leave(mark: string): Promise<void> {
  const disk = await vfs()
  for (const path of places) {
    disk.mkdir(path.slice(0, path.lastIndexOf('/')), { uid: 0, gid: 0, groups: [0] }, { parents: true })
    disk.write(path, mark)
  }
}
/** Of the services, and of people. */
async function found(): Promise<[string, string]> {
  const disk = await vfs()
  const [project = '', ...services] = places.map((path) => disk.readText(path)).reverse()
  return [services.every((text) => text === services[0]) ? (services[0] ?? '') : services.join(), project]
}
const status = async () => readStatus(t.options({ site }))
const serves = async (slot: string): Promise<void> => {
  expect(await active()).toBe(slot)
  const { healthy, groups } = await status()
  expect({ healthy, problems: groups.all?.problems }).toEqual({ healthy: true, problems: [] })
}
const before = { state: 'before' } as const
/** For what is stopped while it watches. */
const watching = (): Site => ({ ...site, rollout: { ...site.rollout, soakMinutes: 1 } })

it('another image makes a restore point first, and status has it', async () => {
  await leave('1')
  expect(await rollout(t.options({ site }))).toMatchObject([{ slot: 'green' }])
  await serves('green')
  const { groups } = await status()
  expect(groups.all?.restorePoints).toMatchObject([{ image: expect.stringMatching(/^golden-home-/), last: true, ageMinutes: 0 }])
  expect(renderStatus(await status())).toMatch(/state {4}1 restore point, 1 MiB, the newest 0 min old, .*--state before/)
})

it('the plan tells of when it is, how large, and what is lost; the old slot then has it, and the projects are as they are', async () => {
  await leave('2')
  const [plan] = await planRollbacks(t.options({ site }), [], before)
  expect(plan).toMatchObject({ do: 'back', to: 'blue', state: 'before', restorePoint: { made: expect.stringMatching(/^2/) } })
  expect(rollbackLines(plan!).join('\n')).toMatch(
    /put back the services' state of .* \(1 MiB\)\n.*lost, since then: .*\n.*Grafana.*\n.*not touched: the projects/,
  )
  expect(await rollback(t.options({ site }), [], before)).toMatchObject([{ outcome: 'rolled-out', slot: 'blue' }])
  await serves('blue')
  expect(await found()).toEqual(['1', '2'])
  expect(await readPins(t.folder)).not.toHaveProperty('groups.all.rollout')
})

it('the same from there brings back what was replaced', async () => {
  await leave('3')
  expect(await rollback(t.options({ site }), [], before)).toMatchObject([{ slot: 'green' }])
  expect(await found()).toEqual(['2', '3'])
})

it('without it, the state stays as it is', async () => {
  await leave('4')
  expect(await rollback(t.options({ site }), [])).toMatchObject([{ slot: 'blue' }])
  expect(await found()).toEqual(['4', '4'])
  await leave('5')
  expect(await rollback(t.options({ site }), [])).toMatchObject([{ slot: 'green' }])
  expect(await found()).toEqual(['5', '5'])
})

it('interrupted, the same command ends it, without putting back a second time', async () => {
  // Green has the data; blue left 5.
  for (const [step, from, to, has] of [
    [/let the state of before be put back/, 'green', 'blue', '5'],
    [/detach the data disk/, 'blue', 'green', '6'],
    [/take the data disk out of the depot/, 'green', 'blue', '7'],
    [/watch slot green/, 'blue', 'green', '8'],
  ] as const) {
    const mark = String(Number(has) + 1)
    expect(await active()).toBe(from)
    await leave(mark)
    await t.stopAt(step, (options) => rollback({ ...options, site: watching() }, [], before))
    expect((await readPins(t.folder)).groups.all?.rollout).toMatchObject({ to, state: 'before' })
    expect(await rollback(t.options({ site }), [], before), String(step)).toMatchObject([{ slot: to }])
    await serves(to)
    expect(await found(), String(step)).toEqual([has, mark])
    // What the slot that serves now leaves, and the other one's next is asked for.
    await leave(String(Number(has) + 1))
  }
}, 300_000)

it.each([
  ['before it was put back', /take the data disk out of the depot/],
  ['after', /watch slot blue/],
])(
  'given up %s, the slot that served has what it had',
  async (_when, step) => {
    expect(await active()).toBe('green')
    await leave('20')
    await t.stopAt(step, (options) => rollback({ ...options, site: watching() }, [], before))
    expect(await rollback(t.options({ site }), [])).toMatchObject([{ slot: 'green' }])
    expect(await found()).toEqual(['20', '20'])
  },
  180_000,
)

it('a slot that does not answer is shut down, and the state of before is put back all the same', async () => {
  await leave('21')
  expect(await rollback(t.options({ site }), [])).toMatchObject([{ slot: 'blue' }])
  await leave('22')
  expect(await rollout(t.options({ site }))).toMatchObject([{ slot: 'green' }])
  await leave('23')
  t.world.mute.add('home-all-green')
  expect(await rollback(t.options({ site }), [], before)).toMatchObject([{ slot: 'blue' }])
  t.world.mute.delete('home-all-green')
  await serves('blue')
  expect(await found()).toEqual(['22', '23'])
}, 300_000)

it('one of the same image has none: refused, before anything is stopped', async () => {
  expect(await rollout(t.options({ site: { ...site, logging: { ...site.logging, retentionDays: 9 } } }))).toMatchObject([{ slot: 'green' }])
  expect(await rollout(t.options({ site: { ...site, logging: { ...site.logging, retentionDays: 8 } } }))).toMatchObject([{ slot: 'blue' }])
  const calls = t.world.calls.length
  await expect(rollback(t.options({ site }), [], before)).rejects.toMatchObject({
    code: 'restore-point-missing',
    message: expect.stringContaining('both slots have the same image'),
  })
  await expect(planRollbacks(t.options({ site }), [], before)).rejects.toMatchObject({ code: 'restore-point-missing' })
  expect(t.world.calls.slice(calls)).toEqual([])
}, 300_000)
