/**
 * Both slots of each group, under load: a rollout and the way back while clients call Serena's tools without pause. Not
 * one call may fail, and each line of the log that is written meanwhile is in Loki once.
 */
import { randomBytes } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { projectsFolder } from '../images/guest/places.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { publicUrl } from '../scripts/client.ts'
import { writeSecret } from '../settings/secrets/files.ts'
import { secretFiles, secretsFolder } from '../settings/secrets/places.ts'
import { groupWithRole, type Site, type SiteInput, type SlotName } from '../settings/site.ts'
import { credentials, findMark, type OutsideAccess } from './access.ts'
import { openMcp } from './check/mcp.ts'
import { ask } from './check/web.ts'
import { eventually, expectEqual, expectThat, type Checks } from './checks.ts'
import { editSite } from './edit-site.ts'
import type { Golden } from './golden.ts'
import { expected, inTurn } from './parts.ts'
import { ensureSerena, findInterpreter } from './serena-program.ts'
import { inGuest, slotctl, type Guest } from './survive.ts'
import { ended, type Call } from './traffic/call.ts'
import { basic, requestTimeoutMs, type TrafficTarget } from './traffic/client.ts'
import { idleClient, numberedConnection, toolClients } from './traffic/clients.ts'
import type { KeptConnection } from './traffic/kept-connection.ts'
import { expectNumbers } from './traffic/numbers.ts'
import { expectNoFailure, expectOneSession, longestLine, summaryLines } from './traffic/summary.ts'
import { startTraffic, type Traffic } from './traffic/traffic.ts'

export interface RolloutsPlace {
  /** With a VM for each role. */
  readonly site: Site
  readonly access: OutsideAccess
  readonly golden: Golden
  readonly proxmox: Proxmox
  /** The first project has a file `check_MARK.py` with it. */
  readonly mark: string
  /** How long it took to deploy the site. */
  readonly deployMs: number
  /** How long the demo may still take. */
  leftMs(): number
  readonly signal: AbortSignal
  readonly env: NodeJS.ProcessEnv
  /** How fast it goes. @default at people's pace */
  readonly pace?: Pace
}

interface Pace {
  /** Of the client that is idle between its calls. */
  readonly idleMs: number
  /** Of the connection with numbered requests. */
  readonly numberEveryMs: number
  /**
   * From an answer to the next call until the new slot stands by: the guests share two processors, and one of them has
   * to boot. From then on there is no pause.
   */
  readonly breathMs: number
}

/** Idle for longer than Node's own pool keeps a connection, for less than nginx does. */
const peoplesPace: Pace = { idleMs: 20_000, numberEveryMs: 3000, breathMs: 2000 }

/** Whose password is rotated; everybody else's clients go on. */
const guestUser = 'guest'
const guestPassword = `${secretsFolder}/users/${guestUser}`
const secondProject = 'second'

/**
 * What the demo's site needs for its rollouts, before it is deployed: somebody whose password can be rotated, and patience
 * for emulated guests. The old slot stays up for the way back: that saves a boot.
 */
export const preparedForRollouts = (site: SiteInput): SiteInput => ({
  ...site,
  serena: { ...site.serena, users: [...site.serena.users, { name: guestUser, password: { kind: 'file', path: guestPassword } }] },
  rollout: { healthMinutes: 60, soakMinutes: 1, drainSeconds: 120, old: 'running' },
})

const longCallSeconds = 30
const longCallName = `a call of ${longCallSeconds} s`

/** Clients that are at work, and what came of it. */
interface Load {
  readonly traffic: Traffic
  readonly kept: KeptConnection
  /** Milliseconds since 1970. */
  readonly began: number
}

interface Scene extends RolloutsPlace {
  readonly checks: Checks
  readonly serena: string
  readonly logging: string
  readonly target: TrafficTarget & { readonly caFile: string }
  /** Of the guest, as the site was deployed with it. */
  readonly oldPassword: string
  readonly pace: Pace
  load?: Load
  /** What site.ts said before it was edited. */
  before?: SiteInput['serena']
}

export async function checkRollouts(checks: Checks, place: RolloutsPlace): Promise<void> {
  const { site, access, deployMs, leftMs, mark } = place
  const [serena, logging] = [groupWithRole(site, 'serena')?.name ?? '', groupWithRole(site, 'logging')?.name ?? '']
  const scene: Scene = {
    ...place,
    pace: place.pace ?? peoplesPace,
    checks,
    serena,
    logging,
    oldPassword: (await readFile(join(access.folder, guestPassword), 'utf8')).trim(),
    target: {
      ...(await credentials(access)),
      caFile: join(access.folder, secretFiles.ca),
      url: publicUrl(site, '/mcp'),
      call: { tool: 'read_file', arguments: { relative_path: `check_${mark}.py` }, expected: mark },
    },
  }
  const parts = [
    { name: `two VMs: golden rollout ${serena}, under load`, expectedMs: expected.rollout(deployMs), run: () => rolloutSerena(scene) },
    { name: `two VMs: golden rollback ${serena}, under load`, expectedMs: expected.rollback(deployMs), run: () => rollbackSerena(scene) },
    {
      name: `two VMs: golden rollout ${logging} and golden rollback ${logging}, while numbered lines are written`,
      expectedMs: expected.logging(deployMs),
      run: () => bothWaysLogging(scene),
    },
  ]
  try {
    await inTurn(checks, parts, leftMs, expected.destroy(deployMs))
  } finally {
    await endLoad(scene)
  }
}

async function rolloutSerena(scene: Scene): Promise<boolean> {
  const { checks, access, golden, serena, target, oldPassword } = scene
  const { folder } = access
  if (!(await startLoad(scene))) return false
  const named = await checks.check(
    `two VMs: another project, one transport, the shell and a new password in the site folder: golden deploy --plan and golden status name "golden rollout ${serena}"`,
    async () => {
      await editSite(folder, (site) => {
        scene.before = site.serena
        return {
          ...site,
          serena: {
            ...site.serena,
            // For the call of half a minute on the way back.
            shell: true,
            // A second Serena takes an emulated guest minutes to start.
            transports: ['streamable-http'],
            projects: [...(site.serena.projects ?? []), { name: secondProject }],
          },
        }
      })
      await rm(join(folder, guestPassword))
      await golden('init')
      const planned = differencesOf((await golden('deploy', '--plan')).plan.groups, serena)
      expectThat(planned.includes(`golden rollout ${serena}`), `deploy --plan says: ${planned || 'nothing'}`)
      const told = ((await golden('status')).groups[serena].differences as string[]).join('; ')
      for (const words of [
        `golden rollout ${serena}`,
        'serena.projects',
        'serena.transports',
        'serena.shell',
        `the password of ${guestUser}`,
      ])
        expectThat(told.includes(words), `status does not say "${words}": ${told || 'nothing'}`)
    },
  )
  if (!named || !(await move(scene, 'rollout', serena, 'green'))) return false
  await settled(scene, serena, 'green')
  await checks.check('two VMs: after it the new password lets in, the old one does not, and the other project is there', async () => {
    await entersAs(target, (await readFile(join(folder, guestPassword), 'utf8')).trim())
    expectEqual('with the old password', await statusWith(target, oldPassword), 401)
    await inGuest(guestAt(scene, serena, 'green'), `test -d ${projectsFolder}/${secondProject}`)
  })
  await allNumbers(scene, 'blue')
  // For the way back: what hands over now is stopped, as a site without `old` has it.
  await editSite(folder, (site) => ({ ...site, rollout: { ...site.rollout, soakMinutes: 0, old: 'stopped' } }))
  return true
}

async function rollbackSerena(scene: Scene): Promise<boolean> {
  const { checks, access, golden, serena, target, oldPassword } = scene
  const { folder } = access
  if (!(await move(scene, 'rollback', serena, 'blue', () => longCall(scene)))) return false
  await settled(scene, serena, 'blue', `golden rollout ${serena}`)
  await checks.check('two VMs: after it the password of before lets in again', () => entersAs(target, oldPassword))
  await allNumbers(scene, 'blue')
  await endLoad(scene)
  return checks.check('two VMs: the site folder as before: golden status names no difference any more', async () => {
    await editSite(folder, (site) => ({ ...site, serena: scene.before ?? site.serena }))
    await writeSecret(join(folder, guestPassword), `${oldPassword}\n`)
    expectEqual('differences', (await golden('status')).groups[serena].differences, [])
  })
}

async function bothWaysLogging(scene: Scene): Promise<boolean> {
  const { checks, access, golden, logging, target, pace } = scene
  const { folder } = access
  const kept = numberedConnection(target, newMark(), pace.numberEveryMs)
  scene.load = { traffic: startTraffic([kept, idleClient(target, pace.idleMs)], scene.signal), kept, began: Date.now() }
  let before: SiteInput['logging']
  const named = await checks.check(
    `two VMs: logs are to be kept for another time: golden status names "golden rollout ${logging}"`,
    async () => {
      await editSite(folder, (site) => {
        before = site.logging
        return { ...site, logging: { ...site.logging, retentionDays: 29 }, rollout: { ...site.rollout, old: 'running' } }
      })
      const told = ((await golden('status')).groups[logging].differences as string[]).join('; ')
      for (const words of [`golden rollout ${logging}`, 'logging.retentionDays'])
        expectThat(told.includes(words), `status does not say "${words}": ${told || 'nothing'}`)
    },
  )
  if (!named || !(await move(scene, 'rollout', logging, 'green'))) return false
  await settled(scene, logging, 'green')
  await allNumbers(scene, 'green')
  await editSite(folder, (site) => ({ ...site, rollout: { ...site.rollout, old: 'stopped' } }))
  if (!(await move(scene, 'rollback', logging, 'blue'))) return false
  await settled(scene, logging, 'blue', `golden rollout ${logging}`)
  await allNumbers(scene, 'blue')
  // Whoever keeps the demo finds a site that says what runs.
  await editSite(folder, ({ logging: _, ...site }) => (before === undefined ? site : { ...site, logging: before }))
  return true
}

/** Clients of all kinds, each of which has been answered once. */
async function startLoad(scene: Scene): Promise<boolean> {
  const { checks, access, target, env, signal, pace } = scene
  const interpreter = findInterpreter()
  const withPython = "two VMs: Python's official SDK is among the clients"
  let python: string | undefined
  if (interpreter === undefined) checks.skip(withPython, 'there is no Python 3.11 to 3.14 with venv on this computer')
  else
    await checks.check(withPython, async () => {
      python = (await ensureSerena(interpreter, env)).python
    })
  return checks.check("two VMs: clients of all kinds call Serena's tools without pause", async () => {
    // The project is a process's own: clients without sessions use the one that is active.
    await findMark(access, scene.mark)
    const kept = numberedConnection(target, newMark(), pace.numberEveryMs)
    const traffic = startTraffic([...toolClients({ ...target, ...(python === undefined ? {} : { python }) }, pace.idleMs), kept], signal)
    scene.load = { traffic, kept, began: Date.now() }
    await traffic.round()
    for (const line of summaryLines(traffic.record.calls)) checks.found(line)
    expectNoFailure(traffic.record.calls)
  })
}

/** Also what was called between the verbs counts. */
async function endLoad(scene: Scene): Promise<void> {
  const { load, checks } = scene
  if (load === undefined) return
  delete scene.load
  await load.traffic.stop()
  const { calls } = load.traffic.record
  await checks.check('two VMs: of all calls from the first to the last none failed', async () => {
    for (const line of summaryLines(calls)) checks.found(line)
    expectNoFailure(calls)
    expectOneSession(calls)
  })
}

const newMark = (): string => randomBytes(4).toString('hex')

/** What `rollout` and `rollback` say of a group. */
interface Moved {
  readonly outcome: string
  readonly slot: SlotName
  readonly parts: readonly { readonly step: string; readonly ms: number }[]
}

/** What is in progress while the data is handed over; ready for it beforehand. */
interface During {
  /** Never rejects. */
  begin(): Promise<void>
  close(): Promise<void>
}

/** One slot takes over from the other, and nobody notices. */
function move(
  { checks, golden, load, pace }: Scene,
  verb: 'rollout' | 'rollback',
  group: string,
  to: SlotName,
  prepare?: () => Promise<During>,
): Promise<boolean> {
  return checks.check(`two VMs: golden ${verb} ${group}: not one call fails`, async () => {
    if (load === undefined) throw new Error('there are no clients')
    const { traffic } = load
    const began = Date.now()
    const calls = (): Call[] => traffic.record.calls.filter((call) => ended(call) >= began)
    const during = await prepare?.()
    let handedOver: Promise<void> | undefined
    const hear = (line: string): void => {
      if (handedOver !== undefined || !line.includes(`hand group ${group} over to slot ${to}`)) return
      traffic.breathe(0)
      handedOver = during?.begin() ?? Promise.resolve()
    }
    traffic.breathe(pace.breathMs)
    try {
      const { groups } = (await golden.heardBy(hear)(verb, group)) as { groups: readonly Moved[] }
      expectEqual(
        'what became of it',
        groups.map(({ outcome, slot }) => [outcome, slot]),
        [['rolled-out', to]],
      )
      checks.found(`handover: ${partsText(groups[0]?.parts ?? [])}`)
      if (handedOver === undefined) throw new Error('the verb did not say when it began to hand over')
      await handedOver
      // Who still waits is not known to have been served.
      await traffic.round()
      checks.found(longestLine(calls().filter(({ client }) => client !== longCallName)))
    } finally {
      traffic.breathe(0)
      await handedOver
      await during?.close()
      for (const line of [...summaryLines(calls()), connectionLine(load.kept)]) checks.found(line)
    }
    expectNoFailure(calls())
    expectOneSession(traffic.record.calls)
  })
}

/** Each step once, in the order in which they first came. */
export function partsText(parts: Moved['parts']): string {
  const sums = new Map<string, number>()
  for (const { step, ms } of parts) sums.set(step, (sums.get(step) ?? 0) + ms)
  const total = parts.reduce((sum, { ms }) => sum + ms, 0)
  const list = [...sums].map(([step, ms]) => `${step} ${(ms / 1000).toFixed(1)} s`)
  return `${(total / 1000).toFixed(1)} s in all: ${list.join(', ')}`
}

const connectionLine = ({ opened, closedByAnswer, closedIdle, answered }: KeptConnection): string =>
  `the TLS connection: ${answered.length} requests answered, opened ${opened} times, ended by "Connection: close" ${closedByAnswer} times, in order between requests ${closedIdle} times`

/** A call that is in progress when the old slot is asked to let go. Connected by now: what is measured is the call. */
async function longCall({ load, target }: Scene): Promise<During> {
  const session = await openMcp({ ...target, transport: 'streamable-http' }, { timeoutMs: requestTimeoutMs })
  return {
    async begin() {
      await load?.traffic.record.measure(longCallName, session.id, async () => {
        const text = await session.call('execute_shell_command', { command: `sleep ${longCallSeconds} && echo it has slept` })
        expectThat(text.includes('it has slept'), `it says: ${text.slice(0, 400)}`)
      })
    },
    close: () => session.close().catch(() => {}),
  }
}

/** What everybody can see after one slot has taken over. @param offers what `golden deploy` names; nothing if left out */
async function settled(scene: Scene, group: string, slot: SlotName, offers?: string): Promise<void> {
  const { checks, golden } = scene
  const label = offers === undefined ? 'golden deploy: nothing to do' : `golden deploy changes nothing, and names "${offers}"`
  await checks.check(`two VMs: slot ${slot} of ${group} has the data and the service address; ${label}`, async () => {
    // The other VM's log agent may just be waiting for its next try.
    await eventually(
      async () => {
        const status = (await golden('status')).groups[group]
        expectEqual('health and slot', [status.health, status.activeSlot], ['healthy', slot])
      },
      { timeoutMs: 600_000, everyMs: 5000, signal: scene.signal },
    )
    const { active, serviceAddress } = await slotctl(guestAt(scene, group, slot), 'status')
    expectEqual('the guest: active, with the address', [active, serviceAddress.held], [true, true])
    const { changed, groups } = await golden('deploy')
    expectEqual('changed by deploy', changed, false)
    const told = differencesOf(groups, group)
    expectThat(offers === undefined ? told === '' : told.includes(offers), `deploy says: ${told || 'nothing'}`)
  })
}

const differencesOf = (groups: readonly { group: string; differences: readonly string[] }[], group: string): string =>
  (groups.find((one) => one.group === group)?.differences ?? []).join('; ')

/** @param slot of the logging VM that has the data now */
async function allNumbers(scene: Scene, slot: SlotName): Promise<void> {
  const { checks, load, logging } = scene
  await checks.check('two VMs: every numbered line since the clients began is in Loki exactly once', async () => {
    if (load === undefined) throw new Error('there are no clients')
    const count = await expectNumbers(load.kept, guestAt(scene, logging, slot), load.began)
    checks.found(`${count} of ${count} lines once`)
  })
}

/** The status that nginx has for somebody who comes with this password. */
const statusWith = async ({ url, caPem }: TrafficTarget, password: string): Promise<number> =>
  (await ask(url, { caPem, method: 'POST', headers: { Authorization: basic(guestUser, password) }, timeoutMs: requestTimeoutMs })).status

async function entersAs(target: TrafficTarget, password: string): Promise<void> {
  const session = await openMcp({ ...target, transport: 'streamable-http', user: guestUser, password }, { timeoutMs: requestTimeoutMs })
  await session.close()
}

const guestAt = ({ site, proxmox, signal }: Scene, group: string, slot: SlotName): Guest => {
  const vmid = site.groups[group]?.slots[slot].vmid
  if (vmid === undefined) throw new Error(`there is no group ${group}`)
  return { proxmox, node: site.proxmox.node, vmid, signal }
}
