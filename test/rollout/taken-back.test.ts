/** Rollouts to slots that are no good: the old slot serves, nothing is lost, and the reason is told. With the real engine. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { dataFolder } from '../../images/guest/places.ts'
import { ballast, fileNode } from '../../lab/compute/fake/filesystem.ts'
import { readPins } from '../../releases/pins.ts'
import { deploy } from '../../rollout/deploy.ts'
import { destroy } from '../../rollout/destroy.ts'
import { readHistory } from '../../rollout/history.ts'
import { rollback } from '../../rollout/rollback.ts'
import { planRollouts, rollout } from '../../rollout/rollout.ts'
import { readStatus } from '../../rollout/status.ts'
import type { Site } from '../../settings/site.ts'
import { watched } from '../set-up.ts'
import { startOneVm, type OneVm } from './one-vm.ts'

let t: OneVm
let site: Site
beforeAll(async () => {
  t = await startOneVm()
  site = { ...t.site, rollout: { healthMinutes: 0.5, soakMinutes: 0, drainSeconds: 5, old: 'running' } }
  await deploy(t.options({ site }))
  await t.addImage(9002, '2026-11-24T12:00:00.000Z')
})
afterAll(() => t?.close())

const pins = async () => (await readPins(t.folder)).groups.all
const activeIs = async (slot: string): Promise<void> => {
  expect(await t.place()).toMatchObject({ at: slot })
  expect(await pins()).toMatchObject({ active: slot })
  const status = await readStatus(t.options({ site }))
  const { health, problems } = status.groups.all ?? {}
  expect({ slot, healthy: status.healthy, host: status.problems, health, problems }).toEqual({
    slot,
    healthy: true,
    host: [],
    health: 'healthy',
    problems: [],
  })
}

it('one whose nginx does not start never gets the data', async () => {
  t.world.ill.add('home-all-green')
  const before = t.world.calls.length
  await expect(rollout(t.options({ site }))).rejects.toMatchObject({
    code: 'rollout-failed',
    message: expect.stringMatching(/does not stand by: .*nginx_proxy.*Slot blue was not touched/s),
  })
  expect(t.world.calls.slice(before).filter((call) => /let-go|yield|activate/.test(call))).toEqual([])
  await activeIs('blue')
  expect(await pins()).toMatchObject({ rollout: { to: 'green', phase: 'failed' } })
  expect((await readHistory(t.folder)).at(-1)).toMatchObject({ verb: 'rollout', outcome: 'taken-back', from: { slot: 'blue' } })
})

it('one that fails once it has the data gives it back', async () => {
  t.world.ill.delete('home-all-green')
  // Well while it stands by, ill from the moment when the data is there.
  const progress = watched(t.options().progress, (text) => {
    if (text.includes('take the data disk out of the depot')) t.world.ill.add('home-all-green')
  })
  await expect(rollout(t.options({ site, progress }))).rejects.toMatchObject({
    code: 'rollout-failed',
    message: expect.stringMatching(/slot green of group all does not serve: .*Slot blue serves again, with the data/s),
  })
  await activeIs('blue')
})

it('one that gets ill while it is watched gives it back, too', async () => {
  t.world.ill.delete('home-all-green')
  const progress = watched(t.options().progress, (text) => {
    if (text.includes('watch slot green')) t.world.ill.add('home-all-green')
  })
  const watching: Site = { ...site, rollout: { ...site.rollout, soakMinutes: 1 } }
  await expect(rollout(t.options({ site: watching, progress }))).rejects.toMatchObject({
    code: 'rollout-failed',
    message: expect.stringMatching(/got ill: .*Slot blue serves again/s),
  })
  await activeIs('blue')
})

const letDisk = (fill: boolean): void => {
  const { vfs } = t.world.guest(9011)!
  if (fill) vfs.write(`${dataFolder}/${ballast}`, '')
  else vfs.remove(`${dataFolder}/${ballast}`)
}

it('one whose own disk is full never gets the data, and that is said at once', async () => {
  t.world.ill.delete('home-all-green')
  await t.addImage(9003, '2026-11-22T12:00:00.000Z', undefined, (root) => root.put(ballast, fileNode('')))
  const before = t.world.calls.length
  await expect(rollout({ ...t.options({ site }), image: '9003' })).rejects.toMatchObject({
    code: 'rollout-failed',
    message: expect.stringMatching(/the root disk of slot green of group all is full: .*Slot blue was not touched/s),
    hint: expect.stringContaining('diskGiB'),
  })
  expect(t.world.calls.slice(before).filter((call) => /let-go|yield|activate/.test(call))).toEqual([])
  await activeIs('blue')
})

it('nor does any, while the data disk of a slot that serves is full', async () => {
  letDisk(true)
  const before = t.world.calls.length
  for (const verb of [() => rollout(t.options({ site })), () => planRollouts(t.options({ site }))])
    await expect(verb()).rejects.toMatchObject({ code: 'slot-disk-full', message: expect.stringContaining('slot blue serves') })
  expect(t.world.calls.slice(before)).toEqual([])
  letDisk(false)
  await activeIs('blue')
})

it('a disk that gets full on the way comes back full, and the old slot serves with it', async () => {
  const progress = watched(t.options().progress, (text) => {
    if (text.includes('let calls end')) letDisk(true)
    if (text.includes('take the data disk out of the depot')) t.world.ill.add('home-all-green')
  })
  await expect(rollout(t.options({ site, progress }))).rejects.toMatchObject({
    code: 'rollout-failed',
    message: expect.stringMatching(/does not serve: .*the data disk is full.*Slot blue serves again, with the data/s),
  })
  t.world.ill.delete('home-all-green')
  expect(await t.place()).toMatchObject({ at: 'blue' })
  const { groups } = await readStatus(t.options({ site }))
  expect(groups.all?.problems).toEqual([expect.stringMatching(/^the data disk is full: 0\.0 of /)])
  expect(groups.all?.services).toMatchObject({ serena_mcp: 'running' })
  letDisk(false)
  await activeIs('blue')
})

it('a good one then takes over, from a slot that has been through all that, and back', async () => {
  t.world.ill.delete('home-all-green')
  expect(await rollout(t.options({ site }))).toMatchObject([{ outcome: 'rolled-out', slot: 'green' }])
  await activeIs('green')
  expect(await pins()).not.toHaveProperty('rollout')
  expect(await rollback(t.options({ site }), [])).toMatchObject([{ outcome: 'rolled-out', slot: 'blue' }])
  await activeIs('blue')
})

it('stopped at whatever step, the same command goes on; so do the way back, and destroy', async () => {
  const steps = [
    /release [0-9a-f]+ of image/,
    /wait until slot green/,
    /ask whether the data disk can leave/,
    /detach the data disk/,
    /take the data disk out of the depot/,
    /let the old slot pass its calls on/,
  ]
  const changed = (days: number): Site => ({ ...site, logging: { ...site.logging, retentionDays: days } })
  let days = 40
  for (const step of steps) {
    days += 1
    const active = (await pins())?.active
    const forth = new RegExp(step.source.replaceAll('green', active === 'green' ? 'blue' : 'green'))
    await t.stopAt(forth, (options) => rollout({ ...options, site: changed(days) }))
    expect(await rollout(t.options({ site: changed(days) })), String(step)).toMatchObject([{ group: 'all' }])
    await activeIs(active === 'green' ? 'blue' : 'green')
  }
  const active = (await pins())?.active ?? ''
  await t.stopAt(/detach the data disk/, (options) => rollout({ ...options, site: changed(99) }))
  expect(await rollback(t.options({ site }), [])).toMatchObject([{ slot: active }])
  await activeIs(active)
  await t.stopAt(/take the data disk out of the depot/, (options) => rollout({ ...options, site: changed(98) }))
  expect(await destroy(t.options({ site }))).toMatchObject([{ outcome: 'destroyed', dataDisk: 'kept' }])
  expect(await t.place()).toMatchObject({ at: 'depot' })
}, 900_000) // Ten rollouts.
