import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { deploymentFile, readPins } from '../../releases/pins.ts'
import { claimSite } from '../../rollout/claim.ts'
import { openEngine } from '../../rollout/engine.ts'
import { deploy } from '../../rollout/deploy.ts'
import { diskPlace, observeGroup, placesOf } from '../../rollout/observe.ts'
import { planRollouts, rollout } from '../../rollout/rollout.ts'
import { rollback } from '../../rollout/rollback.ts'
import { readStatus } from '../../rollout/status.ts'
import type { Site } from '../../settings/site.ts'
import { toolEnvironment } from '../../tools/index.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'

let t: RolloutLab
let site: Site
beforeAll(async () => {
  t = await startRolloutLab(await toolEnvironment())
  site = { ...t.site, rollout: { ...t.site.rollout, soakMinutes: 0 } }
  await t.addImage(9001)
  await deploy(t.options({ site }))
})
afterAll(() => t?.close())

const place = async (group: string) =>
  diskPlace(await observeGroup(t.proxmox, placesOf(site, group, (await readPins(t.folder)).groups[group])))

it('nothing to change: says so', async () => {
  expect(await rollout(t.options({ site }))).toMatchObject([
    { group: 'logging', outcome: 'nothing' },
    { group: 'serena', outcome: 'nothing' },
  ])
})

it('a new image takes over, the stack agrees, and the old slot rests', async () => {
  await t.addImage(9002, '2026-11-24T12:00:00.000Z')
  t.world.guest(9011)?.vfs.write('/run/golden/modelled-gate.json', JSON.stringify({ state: 'open', carry: { schema: 1 }, sse: 3 }))
  const { groups } = await readStatus(t.options({ site }))
  expect(groups.serena).toMatchObject({ sseClients: 3 })
  expect(groups.logging).toMatchObject({ sseClients: null })
  expect(await planRollouts({ ...t.options({ site }), only: ['serena'] })).toMatchObject([
    { do: 'roll', from: 'blue', to: 'green', release: 'new', sseClients: 3 },
  ])
  expect(await rollout({ ...t.options({ site }), only: ['serena'] })).toMatchObject([
    { group: 'serena', outcome: 'rolled-out', slot: 'green' },
  ])
  expect(t.shown.join('\n')).toContain('serena: 3 clients over SSE will have to reconnect')
  expect(await place('serena')).toMatchObject({ at: 'green' })
  expect((await readPins(t.folder)).groups.serena).toMatchObject({ active: 'green', slots: { blue: {}, green: { image: { vmid: 9002 } } } })
  expect(t.shown.join('\n')).not.toContain('a plan wants')
  expect(await t.root.get('/nodes/pve/qemu/9011/status/current')).toMatchObject({ status: 'stopped' })
  expect(await deploy(t.options({ site }))).toMatchObject([{ outcome: 'unchanged' }, { outcome: 'unchanged' }])
}, 240_000)

it('and back', async () => {
  expect(await rollback(t.options({ site }), ['serena'])).toMatchObject([{ group: 'serena', outcome: 'rolled-out', slot: 'blue' }])
  expect(await place('serena')).toMatchObject({ at: 'blue' })
  expect(t.shown.join('\n')).not.toContain('a plan wants')
}, 240_000)

it('with deployment.json of before a rollout nothing of what runs is touched, and golden says what is wrong', async () => {
  const before = await readFile(deploymentFile(t.folder), 'utf8')
  const changed = { ...site, logging: { ...site.logging, retentionDays: 8 } }
  expect(await rollout({ ...t.options({ site: changed }), only: ['logging'] })).toMatchObject([{ slot: 'green' }])
  const after = await readFile(deploymentFile(t.folder), 'utf8')
  const { id } = (await readPins(t.folder)).groups.logging!.slots.green!
  await writeFile(deploymentFile(t.folder), before)
  // Plain Terraform, as somebody may run it in an older checkout.
  await claimSite(t.options(), 'test', async (claim) => {
    const engine = openEngine({ ...t.options({ site }), claim })
    await engine.synth()
    const changes = await engine.plan('home-logging', () => {})
    expect(changes.map(({ action }) => action)).not.toContain('delete')
    await engine.apply('home-logging', () => {})
  })
  const boot = t.world.guest(9022)?.bootId
  const serves = async (): Promise<void> => {
    expect(await place('logging')).toMatchObject({ at: 'green' })
    expect(t.world.guest(9022)?.bootId).toBe(boot)
  }
  for (const verb of [
    () => deploy(t.options({ site })),
    () => rollout(t.options({ site })),
    () => planRollouts(t.options({ site })),
    () => rollback(t.options({ site }), ['logging']),
  ])
    await expect(verb()).rejects.toMatchObject({ code: 'deployment-outdated', hint: expect.stringContaining(`git log -S ${id}`) })
  expect((await readStatus(t.options({ site }))).groups.logging?.problems.join()).toContain('from before a rollout')
  await serves()

  // Put back, the state takes the VM in again, which it has lost by that; and nothing is made anew.
  await writeFile(deploymentFile(t.folder), after)
  const rules = await t.root.get('/nodes/pve/qemu/9022/firewall/rules')
  expect(await deploy(t.options({ site: changed }))).toMatchObject([{ group: 'logging', outcome: 'deployed' }, { outcome: 'unchanged' }])
  expect(t.shown.join('\n')).toMatch(/home-logging-green was not in the state, and is release [0-9a-f]{12}: taken in/)
  await serves()
  expect(await t.root.get('/nodes/pve/qemu/9022/firewall/rules')).toEqual(rules)
  expect(await deploy(t.options({ site: changed }))).toMatchObject([{ outcome: 'unchanged' }, { outcome: 'unchanged' }])
  expect((await readStatus(t.options({ site: changed }))).groups.logging).toMatchObject({ health: 'healthy' })
}, 240_000)
