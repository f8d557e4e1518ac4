/** Deploy, look, destroy with the real engine and provider, in a lab whose guests know only slotctl. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { appendFile, cp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { claimSite } from '../../rollout/claim.ts'
import { deleteData } from '../../rollout/delete-data.ts'
import { deploy } from '../../rollout/deploy.ts'
import { destroy } from '../../rollout/destroy.ts'
import { openEngine, type Engine } from '../../rollout/engine.ts'
import { diskPlace, observeGroup, placesOf } from '../../rollout/observe.ts'
import { deploymentFile, readPins, updatePins } from '../../rollout/pins.ts'
import { readStatus } from '../../rollout/status.ts'
import { toolEnvironment } from '../../tools/index.ts'
import { cliConfiguration } from '../../tools/environment.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'

const project = join(import.meta.dirname, '../..')

describe('a site with a VM for each role', () => {
  let t: RolloutLab
  /** What the engine was going to do at the first deployment. */
  const plans: string[] = []
  beforeAll(async () => {
    t = await startRolloutLab(await toolEnvironment())
  })
  afterAll(() => t?.close())

  const isos = async (): Promise<string[]> => {
    const { node, storage } = t.site.proxmox
    return (await t.proxmox.get<{ volid: string }[]>(`/nodes/${node}/storage/${storage.iso}/content`, { content: 'iso' })).map((one) => one.volid)
  }
  const configOf = (vmid: number): Promise<Record<string, unknown>> => t.root.get(`/nodes/pve/qemu/${vmid}/config`)
  const place = async (group: string) => diskPlace(await observeGroup(t.proxmox, placesOf(t.site, group, undefined)))
  const vmids = async (): Promise<number[]> => (await t.root.get<{ vmid: number }[]>('/cluster/resources', { type: 'vm' })).map((one) => one.vmid).sort()
  const secrets = (): string[] => {
    const folder = join(t.folder, 'secrets')
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/\.pem$|\.pub$/.test(entry.name)).map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8').trim().split('\n')[Number(entry.name.endsWith('.key'))] ?? '')
  }
  /** Everything that a deployment leaves on this computer outside of secrets/. */
  const leftBehind = async (): Promise<string> => {
    const files = (await readdir(t.folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile() && !entry.parentPath.includes('/secrets') && !entry.parentPath.includes('.terraform'))
    return (await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name), 'latin1')))).join('\n')
  }

  test('without an image it says to bake, and makes nothing', async () => {
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'no-image', hint: expect.stringContaining('golden bake') })
    expect(await readPins(t.folder)).toEqual({ schema: 1, groups: {} })
  })

  test('a VMID of somebody else\'s VM is named and not touched', async () => {
    await t.addImage(9001)
    await t.root.task(await t.root.post<string>('/nodes/pve/qemu', { vmid: 9011, name: 'somebody', memory: 64 }))
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'vmid-taken', message: expect.stringContaining('9011') })
    expect(await configOf(9011)).toMatchObject({ name: 'somebody' })
    await t.root.task(await t.root.del<string>('/nodes/pve/qemu/9011'))
  })

  test('the first deployment: logging first, new disks formatted, everything healthy', async () => {
    const { progress, environment } = t.options()
    // Between plan and apply, while the plan is there: as text, for a plan is compressed.
    const readPlan = (stack: string): string => execFileSync('tofu', ['show', '-json', 'golden.tfplan'], { cwd: join(t.folder, 'state/cdktf.out/stacks', stack), env: { ...process.env, ...environment }, encoding: 'utf8' })
    const reading = { ...progress, step: <T>(title: string, work: (note: (text: string) => void) => Promise<T>): Promise<T> => progress.step(title, (note) => work((text) => {
      note(text)
      if (/^\d+ changes$/.test(text)) plans.push(readPlan(title.replace('deploy ', '')))
    })) }
    expect(await deploy(t.options({ progress: reading }))).toMatchObject([{ group: 'logging', outcome: 'deployed', slot: 'blue' }, { group: 'serena', outcome: 'deployed', slot: 'blue' }])
    expect(t.world.calls).toEqual(['home-logging-blue format', 'home-logging-blue activate', 'home-serena-blue format', 'home-serena-blue activate'])
    const status = await readStatus(t.options())
    expect(status).toMatchObject({ healthy: true, groups: { serena: { activeSlot: 'blue', health: 'healthy', urls: { sse: expect.stringMatching(/^https:\/\/localhost:\d+\/sse$/) } }, logging: { health: 'healthy' } } })
    const config = await configOf(9011)
    expect(config).toMatchObject({ name: 'home-serena-blue', protection: 1, onboot: 1, scsi1: expect.stringContaining('serial=golden-data'), net0: expect.stringMatching(/BC:24:11:00:23:33.*firewall=1/) })
    const rules = await t.root.get<{ type: string; dport: string; dest?: string }[]>('/nodes/pve/qemu/9011/firewall/rules')
    expect(rules.map((rule) => `${rule.type} ${rule.dport}`).sort()).toEqual(['in 22', 'in 443', 'in 80,443', 'out 123', 'out 443', 'out 53', 'out 53', 'out 8443'])
    expect(await t.root.get('/nodes/pve/qemu/9011/firewall/options')).toMatchObject({ enable: 1, policy_in: 'DROP', policy_out: 'DROP' })
    expect((await isos()).length).toBe(2)
    expect((await readPins(t.folder)).groups['serena']).toMatchObject({ dataDisk: 'made', active: 'blue' })
  })

  test('no secret is in pins, plans, state, stacks or what was shown', async () => {
    const all = `${await leftBehind()}\n${plans.join('\n')}\n${t.shown.join('\n')}`
    expect(all).toContain('home-serena-blue')
    expect(plans).toEqual([expect.stringContaining('home-logging-blue'), expect.stringContaining('home-serena-blue')])
    const known = [...secrets(), t.options().token.secret]
    expect(known.length).toBeGreaterThan(8)
    for (const secret of known) {
      expect(secret.length).toBeGreaterThan(10)
      expect(all).not.toContain(secret)
    }
  })

  test('a second deployment, and one after an edit of the site, change nothing', async () => {
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged', siteDiffers: false }, { outcome: 'unchanged', siteDiffers: false }])
    const site = structuredClone(t.site)
    site.groups['serena']!.memoryMiB += 512
    site.network.outgoing.push({ to: '140.82.112.0/20', port: 443, protocol: 'tcp' })
    await writeSite(t, site)
    expect(await deploy(t.options({ site }))).toMatchObject([{ outcome: 'unchanged' }, { outcome: 'unchanged', siteDiffers: true }])
    await writeSite(t, t.site)
    expect(await planFiles(t)).toEqual([])
  })

  test('an edit of what is pinned for a running slot is refused by the plan', async () => {
    const file = deploymentFile(t.folder)
    const before = await readFile(file, 'utf8')
    const edited = JSON.parse(before)
    edited.groups.serena.slots.blue.vm.memoryMiB += 1024
    await writeFile(file, JSON.stringify(edited))
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'plan-refused', message: expect.stringContaining('A running slot is never edited') })
    await writeFile(file, before)
    expect((await readStatus(t.options())).healthy).toBe(true)
  })

  test('another build of the provider is as good', async () => {
    const { environment } = t.options()
    const { config, remove } = await otherProvider(t, environment['TF_CLI_CONFIG_FILE'] ?? '')
    expect(await deploy(t.options({ environment: { ...environment, TF_CLI_CONFIG_FILE: config } }))).toMatchObject([{ outcome: 'unchanged' }, { outcome: 'unchanged' }])
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged' }, { outcome: 'unchanged' }])
    await remove()
  })

  test('a destroy whose engine can\'t begin has stopped nothing', async () => {
    const { environment } = t.options()
    const before = t.world.calls.length
    await expect(destroy(t.options({ environment: { ...environment, TF_CLI_CONFIG_FILE: '/nonexistent' } }))).rejects.toMatchObject({ code: 'engine-init-failed' })
    expect(t.world.calls.slice(before)).toEqual([])
    expect((await readStatus(t.options())).healthy).toBe(true)
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged' }, { outcome: 'unchanged' }])
  })

  test('a revoked image is not deployed', async () => {
    const { tags } = await configOf(9001)
    await t.root.put('/nodes/pve/qemu/9001/config', { tags: `${tags};golden-revoked` })
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'image-revoked' })
    await t.root.put('/nodes/pve/qemu/9001/config', { tags: String(tags) })
  })

  test('data can\'t be deleted while it is in use, nor a depot unprotected with the token', async () => {
    await expect(deleteData(t.options(), 'serena')).rejects.toMatchObject({ code: 'data-in-use' })
    await expect(t.proxmox.put('/nodes/pve/qemu/9010/config', { protection: 0 })).rejects.toMatchObject({ status: 403 })
  })

  test('destroy takes the VMs, seeds and pins away and keeps the data in the depots', async () => {
    const before = t.world.calls.length
    expect(await destroy(t.options())).toMatchObject([{ group: 'serena', outcome: 'destroyed', data: { depot: 9010 } }, { group: 'logging', outcome: 'destroyed', data: { depot: 9020 } }])
    expect(t.world.calls.slice(before)).toEqual(['home-serena-blue drain', 'home-serena-blue yield', 'home-logging-blue drain', 'home-logging-blue yield'])
    expect(await vmids()).toEqual([9001, 9010, 9020])
    expect(await place('serena')).toMatchObject({ at: 'depot', disk: { key: 'scsi1' } })
    expect(await isos()).toEqual([])
    expect((await readPins(t.folder)).groups['serena']).toEqual({ dataDisk: 'made', depot: 9010, slots: {} })
    expect(t.shown.some((line) => /kept in depot 9010/.test(line))).toBe(true)
    expect(await destroy(t.options())).toMatchObject([{ outcome: 'absent' }, { outcome: 'absent' }])
  })

  test('deployed again, the same disks come back, without a format', async () => {
    const before = t.world.calls.length
    await deploy(t.options())
    expect(t.world.calls.slice(before)).toEqual(['home-logging-blue activate', 'home-serena-blue activate'])
    expect([...t.world.disks.values()]).toEqual([
      { formattedBy: 'home-logging-blue', mountedBy: ['home-logging-blue', 'home-logging-blue'] }, { formattedBy: 'home-serena-blue', mountedBy: ['home-serena-blue', 'home-serena-blue'] }
    ])
  })

  test('a plain cdktn destroy hands the data back first', async () => {
    const outdir = join(t.folder, 'cdktf.out')
    const cdktn = async (...args: string[]): Promise<string> => run(join(project, 'node_modules/.bin/cdktn'), args, { ...t.options().environment, GOLDEN_SITE: t.folder, TERRAFORM_BINARY_NAME: join(project, 'scripts/golden-tofu'), CI: '1', CHECKPOINT_DISABLE: '1', CDKTF_LOG_LEVEL: 'error', PATH: `${join(project, 'node_modules/.bin')}:${t.options().environment['PATH']}` })
    const before = t.world.calls.length
    await cdktn('destroy', '*', '--auto-approve', '--output', outdir)
    expect(await vmids()).toEqual([9001, 9010, 9020])
    expect(await place('serena')).toMatchObject({ at: 'depot' })
    expect(t.world.calls.slice(before)).toEqual(['home-serena-blue drain', 'home-serena-blue yield', 'home-logging-blue drain', 'home-logging-blue yield'])
  }, 180_000)

  test('data is deleted on request, with a VM that is gone afterwards', async () => {
    await destroy(t.options())
    expect(await deleteData(t.options(), 'serena')).toContain('9010')
    expect(await place('serena')).toEqual({ at: 'nowhere' })
    expect(await vmids()).toEqual([9001, 9010, 9020])
    expect((await readPins(t.folder)).groups).not.toHaveProperty('serena')
    expect(await deleteData(t.options(), 'serena')).toBeUndefined()
  })
})

describe('interruptions, on a site with one VM', () => {
  let t: RolloutLab
  beforeAll(async () => {
    t = await startRolloutLab(await toolEnvironment(), 'one-vm')
    await t.addImage(9001)
  })
  afterAll(() => t?.close())

  /** Stops as soon as something is shown that looks like this. */
  const stopAt = async (pattern: RegExp, work: (options: ReturnType<RolloutLab['options']>) => Promise<unknown>): Promise<void> => {
    const abort = new AbortController()
    const { progress } = t.options()
    const watch = (text: string): void => { if (pattern.test(text)) abort.abort(new Error('stopped by the test')) }
    const watched = { ...progress, info: (text: string) => { watch(text); progress.info(text) }, step: <T>(title: string, run: (note: (text: string) => void) => Promise<T>): Promise<T> => { watch(title); return progress.step(title, (note) => run((text) => { watch(text); note(text) })) } }
    await expect(work(t.options({ progress: watched, signal: abort.signal }))).rejects.toThrow()
    expect(abort.signal.aborted).toBe(true)
  }

  /** What a deployment makes, the data disk aside. */
  const made = async (): Promise<unknown> => {
    const { node, storage } = t.site.proxmox
    const vms = (await t.root.get<{ vmid: number }[]>('/cluster/resources', { type: 'vm' })).map((one) => one.vmid).sort()
    return { vms, seeds: await t.proxmox.get(`/nodes/${node}/storage/${storage.iso}/content`, { content: 'iso' }), releases: (await readPins(t.folder)).groups['all']?.slots ?? {}, state: (await readdir(join(t.folder, 'state'))).filter((name) => name === 'deploy.json') }
  }
  const nothing = { vms: [9001, 9010], seeds: [], releases: {}, state: [] }
  const place = async () => diskPlace(await observeGroup(t.proxmox, placesOf(t.site, 'all', undefined)))
  const withEngine = <T>(work: (engine: Engine) => Promise<T>, change: Partial<ReturnType<RolloutLab['options']>> = {}): Promise<T> => claimSite(t.folder, 'test', (claim) => work(openEngine({ ...t.options(change), claim })))
  /** As an administrator may: the data goes home, the VM away. */
  const removeSlot = async (): Promise<void> => {
    await t.root.task(await t.root.post<string>('/nodes/pve/qemu/9011/status/stop'))
    await t.root.task(await t.root.post<string>('/nodes/pve/qemu/9011/move_disk', { disk: 'scsi1', 'target-vmid': 9010, 'target-disk': 'scsi1' }))
    await t.root.put('/nodes/pve/qemu/9011/config', { protection: 0 })
    await t.root.task(await t.root.del<string>('/nodes/pve/qemu/9011'))
  }

  test('stopped at whatever step, a first deployment is taken back; the next one succeeds', async () => {
    const steps = [/check the host/, /release [0-9a-f]+ of image/, /upload the seed/, /vm\.blue: Creating/, /firewall_rules\.blue_rules: Creating/, /blue_activation: Creating/, /activate slot blue/]
    // So that it is still at it when the last of these is seen.
    t.world.ill.set('home-all-blue', 'starting')
    for (const step of steps) {
      await stopAt(step, deploy)
      expect(await made(), String(step)).toEqual(nothing)
    }
    t.world.ill.clear()
    expect(await deploy(t.options())).toMatchObject([{ group: 'all', outcome: 'deployed' }])
    expect((await readStatus(t.options())).healthy).toBe(true)
    await destroy(t.options())
    expect(t.world.calls.filter((call) => call.endsWith('format')).length).toBe(1)
  })

  test.each([
    ['the clone', { task: { type: 'qmclone' }, reason: 'clone failed: write error: No space left on device' }],
    ['the seed', { task: { type: 'imgcopy' }, reason: 'error during copy: No space left on device' }]
  ])('a storage that is full for %s is named, and nothing is left behind', async (_what, fault) => {
    const id = t.lab.faults.order({ ...fault, times: 20 })
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'storage-full', hint: expect.stringContaining('Make room') })
    t.lab.faults.clear(id)
    expect(await made()).toEqual(nothing)
  })

  test('a storage that is full for the data disk is named, and nothing is left behind', async () => {
    await deleteData(t.options(), 'all')
    const id = t.lab.faults.order({ task: { type: 'qmconfig' }, reason: 'unable to create image: No space left on device', times: 1 })
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'storage-full', hint: expect.stringContaining('Make room') })
    t.lab.faults.clear(id)
    expect(await made()).toEqual(nothing)
    expect(existsSync(deploymentFile(t.folder))).toBe(false)
    expect(diskPlace(await observeGroup(t.proxmox, placesOf(t.site, 'all', undefined)))).toEqual({ at: 'nowhere' })
  })

  test('two at the same time: one deploys, the other is refused', async () => {
    const outcomes = await Promise.allSettled([deploy(t.options()), deploy(t.options())])
    expect(outcomes.map((one) => one.status === 'fulfilled' ? one.value[0]?.outcome : (one.reason as { code: string }).code).sort()).toEqual(['deploy-in-progress', 'deployed'])
    await destroy(t.options())
  })

  test('stopped while destroying, destroy goes on from there', async () => {
    await deploy(t.options())
    await stopAt(/shut the VM down/, destroy)
    await stopAt(/vm\.blue: Destroying/, destroy)
    expect(await destroy(t.options())).toMatchObject([{ data: { depot: 9010 } }])
    expect((await readPins(t.folder)).groups['all']).toEqual({ dataDisk: 'made', depot: 9010, slots: {} })
  })

  test('a destroy that was stopped after the data went home is taken back by deploy, and so is what somebody did by hand', async () => {
    await deploy(t.options())
    await stopAt(/^destroy home-all/, destroy)
    expect(await place()).toMatchObject({ at: 'depot' })
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
    expect(await readStatus(t.options())).toMatchObject({ healthy: true, groups: { all: { activeSlot: 'blue' } } })

    await t.proxmox.agentExec('pve', 9011, ['/usr/local/sbin/slotctl', 'yield'])
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
    expect((await readStatus(t.options())).healthy).toBe(true)

    await t.proxmox.agentExec('pve', 9011, ['/usr/local/sbin/slotctl', 'yield'])
    await t.root.put('/nodes/pve/qemu/9011/config', { protection: 0 })
    await t.root.put('/nodes/pve/qemu/9011/config', { delete: 'scsi1' })
    expect(await place()).toMatchObject({ at: 'blue', disk: { key: 'unused0' } })
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
    expect((await readStatus(t.options())).healthy).toBe(true)
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged' }])
  })

  test('a seed that nobody knows of any more goes with its VM', async () => {
    const { node, storage } = t.site.proxmox
    for (const name of ['seed-9011-0123456789ab.iso', 'seed-9012-0123456789ab.iso', 'seed-7000-0123456789ab.iso']) await t.proxmox.upload({ node, storage: storage.iso, content: 'iso', filename: name, data: Buffer.from('x') })
    await destroy(t.options())
    const left = (await t.proxmox.get<{ volid: string }[]>(`/nodes/${node}/storage/${storage.iso}/content`, { content: 'iso' })).map(({ volid }) => volid)
    expect(left).toEqual([`${storage.iso}:iso/seed-7000-0123456789ab.iso`])
    await t.proxmox.del(`/nodes/${node}/storage/${storage.iso}/content/${encodeURIComponent(left[0] ?? '')}`)
  })

  test('a slot whose VMID somebody else has got by now: that VM is left alone, the release ends, the data is kept', async () => {
    await deploy(t.options())
    await removeSlot()
    await t.root.task(await t.root.post<string>('/nodes/pve/qemu', { vmid: 9011, name: 'mail', memory: 64, pool: t.site.proxmox.pool, scsi1: `${t.site.proxmox.storage.disks}:1` }))
    const config = await t.root.get('/nodes/pve/qemu/9011/config')
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'vmid-taken', message: expect.stringContaining('mail'), hint: expect.stringContaining('golden destroy all') })
    expect((await readStatus(t.options())).groups['all']).toMatchObject({ health: 'absent', problems: [expect.stringContaining('mail')] })
    expect(await destroy(t.options())).toMatchObject([{ outcome: 'destroyed', dataDisk: 'kept', data: { depot: 9010 } }])
    expect(await t.root.get('/nodes/pve/qemu/9011/config')).toEqual(config)
    expect((await readPins(t.folder)).groups['all']).toEqual({ dataDisk: 'made', depot: 9010, slots: {} })
    expect(await made()).toMatchObject({ seeds: [] })
    await t.root.task(await t.root.del<string>('/nodes/pve/qemu/9011'))
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
  })

  test('a VM that was given another name and still has the data is not taken for somebody else\'s', async () => {
    await t.root.put('/nodes/pve/qemu/9011/config', { name: 'mine' })
    await expect(destroy(t.options())).rejects.toMatchObject({ code: 'vmid-taken', hint: expect.stringContaining('give it its name') })
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'vmid-taken' })
    expect((await readPins(t.folder)).groups['all']).toMatchObject({ active: 'blue' })
    await t.root.put('/nodes/pve/qemu/9011/config', { name: 'home-all-blue' })
    expect((await readStatus(t.options())).healthy).toBe(true)
  })

  test('a group that site.ts has lost is shown, and deploy refuses before it does anything', async () => {
    const site = structuredClone(t.site)
    site.groups = { other: { ...site.groups['all']!, depot: 9110, slots: { blue: { vmid: 9111, address: '10.77.0.122' }, green: { vmid: 9112, address: '10.77.0.123' } } } }
    const before = await made()
    await expect(deploy(t.options({ site }))).rejects.toMatchObject({ code: 'group-unknown', hint: expect.stringContaining('golden destroy all') })
    expect(await made()).toEqual(before)
    expect(await readStatus(t.options({ site }))).toMatchObject({ healthy: false, groups: { all: { activeSlot: 'blue', vm: { vmid: 9011, running: true }, problems: [expect.stringContaining('put it back')] } } })
  })

  test('a state that another computer has locked is not settled', async () => {
    const server = createServer((request, response) => {
      response.statusCode = request.method === 'LOCK' ? 423 : request.method === 'GET' ? 404 : 200
      response.end(request.method === 'LOCK' ? JSON.stringify({ ID: 'abc', Who: 'me@there', Operation: 'apply' }) : '')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/state`
    const site = { ...t.site, backend: { type: 'http' as const, config: { address, lock_address: address, unlock_address: address } } }
    await writeSite(t, site)
    await expect(withEngine(async (engine) => {
      await engine.synth()
      await engine.init('home-all')
      await engine.tryLock('home-all')
    }, { site })).rejects.toMatchObject({ code: 'state-locked', message: expect.stringContaining('me@there') })
    server.close()
    await writeSite(t, t.site)
    await withEngine(async (engine) => {
      await engine.synth()
      await engine.init('home-all')
      await engine.tryLock('home-all')
    })
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged' }])
    await destroy(t.options())
  })

  test('deleting data that was stopped goes on by the same verb, and every other one says so', async () => {
    await stopAt(/take the disk out of the depot/, (options) => deleteData(options, 'all'))
    for (const verb of [deploy, destroy]) await expect(verb(t.options())).rejects.toMatchObject({ code: 'delete-data-interrupted', hint: expect.stringContaining('golden delete-data all') })
    expect(await deleteData(t.options(), 'all')).toMatch(/vm-9011-disk/)
    expect(await made()).toEqual(nothing)
    expect(await destroy(t.options())).toMatchObject([{ outcome: 'absent', dataDisk: 'none' }])
  })

  test('data that is not where it was is called missing, not never there', async () => {
    await updatePins(t.folder, 'all', () => ({ dataDisk: 'made', slots: {} }))
    expect(await destroy(t.options())).toMatchObject([{ outcome: 'absent', dataDisk: 'missing' }])
    expect(t.shown.at(-1)).toMatch(/neither in depot 9010 nor in a slot/)
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'data-disk-missing' })
    await updatePins(t.folder, 'all', () => undefined)
  })

  test('stopped while the data disk is being made, it waits for that, and the next run knows that the disk is new', async () => {
    const abort = new AbortController()
    const fault = t.lab.faults.order({ task: { type: 'qmconfig', id: '9010' }, delayMs: 3000 })
    const stopped = expect(deploy(t.options({ signal: abort.signal }))).rejects.toThrow()
    await vi.waitUntil(() => t.lab.faults.list().find(({ id }) => id === fault)?.left === 0, { timeout: 60_000, interval: 50 })
    abort.abort(new Error('stopped by the test'))
    await stopped
    t.lab.faults.clear(fault)
    expect(await made()).toEqual(nothing)
    expect(await place()).toMatchObject({ at: 'depot' })
    expect((await readPins(t.folder)).groups['all']).toMatchObject({ dataDisk: 'new' })
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
    expect((await readStatus(t.options())).healthy).toBe(true)
    await destroy(t.options())
  }, 120_000)

  test('a plain destroy after an activation that failed hands the data back, too', async () => {
    for (const inode of t.world.disks.keys()) t.world.foreign.add(inode)
    const kept = new Map(t.world.disks)
    t.world.disks.clear()
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'data-disk-foreign' })
    expect(await place()).toMatchObject({ at: 'blue' })
    await withEngine((engine) => engine.destroy('home-all', () => {}))
    expect(await place()).toMatchObject({ at: 'depot' })
    expect(await made()).toMatchObject({ vms: [9001, 9010] })
    for (const [inode, disk] of kept) t.world.disks.set(inode, disk)
    t.world.foreign.clear()
    expect(await destroy(t.options())).toMatchObject([{ dataDisk: 'kept' }])
  })

  test('a guest that refuses is named, destroy cleans up after it, and the data is safe', async () => {
    for (const inode of t.world.disks.keys()) t.world.foreign.add(inode)
    const kept = new Map(t.world.disks)
    t.world.disks.clear()
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'data-disk-foreign', message: expect.stringContaining('not this project\'s file system') })
    expect(await destroy(t.options())).toMatchObject([{ data: { depot: 9010 } }])
    for (const [inode, disk] of kept) t.world.disks.set(inode, disk)
    t.world.foreign.clear()
  })

  test('a VM that vanished is made again, with its data', async () => {
    await deploy(t.options())
    await removeSlot()

    const { description } = await t.root.get<{ description: string }>('/nodes/pve/qemu/9001/config')
    await t.root.put('/nodes/pve/qemu/9001/config', { description: description.replace('0009001', '0009002') })
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'image-changed', message: expect.stringContaining('9001') })
    await t.root.put('/nodes/pve/qemu/9001/config', { description })
    expect(await planFiles(t)).toEqual([])

    expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
    expect((await readStatus(t.options())).healthy).toBe(true)
  })
})

/** Plans that lie about: they name every setting of a VM. */
const planFiles = async (t: RolloutLab): Promise<string[]> => (await readdir(t.folder, { recursive: true })).filter((name) => name.endsWith('.tfplan'))

/** The same program with another checksum, in a mirror of its own, as after a new build. */
async function otherProvider(t: RolloutLab, config: string): Promise<{ config: string; remove(): Promise<void> }> {
  const folder = join(t.folder, '..', 'other-provider')
  await cp(join(dirname(config), 'providers'), join(folder, 'providers'), { recursive: true })
  const files = await readdir(folder, { recursive: true, withFileTypes: true })
  for (const file of files) if (file.isFile()) await appendFile(join(file.parentPath, file.name), 'x')
  await writeFile(join(folder, 'cli.tfrc'), cliConfiguration(join(folder, 'providers')))
  return { config: join(folder, 'cli.tfrc'), remove: () => rm(folder, { recursive: true }) }
}

async function writeSite(t: RolloutLab, site: unknown): Promise<void> {
  await writeFile(join(t.folder, 'site.ts'), `export default ${JSON.stringify(site)}\n`)
}

async function run(program: string, args: readonly string[], env: Record<string, string>): Promise<string> {
  const child = spawn(program, args, { cwd: project, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => { output += String(data) })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${output}`)
  return output
}
