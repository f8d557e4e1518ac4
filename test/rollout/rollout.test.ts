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

it('with deployment.json of before a rollout, plain Terraform touches nothing of what runs, and golden says what is wrong', async () => {
  const before = await readFile(deploymentFile(t.folder), 'utf8')
  expect(
    await rollout({ ...t.options({ site: { ...site, logging: { ...site.logging, retentionDays: 8 } } }), only: ['logging'] }),
  ).toMatchObject([{ slot: 'green' }])
  const after = await readFile(deploymentFile(t.folder), 'utf8')
  await writeFile(deploymentFile(t.folder), before)
  await claimSite(t.folder, 'test', async (claim) => {
    const engine = openEngine({ ...t.options({ site }), claim })
    await engine.synth()
    const changes = await engine.plan('home-logging', () => {})
    expect(changes.map(({ action }) => action)).not.toContain('delete')
    await engine.apply('home-logging', () => {})
  })
  expect(await place('logging')).toMatchObject({ at: 'green' })
  expect(await t.root.get('/nodes/pve/qemu/9022/status/current')).toMatchObject({ status: 'running' })
  await expect(deploy(t.options({ site }))).rejects.toMatchObject({ hint: expect.stringContaining('golden ') })
  await writeFile(deploymentFile(t.folder), after)
  await expect(deploy(t.options({ site }))).rejects.toMatchObject({ code: 'vm-not-in-state', hint: expect.stringContaining('state') })
  expect(await place('logging')).toMatchObject({ at: 'green' })
}, 240_000)
