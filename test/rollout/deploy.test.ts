/** Deploy, look, destroy with the real engine and provider, in a lab whose guests know only slotctl. */
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { appendFile, cp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { diskStoragePrivileges, privilegeTable } from '../../proxmox/privileges.ts'
import { deleteData } from '../../rollout/delete-data.ts'
import { deploy } from '../../rollout/deploy.ts'
import { destroy } from '../../rollout/destroy.ts'
import { diskPlace, observeGroup, placesOf } from '../../rollout/observe.ts'
import { deploymentFile, readPins } from '../../releases/pins.ts'
import { readStatus } from '../../rollout/status.ts'
import { placeOf, type Site } from '../../settings/site.ts'
import { PINS, toolEnvironment } from '../../tools/index.ts'
import { cliConfiguration } from '../../tools/engine-environment.ts'
import { packageHash, renderLock } from '../../tools/provider-lock.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'
import { planFiles, writeSite } from './one-vm.ts'

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
    return (await t.proxmox.get<{ volid: string }[]>(`/nodes/${node}/storage/${storage.iso}/content`, { content: 'iso' })).map(
      (one) => one.volid,
    )
  }
  const configOf = (vmid: number): Promise<Record<string, unknown>> => t.root.get(`/nodes/pve/qemu/${vmid}/config`)
  const place = async (group: string) => diskPlace(await observeGroup(t.proxmox, placesOf(t.site, group, undefined)))
  const vmids = async (): Promise<number[]> =>
    (await t.root.get<{ vmid: number }[]>('/cluster/resources', { type: 'vm' })).map((one) => one.vmid).sort()
  const secrets = (): string[] => {
    const folder = join(t.folder, 'secrets')
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/\.pem$|\.pub$/.test(entry.name))
      .map(
        (entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8').trim().split('\n')[Number(entry.name.endsWith('.key'))] ?? '',
      )
  }
  /** Everything that a deployment leaves on this computer outside of secrets/. */
  const leftBehind = async (): Promise<string> => {
    const files = (await readdir(t.folder, { recursive: true, withFileTypes: true })).filter(
      (entry) => entry.isFile() && !entry.parentPath.includes('/secrets') && !entry.parentPath.includes('.terraform'),
    )
    return (await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name), 'latin1')))).join('\n')
  }

  it('without an image it says to bake, and makes nothing', async () => {
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'no-image', hint: expect.stringContaining('golden bake') })
    expect(await readPins(t.folder)).toEqual({ schema: 1, groups: {} })
  })

  it('an image that would misread the seed gets none', async () => {
    await t.addImage(9002, undefined, 1)
    await expect(deploy(t.options())).rejects.toMatchObject({
      code: 'image-of-other-version',
      hint: expect.stringContaining('golden bake'),
    })
    expect(await readPins(t.folder)).toEqual({ schema: 1, groups: {} })
    await t.root.task(await t.root.del<string>('/nodes/pve/qemu/9002'))
  })

  it("a VMID of somebody else's VM is named and not touched", async () => {
    await t.addImage(9001)
    await t.root.task(await t.root.post<string>('/nodes/pve/qemu', { vmid: 9011, name: 'somebody', memory: 64 }))
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'vmid-taken', message: expect.stringContaining('9011') })
    expect(await configOf(9011)).toMatchObject({ name: 'somebody' })
    await t.root.task(await t.root.del<string>('/nodes/pve/qemu/9011'))
  })

  // On LVM-thin, where volumes' names have no ending, the provider looks at each of them; on a directory it does not.
  it("without Datastore.Audit where disks live the provider can't read the VM that it has made; with it everything can be taken back", async () => {
    const { role: name } = privilegeTable({ ...placeOf(t.site), pool: t.site.proxmox.pool, depotPool: t.site.proxmox.depotPool }).find(
      ({ role }) => role.startsWith('GoldenDisks'),
    ) ?? { role: '' }
    const role = (privs: string): Promise<unknown> => t.root.put(`/access/roles/${name}`, { privs })
    const before = await vmids()
    await role('Datastore.AllocateSpace')
    // Whether an image's disk is the one that was signed can't be told either.
    await expect(deploy(t.options())).rejects.toMatchObject({
      code: 'permission-denied',
      message: expect.stringContaining('Datastore.Audit'),
    })
    expect((await readPins(t.folder)).groups).toEqual({})
    const unsigned: Site = { ...t.site, image: { ...t.site.image, signed: false } }
    await expect(deploy(t.options({ site: unsigned }))).rejects.toMatchObject({ message: expect.stringContaining('Datastore.Audit') })
    expect(t.world.calls).toEqual([])
    await role(diskStoragePrivileges.join(','))
    await destroy(t.options())
    expect(await vmids()).toEqual(before)
    expect((await readPins(t.folder)).groups.logging?.active).toBeUndefined()
  })

  it('the first deployment: logging first, new disks formatted, everything healthy', async () => {
    const { progress, environment } = t.options()
    // Between plan and apply, while the plan is there: as text, for a plan is compressed.
    const readPlan = (stack: string): string =>
      execFileSync('tofu', ['show', '-json', 'golden.tfplan'], {
        cwd: join(t.folder, 'state/cdktf.out/stacks', stack),
        env: { ...process.env, ...environment },
        encoding: 'utf8',
      })
    const reading = {
      ...progress,
      step: <T>(title: string, work: (note: (text: string) => void) => Promise<T>): Promise<T> =>
        progress.step(title, (note) =>
          work((text) => {
            note(text)
            if (/^\d+ changes$/.test(text)) plans.push(readPlan(title.replace('deploy ', '')))
          }),
        ),
    }
    expect(await deploy(t.options({ progress: reading }))).toMatchObject([
      { group: 'logging', outcome: 'deployed', slot: 'blue' },
      { group: 'serena', outcome: 'deployed', slot: 'blue' },
    ])
    expect(t.world.calls).toEqual([
      'home-logging-blue format',
      'home-logging-blue activate',
      'home-serena-blue format',
      'home-serena-blue activate',
    ])
    const status = await readStatus(t.options())
    expect(status).toMatchObject({
      healthy: true,
      groups: {
        serena: { activeSlot: 'blue', health: 'healthy', urls: { sse: expect.stringMatching(/^https:\/\/localhost:\d+\/sse$/) } },
        logging: { health: 'healthy' },
      },
    })
    const config = await configOf(9011)
    expect(config).toMatchObject({
      name: 'home-serena-blue',
      protection: 1,
      onboot: 1,
      scsi1: expect.stringContaining('serial=golden-data'),
      net0: expect.stringMatching(/BC:24:11:.*firewall=1/),
    })
    const rules = await t.root.get<{ type: string; dport: string; dest?: string }[]>('/nodes/pve/qemu/9011/firewall/rules')
    expect(rules.map((rule) => `${rule.type} ${rule.dport}`).sort()).toEqual([
      'in 22',
      'in 443',
      'in 80,443',
      'out 443',
      'out 53',
      'out 53',
      // What belongs to connections that the other slot still has (releases/flows.ts).
      'out 80,443',
      'out 8443',
    ])
    expect(await t.root.get('/nodes/pve/qemu/9011/firewall/options')).toMatchObject({ enable: 1, policy_in: 'DROP', policy_out: 'DROP' })
    expect((await isos()).length).toBe(2)
    expect((await readPins(t.folder)).groups.serena).toMatchObject({ dataDisk: 'made', active: 'blue' })
  })

  it('no secret is in pins, plans, state, stacks or what was shown', async () => {
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

  it('a second deployment, and one after an edit of the site, change nothing', async () => {
    expect(await deploy(t.options())).toMatchObject([
      { outcome: 'unchanged', siteDiffers: false },
      { outcome: 'unchanged', siteDiffers: false },
    ])
    const site = structuredClone(t.site)
    site.groups.serena!.memoryMiB += 512
    site.network.outgoing.push({ to: '140.82.112.0/20', port: 443, protocol: 'tcp' })
    await writeSite(t, site)
    expect(await deploy(t.options({ site }))).toMatchObject([{ outcome: 'unchanged' }, { outcome: 'unchanged', siteDiffers: true }])
    await writeSite(t, t.site)
    expect(await planFiles(t)).toEqual([])
  })

  it('an edit of what is pinned for a running slot is refused by the plan', async () => {
    const file = deploymentFile(t.folder)
    const before = await readFile(file, 'utf8')
    const edited = JSON.parse(before)
    edited.groups.serena.slots.blue.vm.memoryMiB += 1024
    await writeFile(file, JSON.stringify(edited))
    await expect(deploy(t.options())).rejects.toMatchObject({
      code: 'plan-refused',
      message: expect.stringContaining('A running slot is never edited'),
    })
    await writeFile(file, before)
    expect((await readStatus(t.options())).healthy).toBe(true)
  })

  it('another build of the provider is as good', async () => {
    const { environment } = t.options()
    const { changed, remove } = await otherProvider(t, environment.GOLDEN_PROVIDER_LOCK ?? '')
    expect(await deploy(t.options({ environment: { ...environment, ...changed } }))).toMatchObject([
      { outcome: 'unchanged' },
      { outcome: 'unchanged' },
    ])
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged' }, { outcome: 'unchanged' }])
    await remove()
  })

  it('a provider that is not the one of the lock is refused, before anything is planned', async () => {
    const { environment } = t.options()
    const { changed, remove } = await otherProvider(t, environment.GOLDEN_PROVIDER_LOCK ?? '')
    const { TF_CLI_CONFIG_FILE } = changed
    const stacks = join(t.folder, 'state', 'cdktf.out', 'stacks')
    // Where it was installed before, nobody looks for it.
    for (const stack of await readdir(stacks)) await rm(join(stacks, stack, '.terraform'), { recursive: true })
    await expect(deploy(t.options({ environment: { ...environment, TF_CLI_CONFIG_FILE } }))).rejects.toMatchObject({
      code: 'engine-init-failed',
      message: expect.stringMatching(/checksums/),
    })
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged' }, { outcome: 'unchanged' }])
    await remove()
  })

  it("a destroy whose engine can't begin has stopped nothing", async () => {
    const { environment } = t.options()
    const before = t.world.calls.length
    await expect(destroy(t.options({ environment: { ...environment, TF_CLI_CONFIG_FILE: '/nonexistent' } }))).rejects.toMatchObject({
      code: 'engine-init-failed',
    })
    expect(t.world.calls.slice(before)).toEqual([])
    expect((await readStatus(t.options())).healthy).toBe(true)
    expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged' }, { outcome: 'unchanged' }])
  })

  it('a revoked image is not deployed', async () => {
    const { tags } = await configOf(9001)
    await t.root.put('/nodes/pve/qemu/9001/config', { tags: `${tags};golden-revoked` })
    await expect(deploy(t.options())).rejects.toMatchObject({ code: 'image-revoked' })
    await t.root.put('/nodes/pve/qemu/9001/config', { tags: String(tags) })
  })

  it("data can't be deleted while it is in use, nor a depot destroyed with the token", async () => {
    await expect(deleteData(t.options(), 'serena')).rejects.toMatchObject({ code: 'data-in-use' })
    await expect(t.proxmox.del('/nodes/pve/qemu/9010')).rejects.toMatchObject({ status: 403 })
  })

  it('destroy takes the VMs, seeds and pins away and keeps the data in the depots', async () => {
    const before = t.world.calls.length
    expect(await destroy(t.options())).toMatchObject([
      { group: 'serena', outcome: 'destroyed', data: { depot: 9010 } },
      { group: 'logging', outcome: 'destroyed', data: { depot: 9020 } },
    ])
    expect(t.world.calls.slice(before)).toEqual([
      'home-serena-blue drain',
      'home-serena-blue yield',
      'home-logging-blue drain',
      'home-logging-blue yield',
    ])
    expect(await vmids()).toEqual([9001, 9010, 9020])
    expect(await place('serena')).toMatchObject({ at: 'depot', disk: { key: 'scsi1' } })
    expect(await isos()).toEqual([])
    expect((await readPins(t.folder)).groups.serena).toEqual({ dataDisk: 'made', depot: 9010, slots: {} })
    expect(t.shown.some((line) => /kept in depot 9010/.test(line))).toBe(true)
    expect(await destroy(t.options())).toMatchObject([{ outcome: 'absent' }, { outcome: 'absent' }])
  })

  it('deployed again, the same disks come back, without a format', async () => {
    const before = t.world.calls.length
    await deploy(t.options())
    expect(t.world.calls.slice(before)).toEqual(['home-logging-blue activate', 'home-serena-blue activate'])
    expect([...t.world.disks.values()]).toEqual([
      { formattedBy: 'home-logging-blue', mountedBy: ['home-logging-blue', 'home-logging-blue'] },
      { formattedBy: 'home-serena-blue', mountedBy: ['home-serena-blue', 'home-serena-blue'] },
    ])
  })

  it('a plain cdktn destroy hands the data back first', async () => {
    const outdir = join(t.folder, 'cdktf.out')
    const cdktn = async (...args: string[]): Promise<string> =>
      run(join(project, 'node_modules/.bin/cdktn'), args, {
        ...t.options().environment,
        GOLDEN_SITE: t.folder,
        TMPDIR: t.folder,
        TERRAFORM_BINARY_NAME: join(project, 'scripts/golden-tofu'),
        CI: '1',
        CHECKPOINT_DISABLE: '1',
        CDKTF_LOG_LEVEL: 'error',
        PATH: `${join(project, 'node_modules/.bin')}:${t.options().environment.PATH}`,
      })
    const before = t.world.calls.length
    await cdktn('destroy', '*', '--auto-approve', '--output', outdir)
    expect(await vmids()).toEqual([9001, 9010, 9020])
    expect(await place('serena')).toMatchObject({ at: 'depot' })
    expect(t.world.calls.slice(before)).toEqual([
      'home-serena-blue drain',
      'home-serena-blue yield',
      'home-logging-blue drain',
      'home-logging-blue yield',
    ])
  })

  it('data is deleted on request, with a VM that is gone afterwards', async () => {
    await destroy(t.options())
    expect(await deleteData(t.options(), 'serena')).toContain('9010')
    expect(await place('serena')).toEqual({ at: 'nowhere' })
    expect(await vmids()).toEqual([9001, 9010, 9020])
    expect((await readPins(t.folder)).groups).not.toHaveProperty('serena')
    expect(await deleteData(t.options(), 'serena')).toBeUndefined()
  })
})

/** The same program with another checksum, in a mirror of its own and with a lock of its own, as after a new build. */
async function otherProvider(t: RolloutLab, lock: string) {
  const folder = join(t.folder, '..', 'other-provider')
  await cp(join(dirname(lock), 'providers'), join(folder, 'providers'), { recursive: true })
  const files = await readdir(folder, { recursive: true, withFileTypes: true })
  const [program] = files.filter((file) => file.isFile())
  if (program === undefined) throw new Error('there is no provider')
  await appendFile(join(program.parentPath, program.name), 'x')
  const address = 'registry.opentofu.org/bpg/proxmox'
  const hashes = [await packageHash(program.parentPath)]
  await writeFile(join(folder, 'lock.hcl'), renderLock(address, { version: PINS['terraform-provider-proxmox'].version, hashes }))
  await writeFile(join(folder, 'cli.tfrc'), cliConfiguration(join(folder, 'providers'), address))
  const changed = { TF_CLI_CONFIG_FILE: join(folder, 'cli.tfrc'), GOLDEN_PROVIDER_LOCK: join(folder, 'lock.hcl') }
  return { changed, remove: () => rm(folder, { recursive: true }) }
}

async function run(program: string, args: readonly string[], env: Record<string, string>): Promise<string> {
  const child = spawn(program, args, { cwd: project, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      output += String(data)
    })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${output}`)
  return output
}
