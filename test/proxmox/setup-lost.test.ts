/** `setup` whose answers are lost, on a lab: it looks what there is, and goes on. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { startLab, type Lab } from '../../lab/index.ts'
import { connect, type Proxmox } from '../../proxmox/client.ts'
import { applySetup, observeSetup, planSetup, type SetupPlan, type SetupWanted } from '../../proxmox/setup.ts'
import { emptyBase, labSite, writeLabSite } from '../../demo/lab-site.ts'
import { wantedSetup } from '../../scripts/setup.ts'
import { loadSite } from '../../settings/load.ts'

let work: string
let lab: Lab
let admin: Proxmox
let wanted: SetupWanted
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'gl-'))
  lab = await startLab({ stateDir: join(work, 'lab'), driver: 'fake' })
  const folder = join(work, 'site')
  await writeLabSite(
    folder,
    labSite(lab.connection, {
      name: 'home',
      layout: 'two-vms',
      base: await emptyBase(join(work, 'base.qcow2')),
      isoPath: join(work, 'iso'),
    }),
    lab.connection,
  )
  wanted = wantedSetup(await loadSite(folder), { enableFirewall: false, replaceToken: false })
  const [id = '', secret = ''] = lab.connection.rootToken.split(/=(.*)/s)
  admin = connect({ url: lab.connection.apiUrl, caPem: await readFile(lab.connection.caFile, 'utf8'), auth: { id, secret } })
})
afterEach(async () => {
  admin.close()
  await lab.close()
  await rm(work, { recursive: true, force: true })
})

const plan = async (): Promise<SetupPlan> => planSetup(wanted, await observeSetup(admin, wanted))

it.each(['before', 'after'] as const)('answers that are lost %s the work', async (drop) => {
  for (const [method, path] of [
    ['POST', '^/access/roles$'],
    ['POST', '^/pools$'],
    ['PUT', '^/access/acl$'],
    ['POST', '^/nodes/pve/qemu$'],
    ['PUT', '/config$'],
  ] as const)
    lab.faults.order({ request: { method, path }, drop })
  lab.faults.order({ task: { type: 'qmcreate' }, delayMs: 300 })
  const steps: string[] = []
  const secrets: string[] = []
  await applySetup(
    admin,
    await plan(),
    (step) => steps.push(step.title),
    async (secret) => {
      secrets.push(secret)
    },
    undefined,
    plan,
  )
  expect(await plan()).toEqual({ steps: [], problems: [] })
  expect(secrets).toHaveLength(1)
  expect(lab.faults.list().filter(({ left }) => left > 0)).toEqual([])
  // What has been done is not done again.
  if (drop === 'after') expect(steps).toEqual([...new Set(steps)])
})

it('a token whose secret was told to nobody is named with what makes it anew', async () => {
  lab.faults.order({ request: { method: 'POST', path: '/token/' }, drop: 'after' })
  await expect(
    applySetup(
      admin,
      await plan(),
      () => {},
      async () => {},
      undefined,
      plan,
    ),
  ).rejects.toMatchObject({ code: 'token-secret-lost', hint: expect.stringContaining('--new-token') })
})
