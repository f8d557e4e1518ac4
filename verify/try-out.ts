/** Tries one clone out, from its first boot to its last shutdown. */
import { setTimeout as pause } from 'node:timers/promises'
import { createDataDisk, seenVm } from '../rollout/depot.ts'
import { observeVm, placesOf } from '../rollout/observe.ts'
import { ProxmoxError } from '../proxmox/client.ts'
import { vmAt } from '../proxmox/vm.ts'
import { statusSchema } from '../images/contract/status.ts'
import { parts, type Part, type SelftestCheck } from '../images/contract/selftest.ts'
import type { Site } from '../settings/site.ts'
import type { Clone } from './clones.ts'
import { askChecks, bootOf, guestAt, requireChecks, run, servesProblem, slotctl, until, waitsProblem, type Place } from './inside.ts'
import { clientProblems, reachableFromHere, type Here } from './outside.ts'
import { checks, checksOf, type CheckName } from './plan.ts'
import { Unfit, type Report } from './report.ts'
import type { TrialSecrets } from './secrets.ts'
import { isOpen, isOpenToSome, surprises, targetText, temptations, tempting, type Target } from './targets.ts'
import { trialProject, trialUser } from './trial.ts'

/** How long what is waited for may take. */
export interface Patience {
  /** For an agent that answers, and for a slot that serves. */
  readonly bootMs: number
  readonly healthMs: number
  /** For a line to be found in Loki. */
  readonly logsMs: number
  /** What Proxmox gives a guest to reboot and to shut down. */
  readonly rebootSeconds: number
  readonly shutdownSeconds: number
  /** Between two looks. */
  readonly pauseMs: number
}

/** A clone with what it takes to try it out. */
export interface Trying extends Place {
  /** The user's, and that of the clones. */
  readonly site: Site
  readonly trial: Site
  readonly clone: Clone
  readonly secrets: TrialSecrets
  readonly patience: Patience
  readonly report: Report
  readonly here: Here
  /** It is of a version that can't be verified. */
  refuse(): never
}

/** Runs checks in turn; once one has failed that the rest needs, the rest is noted as not tried. */
class Course {
  readonly #trying: Trying
  readonly #mine: ReadonlySet<CheckName>
  #stopped: CheckName | undefined

  constructor(trying: Trying) {
    this.#trying = trying
    const { clone } = trying
    this.#mine = new Set(checksOf(clone.roles, clone.release.seed.loki !== undefined))
  }

  get failed(): boolean {
    return this.#stopped !== undefined
  }

  has(name: CheckName): boolean {
    if (!this.#mine.has(name)) return false
    if (this.#stopped === undefined) return true
    this.skip(name, `"${checks[this.#stopped]}" does not hold`)
    return false
  }

  skip(name: CheckName, why: string): void {
    this.#trying.report.skip(this.#trying.clone.group, name, why)
  }

  async check(name: CheckName, work: (note: (text: string) => void) => Promise<void>): Promise<boolean> {
    return this.has(name) && this.#trying.report.check(this.#trying.clone.group, name, work)
  }

  /** Without which nothing else can be shown. */
  async must(name: CheckName, work: (note: (text: string) => void) => Promise<void>): Promise<void> {
    if (this.has(name) && !(await this.#trying.report.check(this.#trying.clone.group, name, work))) this.#stopped = name
  }
}

export interface Trial {
  readonly trying: Trying
  readonly course: Course
}

export const begin = (trying: Trying): Trial => ({ trying, course: new Course(trying) })

/** Until it has data and serves: the clone with the logs before the other one, whose lines go there. */
export async function bringUp({ trying, course }: Trial): Promise<void> {
  const { site, trial, clone, patience, proxmox, node, vmid, signal } = trying
  const guest = guestAt(trying)
  await course.must('boots', async (note) => {
    await guest.wait((elapsedMs) => note(`wait for the guest: ${Math.round(elapsedMs / 1000)} s`), patience.bootMs)
    await until(trying, patience.bootMs, () => undefined, note)
  })
  await course.must('standby', async (note) => {
    await until(trying, patience.healthMs, waitsProblem, note)
    requireChecks((await askChecks(trying, 'selftest')) ?? trying.refuse())
  })
  await course.must('activates', async (note) => {
    const places = { ...placesOf(trial, clone.group, undefined), node, storage: site.proxmox.storage.disks }
    await createDataDisk(proxmox, places, seenVm(vmid, await observeVm(proxmox, node, vmid, 'scsi0')), signal)
    await until(trying, patience.healthMs, ({ dataDisk }) => (dataDisk === 'blank' ? undefined : `the data disk is ${dataDisk}`), note)
    await guest.call('format')
    await guest.call('activate')
    await until(trying, patience.healthMs, servesProblem, note)
  })
}

/** Everything of a clone that serves, while the others do, too. */
export async function tryOut({ trying, course }: Trial, all: readonly Trying[]): Promise<void> {
  await lookInside(trying, course)
  const { clone, secrets, patience } = trying
  await course.check('tools', async () => {
    requireChecks((await askChecks(trying, 'work', trialUser, secrets.password, trialProject)) ?? trying.refuse())
  })
  const logging = all.find(({ clone: { roles } }) => roles.includes('logging'))
  await course.check('logs', async (note) => {
    for (const selector of selectorsOf(clone)) await untilLogged(logging ?? trying, selector, patience, note)
  })
  await course.check('closed-inside', async () => {
    const [container] = containersOf(clone)
    await reachesNothing(trying, container ?? '', all)
  })
  await lookFromOutside({ trying, course }, all)
}

/** Apart from those, to its end: what takes its data and its power away. */
export async function wearOut({ trying, course }: Trial): Promise<void> {
  const { patience, proxmox, node, vmid, signal } = trying
  const guest = guestAt(trying)
  const vm = vmAt(proxmox, node, vmid)
  await course.check('let-go', async (note) => {
    const said = (await guest.call('let-go', '30')) as { readonly drained?: boolean; readonly requests?: number; readonly status?: unknown }
    const left = statusSchema.safeParse(said.status).data
    if (left === undefined || left.active || left.dataDisk !== 'ready')
      throw new Unfit(`it has not let go of its data disk, which is ${left?.dataDisk}`)
    if (said.drained !== true) throw new Unfit(`it has cut off ${said.requests} requests, and there should be none`)
    // As where the other slot does not want the data after all.
    await guest.call('activate')
    await until(trying, patience.healthMs, servesProblem, note)
  })
  await course.check('reboot', async (note) => {
    const before = await bootOf(trying)
    const upid = await vm.reboot(patience.rebootSeconds)
    await proxmox.task(upid, { signal, timeoutMs: (patience.rebootSeconds + 300) * 1000 }).catch((error: unknown) => {
      // That it went on, or hung: Proxmox itself has done what it was asked to.
      if (error instanceof ProxmoxError && error.ofTask) throw new Unfit(error.message)
      throw error
    })
    await guest.wait((elapsedMs) => note(`wait for the guest: ${Math.round(elapsedMs / 1000)} s`), patience.bootMs)
    if ((await bootOf(trying)) === before) throw new Unfit('it has not booted again')
    await until(trying, patience.healthMs, servesProblem, note)
    requireChecks((await askChecks(trying, 'selftest')) ?? trying.refuse())
  })
  await course.check('yield', async (note) => {
    await guest.call('yield')
    await until(
      trying,
      patience.logsMs,
      ({ active, dataDisk, serviceAddress: { held, address } }) =>
        active || dataDisk !== 'ready' ? `its data disk is ${dataDisk}` : held ? `it keeps the service address ${address}` : undefined,
      note,
    )
  })
  await course.check('shutdown', async () => {
    const began = performance.now()
    await proxmox.task(await vm.shutdown(patience.shutdownSeconds), { signal, timeoutMs: (patience.shutdownSeconds + 120) * 1000 })
    if (performance.now() - began >= patience.shutdownSeconds * 1000)
      throw new Unfit(`it had not shut down after ${patience.shutdownSeconds} s, and its power was cut`)
  })
}

/** A check for each part of slotctl's own. */
async function lookInside(trying: Trying, course: Course): Promise<void> {
  const { report, clone } = trying
  const mine = parts.filter((part) => part !== 'tools' && course.has(part))
  if (mine.length === 0) return
  const began = performance.now()
  const seen = (await askChecks(trying, 'selftest')) ?? trying.refuse()
  const ms = Math.round(performance.now() - began)
  for (const part of mine) report.add({ clone: clone.group, name: part, ms, ...verdict(part, seen) })
}

/** A part of which nothing is said was not looked at. Pure. */
export function verdict(part: Part, seen: readonly SelftestCheck[]): { readonly ok: boolean; readonly detail?: string } {
  const own = seen.filter((one) => one.part === part)
  if (own.length === 0) return { ok: false, detail: 'slotctl says nothing of it' }
  try {
    requireChecks(own)
    return { ok: true }
  } catch (error) {
    return { ok: false, detail: (error as Error).message }
  }
}

const containersOf = ({ release: { seed } }: Clone): string[] =>
  (seed.serena?.transports ?? []).map((transport) => (transport === 'sse' ? 'serena_mcp_sse' : 'serena_mcp'))

/** Streams that a clone certainly writes to, by all the labels that its lines should have. Pure. */
export function selectorsOf(clone: Clone): string[] {
  const { seed } = clone.release
  const labels = {
    host: seed.hostname,
    group: seed.group,
    role: seed.roles.join('+'),
    slot: seed.slot,
    image: seed.image.fingerprint.slice(0, 12),
  }
  const streams = [
    ...['nginx_proxy', ...containersOf(clone)].map((name) => ({ job: 'containers', container_name: name })),
    { job: 'journal' },
  ]
  return streams.map(
    (stream) =>
      `{${Object.entries({ ...labels, ...stream })
        .map(([name, value]) => `${name}="${value}"`)
        .join(', ')}}`,
  )
}

async function untilLogged(logging: Trying, selector: string, { logsMs, pauseMs }: Patience, note: (text: string) => void): Promise<void> {
  const end = performance.now() + logsMs
  for (;;) {
    const { streams = [] } = (await slotctl(logging, 'logs', selector, '120', '1')) as { streams?: readonly unknown[] }
    if (streams.length > 0) return
    if (performance.now() > end) throw new Unfit(`Loki has no line of ${selector}`)
    note(`wait for a line of ${selector}`)
    await pause(pauseMs, undefined, { signal: logging.signal })
  }
}

const itself: Target = { host: '127.0.0.1', port: 9121 }

async function reachesNothing(trying: Trying, container: string, all: readonly Trying[]): Promise<void> {
  const { site } = trying
  const targets = temptations(
    site,
    all.flatMap(({ clone: { release } }) => [release.seed.address, release.seed.service]),
  )
  const { reached, left } = await reach(trying, ['--in', container], [...targets, itself])
  const wrong = surprises([...targets, itself], reached, (target) => target === itself)
  // Whatever becomes of them outside of the machine.
  if (left !== 0) wrong.push(`${left} packets to ${targets.length} places have left the machine`)
  if (wrong.length > 0) throw new Unfit(`from ${container}, ${wrong.join('; ')}`)
}

interface Reached {
  readonly reached: readonly string[]
  readonly left?: number
}

async function reach(place: Place, how: readonly string[], targets: readonly Target[]): Promise<Reached> {
  const said = (await slotctl(place, 'reach', ...how, ...targets.map(targetText))) as Partial<Reached>
  if (!Array.isArray(said.reached)) throw new Unfit('slotctl reach says nothing')
  return { ...said, reached: said.reached }
}

/** From the other clone, if there is one, and from this computer, if it gets there. */
async function lookFromOutside({ trying, course }: Trial, all: readonly Trying[]): Promise<void> {
  const { site, clone, here, secrets, trial } = trying
  const { seed, flows } = clone.release
  const ports = tempting(site)
  const other = all.find((one) => one !== trying)
  // Its way to the LAN is not in its seed: with that it would be in every other network, too.
  const open = { host: seed.service, port: 443 }
  const isHere = seed.service === site.image.build.address && (await reachableFromHere(trying, open))
  const unseen = isHere ? undefined : `this computer does not get to ${seed.service}`
  if (other === undefined && !isHere) course.skip('closed-outside', `there is no second clone, and ${unseen}`)
  else
    await course.check('closed-outside', async () => {
      const wrong: string[] = []
      if (other !== undefined) {
        const from = other.clone.release.seed.address
        const targets = [seed.address, seed.service].flatMap((host) => ports.map((port) => ({ host, port })))
        await run(other, 'ip', '-4', 'route', 'replace', `${seed.service}/32`, 'dev', 'eth0')
        const { reached } = await reach(other, [], targets)
        wrong.push(...surprises(targets, reached, (target) => isOpen(flows, from, target)).map((text) => `from ${from}, ${text}`))
      }
      if (isHere) {
        const targets = ports.map((port) => ({ host: seed.service, port }))
        const reached = await here.reached(targets)
        // Whether this computer is one of the administrators' is known to nobody here: its address may be another one there.
        const wanted = (target: Target): boolean | undefined =>
          isOpen(flows, undefined, target) ? true : isOpenToSome(flows, target) ? undefined : false
        wrong.push(...surprises(targets, reached, wanted).map((text) => `from this computer, ${text}`))
      }
      if (wrong.length > 0) throw new Unfit(wrong.join('; '))
    })
  if (unseen !== undefined) return course.has('client') ? course.skip('client', unseen) : undefined
  await course.check('client', async () => {
    const problems = await clientProblems(here, {
      to: open,
      host: trial.public.host,
      ca: secrets.ca,
      user: trialUser,
      password: secrets.password,
    })
    if (problems.length > 0) throw new Unfit(problems.join('; '))
  })
}
