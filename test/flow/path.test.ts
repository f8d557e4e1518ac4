/** The whole path as a user types it, with real Packer, real OpenTofu and the real provider, on fake guests. */
import { X509Certificate } from 'node:crypto'
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { ImageList } from '../../rollout/list-images.ts'
import type { PrunePlan } from '../../rollout/plan-prune.ts'
import type { SiteStatus } from '../../rollout/status.ts'
import { silent } from '../../core/progress.ts'
import { newChecks } from '../../demo/checks.ts'
import { checkTranscript } from '../../demo/compare.ts'
import { searchFiles, searchFolder } from '../../demo/search.ts'
import { unrecorded } from '../lab/recording.ts'
import { openPlace, type Place, type SiteFolder } from './place.ts'

let place: Place
let site: SiteFolder
interface Deployed {
  changed: boolean
  groups: { group: string; outcome: string; slot: string; siteDiffers: boolean }[]
}
beforeAll(async () => {
  place = await openPlace()
  site = await place.site()
}, 900_000)
afterAll(() => place?.close(), 60_000)

const minute = 60_000

describe('the path of a site', () => {
  let image: { vmid: number; name: string; fingerprint: string }

  it('begins with secrets that only their owner reads, made once', async () => {
    const secrets = await readdir(join(site.folder, 'secrets'), { recursive: true, withFileTypes: true })
    const files = secrets.filter((entry) => entry.isFile())
    expect(files.length).toBeGreaterThan(8)
    for (const entry of files) expect((await stat(join(entry.parentPath, entry.name))).mode & 0o077).toBe(0)
    expect(await site.done('init')).toMatchObject({ made: [] })
  })

  it('sets the host up once somebody has agreed to its certificate', async () => {
    const before = await place.inventory()
    const unsure = await site.golden('setup', '--admin', 'admin@pve')
    expect(unsure).toMatchObject({ code: 1, error: { code: 'fingerprint-not-confirmed' } })
    const wrong = await site.golden('setup', '--admin', 'admin@pve', '--fingerprint', Array(32).fill('AA').join(':'))
    expect(wrong).toMatchObject({ code: 1, error: { code: 'fingerprint-differs' } })
    expect(await place.inventory()).toEqual(before)
    const fingerprint = /([0-9A-F]{2}:){31}[0-9A-F]{2}/.exec(unsure.error?.hint ?? '')?.[0] ?? ''
    expect(fingerprint).toBe(new X509Certificate(await serverCertificate()).fingerprint256)
    expect(await site.done('setup', '--admin', 'admin@pve', '--fingerprint', fingerprint)).toMatchObject({ datacenterFirewall: false })
    expect((await stat(join(site.folder, 'secrets/proxmox-token'))).mode & 0o777).toBe(0o600)
    expect((await place.inventory()).vms).toMatchObject([
      { vmid: 9010, name: 'test-serena-depot', pool: 'test-depots' },
      { vmid: 9020, name: 'test-logging-depot', pool: 'test-depots' },
    ])
    expect(await site.done('setup', '--admin', 'admin@pve')).toMatchObject({ steps: [] })
  })

  it('bakes an image, also when the host has renewed its certificate meanwhile', async () => {
    await place.lab.renewCertificate()
    const before = await place.inventory()
    expect(await site.done('bake', '--plan')).toMatchObject({ preview: { plan: { kind: 'bake' }, changed: [] } })
    expect(await place.inventory()).toEqual(before)
    const ended = await site.golden('bake')
    expect(ended.code, ended.stderr).toBe(0)
    expect(ended.stderr).not.toMatch(/Warning:/)
    const { outcome, template } = ended.json<{ outcome: string; template: typeof image }>()
    expect(outcome).toBe('baked')
    image = template
    const { vms, volumes, temporary, processes } = await place.inventory()
    expect(vms).toContainEqual({ vmid: image.vmid, name: image.name, status: 'stopped', template: true, pool: 'test' })
    expect(vms.filter((vm) => vm.name?.startsWith('golden-build'))).toEqual([])
    expect(volumes.filter((volume) => volume.startsWith('test-iso:'))).toEqual([])
    expect({ temporary, processes }).toEqual({ temporary: [], processes: [] })
  })

  it('has nothing to bake the second time', async () => {
    const before = await place.inventory()
    expect(await site.done('bake', '--plan')).toMatchObject({ preview: { plan: { kind: 'unchanged', image: { vmid: image.vmid } } } })
    expect(await site.done('bake')).toEqual({ lockCompleted: false, outcome: 'unchanged', template: image, next: ['npx golden deploy'] })
    expect(await place.inventory()).toEqual(before)
  })

  it('verifies it, and leaves nothing but what it has found', async () => {
    const before = await place.inventory()
    expect(await site.done('verify', '--plan')).toMatchObject({
      plan: { image, clones: [{ roles: ['logging'] }, { roles: ['serena'], service: '10.77.0.20' }] },
    })
    expect(await place.inventory()).toEqual(before)
    const ended = await site.golden('verify')
    expect(ended.code, ended.stdout + ended.stderr).toBe(0)
    expect(ended.json()).toMatchObject({ passed: true, image })
    expect(await place.inventory()).toEqual(before)
  })

  it("does not touch a VM of somebody else that has a slot's VMID", async () => {
    await place.root.task(
      await place.root.post('/nodes/pve/qemu', { vmid: 7000, name: 'mail', memory: 64, scsi0: 'local-lvm:1', description: 'ours' }),
    )
    const config = await place.root.get('/nodes/pve/qemu/7000/config')
    const taken = await site.copy('taken', (draft) => {
      draft.groups.logging!.slots.blue.vmid = 7000
    })
    // Secrets that are missing would be said first.
    await taken.done('init')
    const before = await place.inventory()
    const ended = await taken.golden('deploy')
    expect(ended, ended.stderr).toMatchObject({
      code: 1,
      error: {
        code: 'vmid-taken',
        message: expect.stringMatching(/7000/),
        hint: expect.stringContaining('groups.logging.slots.blue.vmid'),
      },
    })
    expect(await place.inventory()).toEqual(before)
    expect(await place.root.get('/nodes/pve/qemu/7000/config')).toEqual(config)
  })

  const cloned = async (): Promise<boolean> => (await place.inventory()).vms.some((vm) => vm.vmid === 9021)

  it('takes a first deployment back on Ctrl-C', async () => {
    const before = await place.inventory()
    const deploy = site.start('deploy')
    await Promise.race([vi.waitUntil(cloned, { timeout: minute, interval: 100 }), deploy.ended])
    deploy.interrupt()
    const ended = await deploy.ended
    expect(ended, ended.stderr).toMatchObject({ code: 130, error: { code: 'cancelled' } })
    // A data disk that it has made stays in its depot, as data disks do.
    const { volumes, ...after } = await place.inventory()
    expect({ ...after, volumes: volumes.filter((volume) => !/vm-9020-disk-0/.test(volume)) }).toEqual(before)
  })

  it('ends its engine, which writes its state, when it is killed', async () => {
    const deploy = site.start('deploy')
    await Promise.race([vi.waitUntil(cloned, { timeout: minute, interval: 100 }), deploy.ended])
    if (deploy.process.pid !== undefined) process.kill(-deploy.process.pid, 'SIGKILL')
    await deploy.ended
    await vi.waitUntil(() => place.computer.processes().length === 0, { timeout: minute, interval: 100 })
    expect((await place.inventory()).temporary).toEqual([])
    // Made before the VM, and only kept if the engine came to write it down.
    expect(await readFile(join(site.folder, 'state/test-logging.tfstate'), 'utf8')).toContain('"blue_release"')
  })

  it('goes on with the same command, and deploys both groups', async () => {
    const { changed, groups } = await site.done<Deployed>('deploy')
    expect(changed).toBe(true)
    expect(groups).toMatchObject([
      { group: 'logging', outcome: 'deployed', slot: 'blue', image: { vmid: image.vmid }, siteDiffers: false },
      { group: 'serena', outcome: 'deployed', slot: 'blue', image: { vmid: image.vmid }, siteDiffers: false },
    ])
  })

  it('has made what the pins say: running, protected owners of their data disks', async () => {
    const { vms, volumes, temporary, processes } = await place.inventory()
    expect(vms).toEqual(
      expect.arrayContaining([
        { vmid: 9011, name: 'test-serena-blue', status: 'running', template: false, pool: 'test' },
        { vmid: 9021, name: 'test-logging-blue', status: 'running', template: false, pool: 'test' },
      ]),
    )
    for (const [slot, depot] of [
      [9011, 9010],
      [9021, 9020],
    ] as const) {
      const config = await configOf(slot)
      expect(config).toMatchObject({ protection: 1, scsi1: expect.stringMatching(new RegExp(`vm-${slot}-disk-\\d.*serial=golden-data`)) })
      expect(Object.values(await configOf(depot)).filter((value) => String(value).startsWith('local-lvm:'))).toEqual([])
    }
    for (const [slot, address] of [
      [9011, '10.77.0.21'],
      [9021, '10.77.0.25'],
    ] as const) {
      expect(JSON.parse(await inGuest(slot, '/usr/local/sbin/slotctl status'))).toMatchObject({
        active: true,
        dataDisk: 'mounted',
        serviceAddress: { address, held: true },
      })
      expect(await place.root.get(`/nodes/pve/qemu/${slot}/firewall/options`)).toMatchObject({
        enable: 1,
        policy_in: 'DROP',
        policy_out: 'DROP',
      })
    }
    const rules = await place.root.get<{ type: string; dport?: string; action: string }[]>('/nodes/pve/qemu/9011/firewall/rules')
    expect(rules.filter((rule) => rule.type === 'in' && rule.action === 'ACCEPT').flatMap((rule) => rule.dport?.split(',') ?? [])).toEqual(
      expect.arrayContaining(['443', '80', '22']),
    )
    expect(volumes.filter((volume) => volume.startsWith('test-iso:'))).toEqual([
      expect.stringMatching(/seed-9011-[0-9a-f]+\.iso$/),
      expect.stringMatching(/seed-9021-[0-9a-f]+\.iso$/),
    ])
    const { groups } = JSON.parse(await readFile(join(site.folder, 'deployment.json'), 'utf8')) as { groups: Record<string, unknown> }
    expect(groups).toMatchObject({ serena: { active: 'blue', dataDisk: 'made' }, logging: { active: 'blue', dataDisk: 'made' } })
    expect({ temporary, processes }).toEqual({ temporary: [], processes: [] })
  })

  it('says what runs where, and how to reach it', async () => {
    const status = await site.done<SiteStatus>('status')
    expect(status).toMatchObject({ healthy: true, proxmoxFirewall: expect.stringMatching(/off|unknown/) })
    expect(status.groups.serena).toMatchObject({
      activeSlot: 'blue',
      image,
      serviceAddress: '10.77.0.21',
      health: 'healthy',
      problems: [],
      urls: {
        'streamable-http': `https://localhost:${place.lab.connection.router.https.port}/mcp`,
        sse: `https://localhost:${place.lab.connection.router.https.port}/sse`,
      },
      services: { serena_mcp: 'running', serena_mcp_sse: 'running', nginx_proxy: 'running', otelcol: 'running' },
      dataDisk: { at: 'blue' },
      siteDiffers: false,
    })
    expect(status.groups.logging).toMatchObject({
      activeSlot: 'blue',
      health: 'healthy',
      services: { loki: 'running' },
      missing: ['grafana'],
      dataDisk: { at: 'blue' },
    })
    for (const group of Object.values(status.groups)) {
      for (const file of [group.caFile ?? '', ...Object.values(group.credentialFiles)]) expect((await stat(file)).isFile()).toBe(true)
    }
  })

  it('keeps every secret out of pins, state, plan and synthesised stacks', async () => {
    const secrets = await secretsOf(site.folder)
    expect(secrets.length).toBeGreaterThan(8)
    const places = [join(site.folder, 'state'), join(site.folder, 'deployment.json')]
    // The search itself works: it finds what is there, and what is put there.
    expect(await filesWith(places, ['test-serena-blue'])).not.toEqual([])
    const canary = join(site.folder, 'state', 'canary')
    await writeFile(canary, Buffer.from(`x${secrets[0] ?? ''}y`).toString('base64'))
    expect(await filesWith(places, secrets)).toEqual([canary])
    await rm(canary)
    expect(await filesWith(places, secrets)).toEqual([])
  })

  it('answers as the transcript says, by the check that the demo makes of real guests', async () => {
    const { signal } = new AbortController()
    const checks = newChecks(silent, signal, async () => {})
    const before = place.recorded.length
    const { address } = site.site.groups.logging!.slots.blue
    await checkTranscript(checks, { guest: { proxmox: place.root, node: 'pve', vmid: 9021, signal }, address, folder: site.folder }, 'fake')
    expect(checks.results).toMatchObject([{ ok: true }, { ok: true, found: [expect.stringMatching(/^(\d+) of \1 steps/)] }])
    // It is no part of what a deployment asks.
    place.recorded.splice(before)
    expect((await site.golden('status')).code).toBe(0)
  })

  it('has nothing to deploy the second time, and none either after an edit of the site', async () => {
    const before = await place.inventory()
    expect(await site.done<Deployed>('deploy')).toMatchObject({
      changed: false,
      groups: [
        { outcome: 'unchanged', siteDiffers: false },
        { outcome: 'unchanged', siteDiffers: false },
      ],
    })
    const memory = site.site.serena.memoryMiB
    await site.edit((draft) => {
      draft.serena.memoryMiB = 1024
    })
    expect(await site.done<Deployed>('deploy')).toMatchObject({
      changed: false,
      groups: [
        { group: 'logging', siteDiffers: false },
        { group: 'serena', outcome: 'unchanged', siteDiffers: true },
      ],
    })
    await site.edit((draft) => {
      draft.serena.memoryMiB = memory
    })
    expect(await place.inventory()).toEqual(before)
  })

  it('is all there after the lab was stopped and started again', async () => {
    await inGuest(9011, 'echo from-before > /srv/golden/projects/playground/note && cat /srv/golden/projects/playground/note')
    const before = await place.inventory()
    const { apiUrl } = place.lab.connection
    await place.restart()
    expect(place.lab.connection.apiUrl).toBe(apiUrl)
    const { socksProxy } = place.lab.connection
    await site.edit((draft) => {
      draft.proxmox.socksProxy = { ...socksProxy }
    })
    expect(await place.inventory()).toEqual({ ...before, vms: before.vms.map((vm) => ({ ...vm, status: 'stopped' })) })
    const stopped = await site.golden('status')
    expect(stopped.code).toBe(3)
    expect(stopped.json()).toMatchObject({ healthy: false, groups: { serena: { health: 'stopped' }, logging: { health: 'stopped' } } })
    for (const vmid of [9021, 9011]) await place.root.task(await place.root.post(`/nodes/pve/qemu/${vmid}/status/start`))
    await vi.waitUntil(async () => (await site.golden('status')).code === 0, { timeout: minute, interval: 500 })
    expect(await inGuest(9011, 'cat /srv/golden/projects/playground/note')).toBe('from-before\n')
    expect(await site.done<Deployed>('deploy')).toMatchObject({ changed: false })
    expect(await site.done('bake')).toMatchObject({ outcome: 'unchanged' })
  })

  it('lists the image with who uses it, promotes it once, and would prune nothing that is in use', async () => {
    const { images, bases } = await site.done<ImageList>('images')
    expect(images).toMatchObject([{ ...image, channel: 'candidate', verification: 'passed', signature: { by: 'test' }, next: true }])
    expect(await site.done('sign', image.name, '--yes')).toMatchObject({ outcome: 'unchanged' })
    expect(images[0]?.uses).toEqual(
      expect.arrayContaining([
        { kind: 'slot', group: 'serena', slot: 'blue', serves: true },
        { kind: 'vm', vmid: 9021, name: 'test-logging-blue', linked: expect.any(Boolean) },
      ]),
    )
    expect(bases).toMatchObject([{ os: 'debian-13' }])
    expect(await site.done('images', 'diff', image.name, String(image.vmid))).toMatchObject({ packages: [], files: [], unknown: [] })
    expect(await site.done('promote', image.fingerprint.slice(0, 12))).toMatchObject({ outcome: 'promoted', channel: 'stable' })
    expect(await site.done('promote', image.name)).toMatchObject({ outcome: 'unchanged' })
    const { plan } = await site.done<{ plan: PrunePlan }>('prune', '--plan')
    expect(plan).toMatchObject({ remove: [], seeds: [], keep: [{ what: 'image' }, { what: 'base' }] })
    expect(await site.done('prune')).toMatchObject({ left: [] })
    expect(await site.golden('revoke', image.name)).toMatchObject({ code: 2, error: { code: 'usage' } })
    expect(await site.golden('promote', 'nothing-like-it')).toMatchObject({ code: 2, error: { code: 'image-unknown' } })
  })

  it('refuses to delete the data of what runs, and to destroy without being told so', async () => {
    expect(await site.golden('delete-data', 'serena', '--confirm', 'serena')).toMatchObject({ code: 1, error: { code: 'data-in-use' } })
    expect((await site.golden('destroy')).code).toBe(1)
    expect((await site.golden('status')).code).toBe(0)
  })

  it('destroys the VMs and keeps the data disks in their depots', async () => {
    const { groups } = await site.done<{ groups: { group: string; outcome: string; data: { depot: number; volume: string } }[] }>(
      'destroy',
      '--yes',
    )
    expect(groups).toMatchObject([
      { group: 'serena', outcome: 'destroyed', data: { depot: 9010 } },
      { group: 'logging', outcome: 'destroyed', data: { depot: 9020 } },
    ])
    const { vms, volumes, temporary, processes } = await place.inventory()
    expect(vms.filter((vm) => vm.pool === 'test' && !vm.template)).toEqual([])
    for (const { data } of groups) {
      expect(volumes).toContain(data.volume)
      const config = await configOf(data.depot)
      expect(config).toMatchObject({ protection: 1 })
      expect(Object.values(config).filter((value) => String(value).startsWith(data.volume))).toHaveLength(1)
    }
    expect(volumes.filter((volume) => volume.startsWith('test-iso:'))).toEqual([])
    expect({ temporary, processes }).toEqual({ temporary: [], processes: [] })
    expect((await site.golden('status')).json()).toMatchObject({
      healthy: false,
      groups: { serena: { health: 'absent', dataDisk: { at: 'depot' } } },
    })
    expect(await site.done('destroy', '--yes')).toMatchObject({ groups: [{ outcome: 'absent' }, { outcome: 'absent' }] })
  })

  it('does all this with a token that may not touch depots, disks, and VMs of others', async () => {
    const token = await site.token()
    const node = '/nodes/pve'
    const before = await place.inventory()
    const depot = await configOf(9010)
    const volume = before.volumes.find((one) => /vm-9010-disk/.test(one)) ?? ''
    const foreign = before.volumes.find((one) => /vm-7000-disk/.test(one)) ?? ''
    expect([volume, foreign]).not.toContain('')
    const refused: (() => Promise<unknown>)[] = [
      () => token.put(`${node}/qemu/9010/config`, { memory: 128 }),
      () => token.put(`${node}/qemu/9010/config`, { net0: 'virtio,bridge=vmbr0' }),
      () => token.del(`${node}/qemu/9010`, { purge: 1 }),
      () => token.post(`${node}/qemu/9010/status/start`),
      () => token.put('/pools/test-depots', { vms: '9010', delete: 1 }),
      () => token.del(`${node}/storage/local-lvm/content/${encodeURIComponent(volume)}`),
      () => token.del(`${node}/storage/local-lvm/content/${encodeURIComponent(foreign)}`),
      () => token.get(`${node}/qemu/7000/config`),
      () => token.put(`${node}/qemu/7000/config`, { description: 'mine' }),
      () => token.post(`${node}/qemu/7000/status/start`),
      () => token.post(`${node}/qemu/7000/clone`, { newid: 9009, pool: 'test' }),
      () => token.post(`${node}/qemu/7000/move_disk`, { disk: 'scsi0', 'target-vmid': 9010, 'target-disk': 'unused0' }),
      () => token.del(`${node}/qemu/7000`),
      () => token.post('/access/users', { userid: 'me@pve' }),
      () => token.put('/access/acl', { path: '/', roles: 'Administrator', tokens: site.site.proxmox.tokenId }),
    ]
    try {
      for (const call of refused) await expect(call(), String(call)).rejects.toMatchObject({ status: 403 })
    } finally {
      token.close()
    }
    expect(await place.inventory()).toEqual(before)
    expect(await configOf(9010)).toEqual(depot)
  })

  it('brings everything back with the data of before', async () => {
    expect(await site.done<Deployed>('deploy')).toMatchObject({ changed: true, groups: [{ outcome: 'deployed' }, { outcome: 'deployed' }] })
    expect((await site.done<SiteStatus>('status')).healthy).toBe(true)
    expect(await inGuest(9011, 'cat /srv/golden/projects/playground/note')).toBe('from-before\n')
    expect((await place.inventory()).volumes.filter((volume) => /vm-90[12]0-disk/.test(volume))).toEqual([])
  })

  it("deletes data only by the verb for it, after its group's name", async () => {
    await site.done('destroy', '--yes')
    const before = await place.inventory()
    expect(await site.golden('delete-data', 'logging', '--confirm', 'serena')).toMatchObject({ code: 1, error: { code: 'not-confirmed' } })
    expect(await place.inventory()).toEqual(before)
    await site.done('delete-data', 'logging', '--confirm', 'logging')
    const after = await place.inventory()
    expect(after).toEqual({ ...before, volumes: before.volumes.filter((volume) => !volume.includes('vm-9020-disk')) })
    expect(after.volumes).not.toEqual(before.volumes)
  })

  it('neither deploys nor bakes again what is revoked with its base', async () => {
    const [base] = (await site.done<ImageList>('images')).bases
    const { templates } = await site.done<{ templates: unknown[] }>('revoke', String(base?.vmid), '--reason', 'a key in it is known')
    expect(templates).toMatchObject([
      { vmid: base?.vmid, kind: 'base', outcome: 'revoked' },
      { vmid: image.vmid, kind: 'image', outcome: 'revoked' },
    ])
    const refused = { code: 1, error: { message: expect.stringContaining('a key in it is known') } }
    expect(await site.golden('deploy')).toMatchObject({
      code: 1,
      error: { code: 'no-image', message: expect.stringContaining('1 revoked') },
    })
    expect(await site.golden('bake')).toMatchObject({ ...refused, error: { ...refused.error, code: 'image-revoked' } })
    expect(await site.golden('promote', image.name, '--channel', 'candidate')).toMatchObject(refused)
  })

  it('has asked guests nothing that is not in the recording, and told nobody a secret of it', async () => {
    expect(place.recorded.length).toBeGreaterThan(100)
    expect(unrecorded(place.recorded), '"npm run record" makes it anew').toEqual([])
    // The password of a verification's own user.
    expect(place.recorded.filter((each) => each.by === 'exec' && each.argv[1] === 'work').map(({ argv }: any) => argv.slice(1))).toEqual([
      ['work', 'golden-check', '…', 'golden-check'],
    ])
    const secrets = [...(await secretsOf(site.folder)), place.lab.connection.admin.password]
    const told = join(place.computer.folder, 'told')
    await writeFile(told, JSON.stringify(place.recorded))
    expect(await filesWith([told], secrets)).toEqual([])
    await writeFile(told, JSON.stringify([...place.recorded, secrets[0]]))
    expect(await filesWith([told], secrets)).toEqual([told])
    await rm(told)
  })

  it('leaves the host as it was before, once somebody wants that', async () => {
    const needed = await site.golden('setup', '--remove', '--yes', '--admin', 'admin@pve')
    expect(needed, needed.stderr).toMatchObject({ code: 1, error: { code: 'setup-in-use' } })
    expect(needed.errors.map(({ hint }) => hint)).toEqual([
      expect.stringContaining('golden delete-data serena'),
      expect.stringContaining('golden prune --all'),
    ])
    expect(await site.done('delete-data', 'serena', '--confirm', 'serena')).toMatchObject({
      next: expect.arrayContaining(['npx golden prune --all']),
    })
    expect(await site.done('prune', '--all', '--yes')).toMatchObject({ left: [], next: ['npx golden setup --remove'] })
    await site.done('setup', '--remove', '--yes', '--admin', 'admin@pve')
    // But for the VM of somebody else.
    expect(await place.inventory()).toMatchObject({ vms: [{ vmid: 7000 }], temporary: [], processes: [] })
    expect((await place.root.get<{ poolid: string }[]>('/pools')).map(({ poolid }) => poolid)).toEqual([])
    expect((await place.root.get<{ userid: string }[]>('/access/users')).map(({ userid }) => userid).sort()).toEqual([
      'admin@pve',
      'root@pam',
    ])
  })
})

const configOf = (vmid: number): Promise<Record<string, unknown>> => place.root.get(`/nodes/pve/qemu/${vmid}/config`)

/** What a shell in a guest prints. */
async function inGuest(vmid: number, command: string): Promise<string> {
  const { exitCode, stdout, stderr } = await place.root.agentExec('pve', vmid, ['/bin/sh', '-c', command])
  if (exitCode !== 0) throw new Error(`VM ${vmid}: "${command}" ended with ${exitCode}: ${stderr}`)
  return stdout
}

/** Every secret of a site folder, by its whole text; of keys the longest line. */
async function secretsOf(folder: string): Promise<string[]> {
  const entries = await readdir(join(folder, 'secrets'), { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile() && !/\.(pem|pub|gitignore)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
  return texts.map((text) => text.split('\n').reduce((longest, line) => (line.length > longest.length ? line : longest), ''))
}

/** Files, in these files and folders, that hold any of the texts, in any form. */
async function filesWith(paths: readonly string[], texts: readonly string[]): Promise<string[]> {
  const hits = await Promise.all(
    paths.map(async (path) => ((await stat(path)).isDirectory() ? searchFolder(path, texts) : searchFiles([path], texts))),
  )
  return [...new Set(hits.flat().map((hit) => hit.slice(0, hit.lastIndexOf(': '))))]
}

/** What the lab's API presents. */
async function serverCertificate(): Promise<string> {
  return await readFile(join(place.lab.connection.caFile, '../server.pem'), 'utf8')
}
