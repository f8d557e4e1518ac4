/** Deployments that are stopped, fail, or meet each other: nothing half-done stays, and the same command goes on. */
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { deleteData } from '../../rollout/delete-data.ts'
import { deploy } from '../../rollout/deploy.ts'
import { destroy } from '../../rollout/destroy.ts'
import { deploymentFile, readPins } from '../../releases/pins.ts'
import { readStatus } from '../../rollout/status.ts'
import { nothing, startOneVm, type OneVm } from './one-vm.ts'

let t: OneVm
beforeAll(async () => {
  t = await startOneVm()
})
afterAll(() => t?.close())

it('stopped at whatever step, a first deployment is taken back; the next one succeeds', async () => {
  const steps = [
    /check the host/,
    /release [0-9a-f]+ of image/,
    /upload the seed/,
    /vm\.blue: Creating/,
    /firewall_rules\.blue_rules: Creating/,
    /blue_activation: Creating/,
    /activate slot blue/,
  ]
  // So that it is still at it when the last of these is seen.
  t.world.ill.add('home-all-blue')
  for (const step of steps) {
    await t.stopAt(step, deploy)
    expect(await t.made(), String(step)).toEqual(nothing)
  }
  t.world.ill.clear()
  expect(await deploy(t.options())).toMatchObject([{ group: 'all', outcome: 'deployed' }])
  expect((await readStatus(t.options())).healthy).toBe(true)
  await destroy(t.options())
  expect(t.world.calls.filter((call) => call.endsWith('format')).length).toBe(1)
})

it.each([
  ['the clone', { task: { type: 'qmclone' }, reason: 'clone failed: write error: No space left on device' }],
  ['the seed', { task: { type: 'imgcopy' }, reason: 'error during copy: No space left on device' }],
])('a storage that is full for %s is named, and nothing is left behind', async (_what, fault) => {
  const id = t.lab.faults.order({ ...fault, times: 20 })
  await expect(deploy(t.options())).rejects.toMatchObject({ code: 'storage-full', hint: expect.stringContaining('Make room') })
  t.lab.faults.clear(id)
  expect(await t.made()).toEqual(nothing)
})

it('a storage that is full for the data disk is named, and nothing is left behind', async () => {
  await deleteData(t.options(), 'all')
  const id = t.lab.faults.order({ task: { type: 'qmconfig' }, reason: 'unable to create image: No space left on device', times: 1 })
  await expect(deploy(t.options())).rejects.toMatchObject({ code: 'storage-full', hint: expect.stringContaining('Make room') })
  t.lab.faults.clear(id)
  expect(await t.made()).toEqual(nothing)
  expect(existsSync(deploymentFile(t.folder))).toBe(false)
  expect(await t.place()).toEqual({ at: 'nowhere' })
})

it('two at the same time: one deploys, the other is refused', async () => {
  const outcomes = await Promise.allSettled([deploy(t.options()), deploy(t.options())])
  expect(
    outcomes.map((one) => (one.status === 'fulfilled' ? one.value[0]?.outcome : (one.reason as { code: string }).code)).sort(),
  ).toEqual(['deploy-in-progress', 'deployed'])
  await destroy(t.options())
})

it('stopped while destroying, destroy goes on from there', async () => {
  await deploy(t.options())
  await t.stopAt(/shut the VM down/, destroy)
  await t.stopAt(/vm\.blue: Destroying/, destroy)
  expect(await destroy(t.options())).toMatchObject([{ data: { depot: 9010 } }])
  expect((await readPins(t.folder)).groups.all).toEqual({ dataDisk: 'made', depot: 9010, slots: {} })
})

it('deleting data that was stopped goes on by the same verb, and every other one says so', async () => {
  await t.stopAt(/take the disk out of the depot/, (options) => deleteData(options, 'all'))
  for (const verb of [deploy, destroy])
    await expect(verb(t.options())).rejects.toMatchObject({
      code: 'delete-data-interrupted',
      hint: expect.stringContaining('golden delete-data all'),
    })
  expect(await deleteData(t.options(), 'all')).toMatch(/vm-9011-disk/)
  expect(await t.made()).toEqual(nothing)
  expect(await destroy(t.options())).toMatchObject([{ outcome: 'absent', dataDisk: 'none' }])
})

it('stopped while the data disk is being made, it waits for that, and the next run knows that the disk is new', async () => {
  const abort = new AbortController()
  const fault = t.lab.faults.order({ task: { type: 'qmconfig', id: '9010' }, delayMs: 3000 })
  const stopped = expect(deploy(t.options({ signal: abort.signal }))).rejects.toThrow()
  await vi.waitUntil(() => t.lab.faults.list().find(({ id }) => id === fault)?.left === 0, { timeout: 60_000, interval: 50 })
  abort.abort(new Error('stopped by the test'))
  await stopped
  t.lab.faults.clear(fault)
  expect(await t.made()).toEqual(nothing)
  expect(await t.place()).toMatchObject({ at: 'depot' })
  expect((await readPins(t.folder)).groups.all).toMatchObject({ dataDisk: 'new' })
  expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
  expect((await readStatus(t.options())).healthy).toBe(true)
  await destroy(t.options())
})
