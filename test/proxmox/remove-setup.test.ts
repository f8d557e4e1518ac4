/** What setup has made goes again, and nothing else: on a lab, where another site may be. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { emptyBase, labSite, writeLabSite, type LabSiteOptions } from '../../demo/lab-site.ts'
import { startLab, type Lab } from '../../lab/index.ts'
import { connect, type Proxmox } from '../../proxmox/client.ts'
import { observeRemoval, planRemoval, type RemovalPlan } from '../../proxmox/remove-setup.ts'
import { applySetup, observeSetup, planSetup, type SetupPlan, type SetupWanted } from '../../proxmox/setup.ts'
import { wantedSetup } from '../../scripts/setup.ts'
import { loadSite } from '../../settings/load.ts'

let work: string
let lab: Lab
let admin: Proxmox
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'gl-'))
  lab = await startLab({ stateDir: join(work, 'lab'), driver: 'fake' })
  const [id = '', secret = ''] = lab.connection.rootToken.split(/=(.*)/s)
  admin = connect({ url: lab.connection.apiUrl, caPem: await readFile(lab.connection.caFile, 'utf8'), auth: { id, secret } })
})
afterEach(async () => {
  admin.close()
  await lab.close()
  await rm(work, { recursive: true, force: true })
})

async function siteOf(name: string, more: Partial<LabSiteOptions> = {}): Promise<SetupWanted> {
  const folder = join(work, name)
  const base = await emptyBase(join(work, 'base.qcow2'))
  const site = labSite(lab.connection, { layout: 'two-vms', base, isoPath: join(work, `${more.sharedWith ?? name}-iso`), ...more, name })
  await writeLabSite(folder, site, lab.connection)
  return wantedSetup(await loadSite(folder), { enableFirewall: false, replaceToken: false })
}

const setupPlan = async (wanted: SetupWanted): Promise<SetupPlan> => planSetup(wanted, await observeSetup(admin, wanted))
async function prepare(wanted: SetupWanted): Promise<void> {
  const plan = await setupPlan(wanted)
  expect(plan.problems).toEqual([])
  await applySetup(
    admin,
    plan,
    () => {},
    async () => {},
  )
}

const removalPlan = async (wanted: SetupWanted): Promise<RemovalPlan> => planRemoval(wanted, await observeRemoval(admin, wanted), new Set())
async function remove(wanted: SetupWanted, onStep: (title: string) => void = () => {}, signal?: AbortSignal): Promise<void> {
  const { steps } = await removalPlan(wanted)
  const again = async (): Promise<SetupPlan> => ({ ...(await removalPlan(wanted)), problems: [] })
  await applySetup(
    admin,
    { steps, problems: [] },
    ({ title }) => onStep(title),
    async () => {},
    signal,
    again,
  )
}

/** All that setup makes, of whomever. */
async function host(): Promise<unknown> {
  const ask = (path: string): Promise<object[]> => admin.get(path)
  const byText = (list: object[]): string[] => list.map((one) => JSON.stringify({ ...one, digest: undefined })).sort()
  const vms = await admin.get<{ vmid: number; name: string }[]>('/nodes/pve/qemu')
  return {
    vms: vms.map(({ vmid, name }) => `${vmid} ${name}`).sort(),
    roles: byText(await ask('/access/roles')),
    users: byText(await admin.get('/access/users', { full: 1 })),
    acl: byText(await ask('/access/acl')),
    pools: byText(await ask('/pools')),
    storages: byText(await ask('/storage')),
    firewall: [
      await admin.get('/cluster/firewall/options'),
      byText(await ask('/cluster/firewall/rules')),
      await ask('/cluster/firewall/ipset'),
    ],
  }
}

const makeRole = (roleid: string): Promise<unknown> => admin.post('/access/roles', { roleid, privs: 'VM.Audit' })

describe('a site that is alone', () => {
  it('leaves the host as it was before, and there is nothing to do a second time', async () => {
    const before = await host()
    const wanted = await siteOf('home')
    await prepare(wanted)
    expect(await host()).not.toEqual(before)
    const { keeps, endsToken } = await removalPlan(wanted)
    expect({ keeps, endsToken }).toEqual({ keeps: [expect.stringMatching(/^the folder .*home-iso stays on the node/)], endsToken: true })
    await remove(wanted)
    expect(await host()).toEqual(before)
    expect(await removalPlan(wanted)).toEqual({ steps: [], keeps: [], endsToken: true })
    // And from there it can be prepared again.
    await prepare(wanted)
    expect(await setupPlan(wanted)).toEqual({ steps: [], problems: [] })
  })

  it('is ended by the next run, wherever one was killed', async () => {
    const before = await host()
    const wanted = await siteOf('home')
    await prepare(wanted)
    const all = (await removalPlan(wanted)).steps.map(({ title }) => title)
    const done: string[] = []
    // One step a run: it is stopped before the next one.
    for (let left = all.length; left > 0; left = (await removalPlan(wanted)).steps.length) {
      const stop = new AbortController()
      await remove(
        wanted,
        (title) => {
          done.push(title)
          stop.abort(new Error('killed'))
        },
        stop.signal,
      ).catch((error: Error) => expect(error.message).toBe('killed'))
    }
    expect(done).toEqual(all)
    expect(await host()).toEqual(before)
  })

  it.each(['before', 'after'] as const)('goes on when answers are lost %s the work', async (drop) => {
    const before = await host()
    const wanted = await siteOf('home')
    await prepare(wanted)
    for (const [method, path] of [
      ['PUT', '/config$'],
      ['DELETE', '^/nodes/pve/qemu/'],
      ['DELETE', '^/storage/'],
      ['PUT', '^/access/acl$'],
      ['DELETE', '/token/'],
      ['DELETE', '^/access/users/[^/]+$'],
    ] as const)
      lab.faults.order({ request: { method, path }, drop })
    await remove(wanted)
    expect(lab.faults.list().filter(({ left }) => left > 0)).toEqual([])
    expect(await host()).toEqual(before)
  })

  it('has no data taken away that comes into a depot after the look', async () => {
    const wanted = await siteOf('home')
    await prepare(wanted)
    const { steps } = await removalPlan(wanted)
    const [depot] = wanted.depots
    await admin.put(`/nodes/pve/qemu/${depot?.vmid}/config`, { scsi1: `${wanted.disks}:1` })
    await expect(
      applySetup(
        admin,
        { steps, problems: [] },
        () => {},
        async () => {},
      ),
    ).rejects.toMatchObject({ code: 'setup-in-use', message: expect.stringContaining(`vm-${depot?.vmid}-disk-0`) })
    expect(await admin.get(`/nodes/pve/qemu/${depot?.vmid}/config`)).toMatchObject({
      name: depot?.name,
      protection: 1,
      scsi1: expect.anything(),
    })
  })
})

describe("what others' is", () => {
  it('stays: a second site of its own keeps all that it has, and goes alone when it is the last', async () => {
    const before = await host()
    const home = await siteOf('home')
    await prepare(home)
    const alone = await host()
    const shop = await siteOf('shop', { firstVmid: 9110, firstHost: 60 })
    await prepare(shop)
    await remove(shop)
    expect(await host()).toEqual(alone)
    await prepare(shop)
    const { keeps } = await removalPlan(home)
    expect(keeps).toContainEqual(expect.stringMatching(/^role GoldenPool-[0-9a-f]{8}, which another site has, too$/))
    await remove(home)
    expect(await setupPlan(shop)).toEqual({ steps: [], problems: [] })
    expect(await removalPlan(home)).toEqual({ steps: [], keeps: [], endsToken: true })
    await remove(shop)
    expect(await host()).toEqual(before)
  })

  it('stays: a site in the pools and with the token of another one takes its depots only', async () => {
    const before = await host()
    const home = await siteOf('home')
    const guest = await siteOf('guest', { sharedWith: 'home', firstVmid: 9110, firstHost: 60 })
    await prepare(home)
    const alone = await host()
    await prepare(guest)
    const plan = await removalPlan(guest)
    expect(plan.steps.map(({ title }) => title)).toEqual(guest.depots.map(({ vmid, name }) => `remove depot ${name} (${vmid})`))
    expect(plan.endsToken).toBe(false)
    expect(plan.keeps).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^pool home-depots is somebody else's, too: VM 9010 \(home-serena-depot\)/),
        expect.stringMatching(/^token golden-home@pve!golden is somebody else's, too/),
      ]),
    )
    await remove(guest)
    expect(await host()).toEqual(alone)
    await remove(home)
    expect(await host()).toEqual(before)
  })

  it('stays: what was there before, what somebody has put into it, and whatever has rights there', async () => {
    const home = await siteOf('home')
    await admin.post('/pools', { poolid: home.pool, comment: 'the cellar' })
    await prepare(home)
    const user = home.tokenId.split('!')[0] ?? ''
    await admin.post(`/access/users/${user}/token/backup`, { privsep: 1 })
    await makeRole('Looker')
    await admin.post('/access/users', { userid: 'ann@pve' })
    await admin.put('/access/acl', { path: `/pool/${home.depotPool}`, roles: 'Looker', users: 'ann@pve' })
    await admin.upload({ node: 'pve', storage: home.iso, content: 'iso', filename: 'debian.iso', data: Buffer.alloc(2048) })
    await admin.put('/cluster/firewall/options', { enable: 1 })
    await admin.post('/cluster/firewall/rules', { type: 'in', action: 'ACCEPT', enable: 1 })
    const { keeps } = await removalPlan(home)
    expect(keeps).toEqual([
      `storage ${home.iso} is somebody else's, too: iso/debian.iso`,
      `pool ${home.depotPool} is somebody else's, too: rights of ann@pve`,
      `pool ${home.pool} was not made by setup`,
      `user ${user} has more than setup gave: token backup`,
      expect.stringMatching(/^the datacenter firewall is on and stays so/),
      "the rule of the datacenter firewall, none of which is setup's",
    ])
    const { firewall } = (await host()) as { firewall: unknown }
    await remove(home)
    expect(await host()).toMatchObject({
      firewall,
      vms: [],
      pools: expect.arrayContaining([expect.stringContaining(`"${home.pool}"`), expect.stringContaining(`"${home.depotPool}"`)]),
      storages: expect.arrayContaining([expect.stringContaining(`"${home.iso}"`)]),
      users: expect.arrayContaining([expect.stringMatching(new RegExp(`"${user}".*"backup"`))]),
      acl: [expect.stringContaining('admin@pve'), expect.stringContaining('ann@pve')],
    })
    expect((await removalPlan(home)).steps).toEqual([])
  })

  it("stays: a VM of somebody's under a depot's VMID", async () => {
    const home = await siteOf('home')
    await prepare(home)
    const [depot] = home.depots
    await admin.put(`/nodes/pve/qemu/${depot?.vmid}/config`, { name: 'mail' })
    const plan = await removalPlan(home)
    expect(plan.steps.filter(({ depot: one }) => one?.vmid === depot?.vmid)).toEqual([])
    expect(plan.keeps).toContainEqual(`VM ${depot?.vmid} (mail), which is not depot ${depot?.name}, is somebody else's`)
    expect(plan.keeps).toContainEqual(`pool ${home.depotPool} is somebody else's, too: VM ${depot?.vmid} (mail)`)
  })
})
