/** Sites with both roles on one VM: once with plain cdktn on the way, once with Terraform instead of OpenTofu. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { SiteStatus } from '../../rollout/status.ts'
import { unrecorded } from '../lab/recording.ts'
import { openPlace, type Place } from './place.ts'

let place: Place
beforeAll(async () => {
  place = await openPlace()
}, 900_000)
afterAll(() => place?.close(), 60_000)

it('pins and deploys a site with both roles on one VM; plain cdktn applies the same pins', async () => {
  const site = await place.site({ name: 'solo', layout: 'one-vm', firstVmid: 9110, firstHost: 40 })
  await site.prepare()
  expect(await site.done('bake')).toMatchObject({ outcome: 'baked' })
  const before = await place.inventory()
  place.lab.faults.order({ task: { type: 'qmclone' }, reason: 'clone failed: ordered by the test' })
  const failed = await site.golden('deploy')
  expect(failed, failed.stderr).toMatchObject({ code: 1, error: { message: expect.stringContaining('ordered by the test') } })
  expect(await place.inventory()).toEqual(before)

  expect(await site.done('deploy', '--plan')).toMatchObject({
    plan: { groups: [{ group: 'all', slot: 'blue', vm: { do: 'make' }, data: { do: 'make', depot: 9110 } }], unknown: [] },
  })
  await withoutPacker(async () => {
    await site.done('deploy')
    expect((await site.done<SiteStatus>('status')).groups.all).toMatchObject({ health: 'healthy' })
  })
  const engine = { cwd: join(site.folder, 'state/cdktf.out/stacks/solo-all'), env: { GOLDEN_SITE: site.folder } }
  const ended = await place.computer.run(
    join(place.computer.clone, 'scripts/golden-tofu'),
    ['destroy', '-auto-approve', '-input=false'],
    engine,
  )
  expect(ended.code, ended.stdout + ended.stderr).toBe(0)
  // The pin and its seed stay, for whoever applies them, and so does the data.
  const after = await place.inventory()
  expect({ ...after, volumes: after.volumes.filter((volume) => !/seed-9111-|vm-9110-disk/.test(volume)) }).toEqual(before)

  const plain = await place.computer.run('sh', ['-c', 'eval "$(npx golden env)" && exec npx cdktn deploy "*" --auto-approve'], {
    env: { GOLDEN_SITE: site.folder, CI: 'true' },
  })
  expect(plain.code, plain.stdout + plain.stderr).toBe(0)
  const { groups } = await site.done<SiteStatus>('status')
  expect(groups.all).toMatchObject({
    roles: ['serena', 'logging'],
    health: 'healthy',
    serviceAddress: '10.77.0.41',
    dataDisk: { at: 'blue' },
    missing: ['grafana'],
    services: { serena_mcp: 'running', serena_mcp_sse: 'running', nginx_proxy: 'running', otelcol: 'running', loki: 'running' },
    urls: { 'streamable-http': expect.stringContaining('/mcp') },
  })
  // What the image does not have is not offered.
  expect(groups.all?.urls).not.toHaveProperty('grafana')
  expect(await site.done('deploy')).toMatchObject({ changed: false, groups: [{ group: 'all', slot: 'blue' }] })

  await site.edit((draft) => {
    draft.logging = { ...draft.logging, retentionDays: 12 }
    draft.rollout = { soakMinutes: 0 }
  })
  expect(await site.done('deploy')).toMatchObject({
    changed: false,
    groups: [{ differences: [expect.stringContaining('"npx golden rollout all"')] }],
  })
  expect(await site.done('rollout', '--plan')).toMatchObject({
    plan: [
      { group: 'all', do: 'roll', from: 'blue', to: 'green', keeps: true, changes: [expect.stringContaining('logging.retentionDays')] },
    ],
  })
  expect(await site.done('rollout')).toMatchObject({ changed: true, groups: [{ outcome: 'rolled-out', slot: 'green' }] })
  const planned = await place.computer.run('sh', ['-c', 'eval "$(npx golden env)" && exec npx cdktn diff solo-all'], {
    env: { GOLDEN_SITE: site.folder, CI: 'true' },
  })
  expect({ code: planned.code, said: planned.stdout + planned.stderr }).toEqual({ code: 0, said: expect.stringContaining('No changes.') })
  expect(await site.done('rollout')).toMatchObject({ changed: false, groups: [{ outcome: 'nothing', slot: 'green' }] })
  // From another terminal, until Ctrl-C.
  const watching = site.start('status', '--watch')
  let shown = ''
  watching.process.stdout!.on('data', (chunk: Buffer) => (shown += chunk.toString()))
  await once(watching.process.stdout!, 'data')
  // Its data does not move on before the other terminal has shown that it does.
  const held = place.lab.faults.order({ task: { type: 'qmmove' }, delayMs: 600_000 })
  const back = site.done('rollback')
  const unheld = back.then((ended) => Promise.reject(new Error(`not held: ${JSON.stringify(ended)}`)))
  while (!/"to": "blue"/.test(shown)) await Promise.race([once(watching.process.stdout!, 'data'), unheld])
  unheld.catch(() => {})
  place.lab.faults.clear(held)
  expect(await back).toMatchObject({ changed: true, groups: [{ outcome: 'rolled-out', slot: 'blue' }] })
  watching.interrupt()
  const watched = await watching.ended
  const seen = watched.stdout.split(/(?<=^\})\n/m).filter((text) => text !== '')
  const looks = seen.map((text) => (JSON.parse(text) as SiteStatus).groups.all)
  expect({ code: watched.code, first: looks[0]?.activeSlot }).toMatchObject({ first: 'green' })
  expect(looks.some((look) => look?.rollout?.to === 'blue' && look.claim?.verb === 'rollback')).toBe(true)
  expect((await site.done<SiteStatus>('status')).groups.all).toMatchObject({
    health: 'healthy',
    activeSlot: 'blue',
    slots: { green: { state: 'stopped' } },
    lastRollout: { verb: 'rollback', outcome: 'done' },
  })
  // A plan changes nothing.
  expect(await site.done('destroy', '--plan')).toMatchObject({
    plan: [{ group: 'all', exists: true, vms: [{ slot: 'blue' }, { slot: 'green' }], data: { at: 'blue', depot: 9110 } }],
  })
  expect(await site.done('deploy')).toMatchObject({ changed: false })
  await withoutPacker(async () => {
    expect(await site.done('destroy', '--yes')).toMatchObject({ groups: [{ group: 'all', outcome: 'destroyed', data: { depot: 9110 } }] })
  })
}, 600_000)

/** On a computer that has neither Packer nor a compiler for it, and reaches no release of it. */
async function withoutPacker(work: () => Promise<void>): Promise<void> {
  const { folder } = place.computer
  const moved = ['packer', 'packer-plugin-proxmox']
  await mkdir(join(folder, 'aside'))
  for (const name of moved) await rename(join(folder, 'tools', name), join(folder, 'aside', name))
  try {
    await work()
  } finally {
    for (const name of moved) await rename(join(folder, 'aside', name), join(folder, 'tools', name))
    await rm(join(folder, 'aside'), { recursive: true })
  }
}

/** A Terraform that can be used, where users have theirs. */
const terraform = ['/usr/local/bin/terraform', '/usr/bin/terraform']
  .filter((file) => existsSync(file))
  .find((file) => {
    const [, major, minor] =
      /^Terraform v(\d+)\.(\d+)/.exec(execFileSync(file, ['version'], { encoding: 'utf8', env: { CHECKPOINT_DISABLE: '1' } })) ?? []
    return major === '1' && Number(minor) >= 8
  })

it.skipIf(terraform === undefined)(
  'deploys and destroys with Terraform if the site says so (needs Terraform 1.8 or later in /usr/local/bin or /usr/bin)',
  async () => {
    const site = await place.site({ name: 'terra', layout: 'one-vm', firstVmid: 9150, firstHost: 60 })
    await site.edit((draft) => {
      draft.engine = 'terraform'
    })
    await site.prepare()
    await site.done('bake')
    expect(await site.done('deploy')).toMatchObject({ changed: true })
    const state = await place.computer.run('grep', ['-h', '"terraform_version"', join(site.folder, 'state/terra-all.tfstate')])
    expect(state.stdout).toContain(
      /v(\d+\.\d+\.\d+)/.exec(execFileSync(terraform ?? '', ['version'], { encoding: 'utf8', env: { CHECKPOINT_DISABLE: '1' } }))?.[1] ??
        'no version',
    )
    expect((await site.golden('status')).code).toBe(0)
    expect(await site.done('deploy')).toMatchObject({ changed: false })
    await site.edit((draft) => {
      draft.logging = { ...draft.logging, retentionDays: 12 }
      draft.rollout = { soakMinutes: 0 }
    })
    expect(await site.done('rollout')).toMatchObject({ groups: [{ outcome: 'rolled-out', slot: 'green' }] })
    expect(await site.done('deploy')).toMatchObject({ changed: false, groups: [{ differences: [] }] })
    expect(await site.done('destroy', '--yes')).toMatchObject({ groups: [{ outcome: 'destroyed', data: { depot: 9150 } }] })
  },
  240_000,
)

it('has asked guests nothing that is not in the recording', () => {
  expect(place.recorded.length).toBeGreaterThan(100)
  expect(unrecorded(place.recorded), '"npm run record" makes it anew').toEqual([])
})
