/** The demo's story, in order: what a user would type, and what must hold after it. */
import { randomBytes } from 'node:crypto'
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { routerPorts } from '../lab/compute/driver.ts'
import { connect, type Proxmox } from '../proxmox/client.ts'
import type { Progress } from '../core/progress.ts'
import { allowedSigners } from '../images/signature.ts'
import { initSecrets } from '../scripts/init.ts'
import { labSite, writeLabSite } from './lab-site.ts'
import { loadSite } from '../settings/load.ts'
import { groupWithRole, type Site } from '../settings/site.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import { duration } from '../scripts/render.ts'
import { checkAccess, findMark, leaveMark, type OutsideAccess } from './access.ts'
import { checkAsked, checkTranscript } from './compare.ts'
import { eventually, expectEqual, expectThat, type Checks } from './checks.ts'
import { control } from './control.ts'
import { editSite } from './edit-site.ts'
import { checkCertificates } from './certificates.ts'
import { checkFirewalls } from './firewall.ts'
import { at, type Golden } from './golden.ts'
import { checkLogs } from './logs.ts'
import { checkNight } from './night.ts'
import { runVerb } from './program.ts'
import { sceneOf } from './scene.ts'
import { imageKey, isKept, keepImage, takeImage } from './kept-image.ts'
import { checkProjects } from './projects.ts'
import { checkRollouts, preparedForRollouts } from './rollouts.ts'
import { checkSecrets, checkTemplate } from './secrets.ts'
import { checkTwice } from './twice.ts'
import { checkSurvival, slotctl, type Guest } from './survive.ts'

export interface DemoWorld {
  /** The lab's connection.json. */
  readonly connection: any
  /** The lab's root, for what no user of the project may do. */
  readonly administrator: Proxmox
  /** The demo's own folder. */
  readonly folder: string
  readonly checks: Checks
  /** How long it may still take, in milliseconds. */
  leftMs(): number
  /** Bake, whatever is kept of an earlier demo. */
  readonly fresh: boolean
  /** Of all checks only those of rollouts; or instead of them all a whole night, or two bakes of one lock. With what they need. */
  readonly only: 'rollouts' | 'night' | 'twice' | undefined
  /** Whether somebody wants to use it at the end. */
  readonly keep: boolean
  /** Shows what the guests look like now. */
  look(): Promise<void>
  readonly progress: Progress
  readonly signal: AbortSignal
  readonly env: NodeJS.ProcessEnv
}

/** What is there at the end, for people. */
export interface DemoResult {
  /** The site folder. */
  readonly site: string
  readonly urls: readonly string[]
  readonly user: string
  readonly passwordFile: string
  readonly caFile: string
}

/** @returns undefined: nothing runs at the end that somebody could use */
export async function runDemo(world: DemoWorld): Promise<DemoResult | undefined> {
  const result = await story(world)
  // What is new could be added to the recording only where the lab's file stays.
  if (world.keep) await checkAsked(world.checks, join(world.folder, 'lab'))
  return result
}

async function story(world: DemoWorld): Promise<DemoResult | undefined> {
  const { connection, checks } = world
  const folder: string = connection.site
  const golden = at(folder, world)
  const site = await loadSite(folder)
  const proxmox = await opened(connection.apiUrl, connection.caFile, connection.token)
  try {
    await checks.must('golden setup: the host was prepared by it, a second run has nothing to do', async () => {
      expectEqual('steps of the second run', (await golden.asAdministrator('setup')).steps, [])
    })
    await takeOrBake(world, site, golden)
    if (world.only === 'night') return await aNight(world, site, proxmox)
    if (world.only === 'twice') {
      const { administrator, folder: scratch, signal } = world
      await checkTwice({ checks, site, administrator, golden, scratch, signal })
      return undefined
    }
    await checks.check('golden bake again: nothing to do', async () => {
      expectEqual('outcome', (await golden('bake')).outcome, 'unchanged')
    })
    await checkTemplate(checks, { site, folder, proxmox, scratch: world.folder, signal: world.signal })
    // From here on the VMs have no way to the internet, and the image registry is of no use to them.
    await control(connection.controlSocket).internet(false)
    // Not side by side: two emulated guests are hardly sooner ready than one after the other.
    const began = performance.now()
    const { result, rolloutsMs } = await twoVms(world, await editSite(folder, preparedForRollouts), proxmox)
    const tookMs = performance.now() - began - rolloutsMs
    if (world.only === 'rollouts') return result
    if (world.leftMs() < tookMs * oneVmPart)
      checks.skip(
        'one VM for both roles, destroyed and deployed again',
        `the two VMs took ${duration(tookMs)} here, so it would not end within the time that --minutes gives`,
      )
    else await oneVm(world, site, proxmox)
    return result
  } finally {
    proxmox.close()
  }
}

/** How long the second story takes, of the first one's time: two boots of the larger VM instead of three of smaller ones, and fewer checks. */
const oneVmPart = 0.65

/** A site that is deployed, as its checks need it. */
interface DeployedSite {
  readonly site: Site
  readonly golden: Golden
  readonly access: OutsideAccess
  /** By group. */
  readonly guests: Readonly<Record<string, Guest>>
  /** The one with Serena. */
  readonly serena: Guest
  /** Of the file that was left in the first project. */
  readonly mark: string
}

/** The image: of an earlier demo, or baked, checked and kept for the next. */
async function takeOrBake(world: DemoWorld, site: Site, golden: Golden): Promise<void> {
  const { administrator, checks } = world
  const folder: string = world.connection.site
  const place = { administrator, node: site.proxmox.node, site }
  const key = await imageKey(site, await readFile(join(folder, 'images.lock.json'), 'utf8'))
  if (!world.fresh && isKept(world.env, key))
    await checks.must('the image that an earlier demo baked and checked, of the same inputs to the byte (--fresh bakes anew)', () =>
      takeImage(place, world.env, key, folder),
    )
  else {
    await checks.must('golden lock: base, container images, and packages by the state of their archive', async () => {
      const { changes, written } = await golden('lock')
      expectEqual('written', written, true)
      expectThat(
        ['base', 'archive', 'package'].every((what) => changes.some((change: { what: string }) => change.what === what)),
        'the lock has no base, no archive or no package',
      )
    })
    await checks.must('golden bake: an image, checked while baking, of what the lock says', async () => {
      const { outcome, template, lockCompleted } = await golden('bake')
      expectEqual('outcome, and whether the lock has all packages now', [outcome, lockCompleted], ['baked', true])
      await keepImage(place, world.env, key, template.vmid, folder)
    })
  }
}

/** A VM for each role. */
async function twoVms(world: DemoWorld, site: Site, proxmox: Proxmox): Promise<{ result: DemoResult; rolloutsMs: number }> {
  const { connection, checks, keep, signal } = world
  const folder: string = connection.site
  const golden = at(folder, world)
  const access: OutsideAccess = { site, folder }
  const guests = guestsOf(site, proxmox, signal)
  const serena = guests[groupWithRole(site, 'serena')?.name ?? ''] as Guest
  const mark = randomBytes(4).toString('hex')
  await golden('init')
  const began = performance.now()
  await checks.must('golden deploy: both VMs, logging first', async () => {
    await golden('deploy')
    for (const guest of Object.values(guests)) expectEqual(`health of VM ${guest.vmid}`, (await slotctl(guest, 'status')).healthy, true)
  })
  const deployMs = performance.now() - began
  const { groups } = await golden('status')
  const status = groups[groupWithRole(site, 'serena')?.name ?? '']
  await checks.must('two VMs: an MCP client leaves a file by which the data is known later', () => leaveMark(access, mark))
  await compareWithFakes(world, { site, guests, access }, 'two VMs')
  if (world.only !== 'rollouts') await checkTwoVms(world, { site, golden, access, guests, serena, mark })
  const rolloutsBegan = performance.now()
  await checkRollouts(checks, { site, access, golden, proxmox, mark, deployMs, leftMs: world.leftMs, signal, env: world.env })
  // Of a demo that bakes a lab's own image, with real guests: others have no such server.
  const place = { site, access, golden, proxmox, mark, deployMs, leftMs: world.leftMs, signal, env: world.env }
  const isAcme =
    connection.acme !== undefined && (await checkCertificates(checks, { ...place, acme: connection.acme, proxy: connection.socksProxy }))
  const rolloutsMs = performance.now() - rolloutsBegan
  const found = isAcme ? (await golden('status')).groups[groupWithRole(site, 'serena')?.name ?? ''] : status
  if (!keep) await checkDestroy(checks, 'two VMs', golden)
  return { result: resultOf(site, folder, found), rolloutsMs }
}

/** In the VM that no client's calls go to, if there is one. */
async function compareWithFakes(
  { checks }: DemoWorld,
  { site, guests, access: { folder } }: Pick<DeployedSite, 'site' | 'guests' | 'access'>,
  label: string,
): Promise<void> {
  const { name, group } = groupWithRole(site, 'logging') ?? {}
  const guest = guests[name ?? '']
  if (guest === undefined || group === undefined) throw new Error('no group of the site has Loki')
  await checkTranscript(checks, { guest, address: group.slots.blue.address, folder }, label)
}

function resultOf(site: Site, folder: string, status: any): DemoResult {
  const user = site.serena.users[0]?.name ?? ''
  return { site: folder, urls: Object.values(status.urls), user, passwordFile: status.credentialFiles[user], caFile: status.caFile }
}

/** All but that slots change. */
async function checkTwoVms(
  { connection, administrator, checks, folder, signal }: DemoWorld,
  { site, golden, access, guests, serena, mark }: DeployedSite,
): Promise<void> {
  await checks.check('golden deploy again: nothing to do', async () => {
    expectEqual('changes', (await golden('deploy')).changed, false)
  })
  await checkAccess(checks, access, 'two VMs')
  await checkLogs(checks, { site, guests, signal, access }, 'two VMs')
  await checkProjects(checks, { site, access, guest: serena, socksPort: connection.socksProxy.port, scratch: folder, signal })
  await checkFirewalls(
    checks,
    { site, router: routerPorts.target, control: control(connection.controlSocket), administrator, guests },
    'two VMs',
  )
  await checkSecrets(checks, { folder: access.folder, labLog: join(folder, 'lab.log'), labFolder: join(folder, 'lab') })
  await checkSurvival(checks, serena, access, mark)
}

async function checkDestroy(checks: Checks, label: string, golden: Golden): Promise<void> {
  await checks.must(`${label}: golden destroy: no VM is left, and the data disks are in their depots`, async () => {
    const { groups } = await golden('destroy', '--yes')
    for (const group of groups) expectThat(group.data !== undefined, `group ${group.group} has no data disk any more`)
  })
}

/** Both roles on one VM: a site of its own, with the image and the preparation of the first. */
async function oneVm(world: DemoWorld, first: Site, proxmox: Proxmox): Promise<void> {
  const { connection, administrator, checks, signal } = world
  const folder = join(world.folder, 'one-vm')
  const input = labSite(connection, {
    name: 'one',
    sharedWith: first.name,
    layout: 'one-vm',
    firstVmid: 9040,
    firstHost: 40,
    memoryMiB: 4096,
    behind: 'second',
    // Each transport is a Serena of its own, and the other site has both.
    transports: ['streamable-http'],
    base: { file: first.image.base.file ?? '', sha256: first.image.base.sha256 },
    isoPath: first.proxmox.storage.isoPath,
  })
  await writeLabSite(folder, input, connection)
  await copyFile(join(connection.site, secretFiles.proxmoxToken), join(folder, secretFiles.proxmoxToken))
  const site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  // The image is the first site's, which has signed it.
  await copyFile(join(connection.site, allowedSigners), join(folder, allowedSigners))
  const golden = at(folder, world)
  const guests = guestsOf(site, proxmox, signal)
  const logging = guests[groupWithRole(site, 'logging')?.name ?? ''] as Guest
  const access = { site, folder }
  const mark = randomBytes(4).toString('hex')
  const router = control(connection.controlSocket)
  await checks.must('one VM for both roles: golden setup and golden deploy', async () => {
    await golden.asAdministrator('setup')
    await router.forward({ second: groupWithRole(site, 'serena')?.group.service ?? null })
    await golden('deploy')
  })
  await checkAccess(checks, access, 'one VM')
  await leaveMark(access, mark)
  await checkLogs(checks, { site, guests, signal, access }, 'one VM')
  await checkFirewalls(checks, { site, router: routerPorts.second, control: router, administrator, guests }, 'one VM')
  await checkDestroy(checks, 'one VM', golden)
  const destroyed = Date.now()
  await checks.must('one VM: golden deploy after destroy: the projects of before are there', async () => {
    await golden('deploy')
    await eventually(() => findMark(access, mark), { timeoutMs: 300_000, signal })
  })
  await checks.check('one VM: the logs of before are there', () =>
    eventually(
      async () => {
        const answer = await slotctl(logging, 'logs', `{container_name="serena_mcp"} |= "check_${mark}"`, '1440')
        const entries = (answer.streams as { entries: [string, string][] }[]).flatMap((stream) => stream.entries)
        // Nanoseconds; younger lines are of this deployment.
        expectThat(
          entries.some(([time]) => Number(time) / 1e6 < destroyed),
          `of ${entries.length} lines found none is older than the destroy`,
        )
      },
      { timeoutMs: 60_000, signal },
    ),
  )
}

/**
 * One VM for both roles, its night under its users' hands, and the next night. Fewer VMs than two beside one another: a
 * bake and a verification go on meanwhile.
 */
async function aNight(world: DemoWorld, first: Site, proxmox: Proxmox): Promise<DemoResult> {
  const { connection, administrator, checks, signal, env, leftMs } = world
  const folder: string = connection.site
  const { archives } = first.image
  const together = labSite(connection, {
    name: first.name,
    layout: 'one-vm',
    // The two VMs' own are taken: their depots were made with the lab.
    firstVmid: 9040,
    firstHost: 40,
    memoryMiB: 4096,
    transports: ['streamable-http'],
    base: { file: first.image.base.file ?? '', sha256: first.image.base.sha256 },
    isoPath: first.proxmox.storage.isoPath,
  })
  const site = await editSite(folder, (before) => ({
    ...before,
    groups: together.groups,
    // Calls wait for an emulated guest's Serena, which takes minutes to start.
    serena: { ...together.serena, parking: { seconds: 1800 } },
    rollout: { healthMinutes: 60, soakMinutes: 1, drainSeconds: 120 },
  }))
  const golden = at(folder, world)
  const access: OutsideAccess = { site, folder }
  const mark = randomBytes(4).toString('hex')
  const router = control(connection.controlSocket)
  await golden('init')
  const began = performance.now()
  await checks.must('one VM for both roles: golden setup and golden deploy', async () => {
    await golden.asAdministrator('setup')
    await router.forward({ target: groupWithRole(site, 'serena')?.group.service ?? null })
    await golden('deploy')
  })
  await checks.must('one VM: an MCP client leaves a file by which the data is known later', () => leaveMark(access, mark))
  const deployMs = performance.now() - began
  await compareWithFakes(world, { site, guests: guestsOf(site, proxmox, signal), access }, 'one VM')
  const scene = await sceneOf(checks, { site, access, golden, proxmox, mark, deployMs, leftMs, signal, env }, 'one VM')
  await checkNight({
    scene,
    administrator,
    packages: connection.packages,
    direct: (archives ?? []).map(({ url }) => new URL(url).hostname),
    nightly: (more, onLine) =>
      runVerb(['nightly'], { env: { ...env, GOLDEN_SITE: folder, ...more }, signal, onLine: golden.shows(onLine) }),
  })
  return resultOf(site, folder, (await golden('status')).groups[groupWithRole(site, 'serena')?.name ?? ''])
}

/** @param token `user@realm!name=secret` */
export async function opened(url: string, caFile: string, token: string): Promise<Proxmox> {
  const [id, secret] = token.split(/=(.*)/s) as [string, string]
  return connect({ url, caPem: await readFile(caFile, 'utf8'), auth: { id, secret } })
}

/** The blue slots: what a first deployment runs. */
function guestsOf(site: Site, proxmox: Proxmox, signal: AbortSignal): Record<string, Guest> {
  return Object.fromEntries(
    Object.entries(site.groups).map(([name, group]) => [name, { proxmox, node: site.proxmox.node, vmid: group.slots.blue.vmid, signal }]),
  )
}
