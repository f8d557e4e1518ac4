/**
 * golden-watch.service: every few seconds it looks at the containers, restarts what stopped answering, goes in as a
 * client does, holds the service address while this slot may and what it is for answers, keeps the firewall's rules, golden-auth,
 * the guest agent, an ACME server's certificate and, without NTP servers, the clock, and copies the journal for the log agent.
 * Compose does not restart what is merely unhealthy.
 */
import { join } from 'node:path'
import type { Seed } from '../contract/seed.ts'
import { keepClock } from './clock.ts'
import { isMounted } from './disk.ts'
import { listContainers, restartContainer } from './docker.ts'
import { letsIn, lookAtFronts, readProbe, sessionProblems, type FrontSeen } from './front.ts'
import { thriftily } from './health.ts'
import { readHandover } from './handover.ts'
import { keepCertificate, newKeeping, type Keeping } from './keep-certificate.ts'
import { JournalCopy } from './journal.ts'
import { inTurn } from './in-turn.ts'
import { setHandoverState } from './keeper-control.ts'
import { thisMachine, type Machine } from './machine.ts'
import {
  authSocket,
  claimFile,
  isEssential,
  journalFolder,
  node,
  presentContainers,
  programsFolder,
  restartReport,
  sessionReport,
  type Container,
} from './places.ts'
import { pauseAfter } from './pace.ts'
import { answers } from './probe.ts'
import { decide, forget, hold, slownessOf, type Patience } from './patience.ts'
import { takeIn } from './serving.ts'
import { Share } from './share.ts'
import { readSlot, type Slot } from './slot.ts'
import { fullOf, lacksOnlyRoom } from './space.ts'
import { newSuccession, succeed, type Succession, type Tell } from './succeed.ts'

const roundMs = 5000
/** While the group moves from slot to slot. */
const hurriedMs = 1000
/** What keepAgent and keepFirewall take, which start a few short programs: a tenth of it is usual. */
const usualMs = 500
/** At the most, where a round takes long. */
const longestPauseMs = 30_000
const longestHurriedMs = 2000
const frontMs = 30_000
const sessionMs = 600_000
const agentUnit = 'qemu-guest-agent.service'
/** There when Proxmox gave the VM a channel for the agent. */
const agentPort = '/dev/virtio-ports/org.qemu.guest_agent.0'

/** What it remembers from one look to the next. */
interface Memory {
  readonly patience: Patience
  readonly front: Fronts
  readonly trouble: ReturnType<typeof thriftily>
  readonly succession: Succession
  readonly keeping: Keeping
}

/** @returns whether the service address is on its way, so that the next round is to be soon */
async function round(
  machine: Machine,
  { seed, image }: Slot,
  { patience, front, trouble, succession }: Memory,
  slowness: number,
  tell: Tell,
): Promise<boolean> {
  const { files, uptime } = machine
  const containers = presentContainers(seed, image)
  const active = isMounted(files)
  const expected = containers.filter((container) => active || container.unit === 'edge')
  const docker = await listContainers(machine)
  let good = docker !== undefined
  for (const container of expected) {
    const state = docker?.find((entry) => entry.name === container.name)?.state
    // A container that its unit has not made yet, or that the unit is stopping, is the unit's business.
    if (state === undefined || state === 'created') {
      forget(patience, container.name)
      if (isEssential(seed, container)) good = false
      continue
    }
    const running = state === 'running' || state === 'restarting' || state === 'paused'
    const seen = !running ? 'ended' : (await trouble(container)) === undefined ? 'answers' : 'silent'
    const roomless = seen !== 'answers' && lacksOnlyRoom(container.name, fullOf(files))
    if (seen !== 'answers' && !roomless && isEssential(seed, container)) good = false
    // Loki gives up when it can't write. As long as there is no room a start would not help it; after that, one does.
    if (seen === 'silent' && roomless) {
      hold(patience, container.name, uptime())
      continue
    }
    // What its unit is starting or stopping is not judged.
    if (seen === 'ended' && !(await mayRestart(machine, container))) {
      forget(patience, container.name)
      continue
    }
    if (decide(patience, container.name, seen, uptime(), slowness) === 'wait') continue
    // Nor may that begin now: what was stopped for a handover would be started again.
    await inTurn(machine, 'golden-watch', () => restart(machine, container, state))
  }
  await keepAuthenticator(machine, patience, slowness)
  // With the claim a slot may serve. Who sent clients away, or kept them waiting, takes them in again.
  if (active && good && files.exists(claimFile))
    await takeIn(machine, { seed }).catch((error: Error) => machine.complain(`nginx does not let clients in: ${error.message}`))
  if (!(await use(machine, seed, active && good, front))) good = false
  files.write(restartReport, JSON.stringify([...patience].filter(([, entry]) => entry.restarts > 0).map(([name]) => name)))
  return succeed(machine, seed, active && good, succession, tell)
}

async function restart(machine: Machine, container: Container, state: string): Promise<void> {
  if (!(await mayRestart(machine, container))) return
  machine.say(`${container.name} does not answer (${state}): restarting it`)
  // Its configuration is in its own home, where its clients may have written.
  if (container.unit === 'serena') await machine.run(node, [join(programsFolder, 'prepare.js'), 'serena'], { shown: true })
  await restartContainer(machine, container.name).catch((error: Error) => machine.complain(error.message))
}

/** What was seen of nginx as its clients use it, and when it is next looked at (of the machine's uptime). */
interface Fronts {
  seen: readonly FrontSeen[]
  due: number
  sessionDue: number
}

/**
 * Goes in as a client, at each round while that fails, and seldom where it works. A whole session is opened now and then:
 * Serena remembers a little of each. @returns whether clients get in to what the slot is for
 */
async function use(machine: Machine, seed: Seed, inService: boolean, front: Fronts): Promise<boolean> {
  const { files } = machine
  const now = machine.uptime()
  const before = front.seen.flatMap(({ problems }) => problems)
  // Who goes in while requests are held waits as they do: no answer then says nothing.
  const parked = readHandover(files)?.state === 'parking'
  if (!parked && (before.length > 0 || now >= front.due)) {
    const seen = await lookAtFronts(machine, seed, readProbe(files))
    for (const problem of seen.flatMap(({ problems }) => problems)) if (!before.includes(problem)) machine.say(problem)
    Object.assign(front, { seen, due: now + frontMs })
  }
  const good = letsIn(seed, front.seen)
  if (!inService) files.write(sessionReport, '[]')
  else if (good && !parked && now >= front.sessionDue) {
    const problems = await sessionProblems(machine, seed, readProbe(files))
    for (const problem of problems) machine.say(problem)
    files.write(sessionReport, JSON.stringify(problems))
    front.sessionDue = now + (problems.length > 0 ? frontMs : sessionMs)
  }
  return good
}

/** nginx lets nobody in without it. What ended is systemd's to start again; what hangs is ours. */
async function keepAuthenticator(machine: Machine, patience: Patience, slowness: number): Promise<void> {
  const seen = (await answers(machine, 'http://golden-auth/health', 5000, authSocket)) ? 'answers' : 'silent'
  if (decide(patience, 'golden-auth', seen, machine.uptime(), slowness) === 'wait') return
  machine.say('golden-auth does not answer: restarting it')
  await machine.run('systemctl', ['restart', '--no-block', 'golden-auth.service'], { shown: true })
}

/** Whoever flushed all rules took ours along; without them the host is open. And Docker's, which it makes only when it starts. */
async function keepFirewall({ run, say }: Machine): Promise<void> {
  const tables = (await run('nft', ['list', 'tables'])).stdout.split('\n')
  if (!tables.includes('table inet golden')) {
    say('the firewall table is gone: loading it again')
    await run('/usr/local/sbin/golden-firewall', [], { shown: true })
  }
  if (tables.includes('table ip nat') || (await run('systemctl', ['is-active', '--quiet', 'docker.service'])).status !== 0) return
  say("Docker's rules are gone: restarting it; the containers go on (live-restore)")
  await run('systemctl', ['restart', 'docker.service'], { shown: true })
}

/** Nothing can be asked of the VM, and no slot changed, without the agent; udev starts it, once, and nobody does so again. */
async function keepAgent({ files, run, say }: Machine): Promise<void> {
  if (!files.exists(agentPort) || (await run('systemctl', ['is-active', '--quiet', agentUnit])).status === 0) return
  say('the guest agent does not run: starting it')
  await run('systemctl', ['start', '--no-block', agentUnit], { shown: true })
}

/** Not while its unit is going down with the data disk, which may have begun since this round did. */
async function mayRestart(machine: Machine, container: Container): Promise<boolean> {
  if (container.unit === 'edge') return true
  return (await machine.run('systemctl', ['is-active', '--quiet', `golden-${container.unit}.service`])).status === 0
}

/** Never ends by itself. @param copyJournal none: the journal is not copied */
export async function watch(
  machine: Machine,
  copyJournal?: (folder: string) => JournalCopy,
  tell: Tell = setHandoverState,
): Promise<never> {
  const { files, uptime } = machine
  const slot = readSlot(files)
  if (!slot) throw new Error('there is no seed')
  const { seed } = slot
  const memory: Memory = {
    patience: new Map(),
    front: { seen: [], due: 0, sessionDue: 0 },
    trouble: thriftily(machine),
    succession: newSuccession(),
    keeping: newKeeping(),
  }
  const journal = seed.loki?.agent === 'otelcol' ? copyJournal?.(journalFolder) : undefined
  const share = seed.logging && seed.roles.includes('logging') ? new Share(machine, { ...seed, logging: seed.logging }) : undefined
  for (;;) {
    const began = uptime()
    if (journal?.running === false) journal.start()
    const looked = uptime()
    await keepAgent(machine)
    await keepFirewall(machine)
    const slowness = slownessOf(uptime() - looked, usualMs)
    if (seed.ntp.length === 0) await keepClock(machine)
    await keepCertificate(machine, slot, memory.keeping).catch((error: Error) => machine.complain(`the certificate: ${error.message}`))
    const hurried = await round(machine, slot, memory, slowness, tell)
    if (share && isMounted(files))
      await share.keep().catch((error: Error) => machine.complain(`Loki's share of the data disk: ${error.message}`))
    const [leastMs, mostMs] = hurried ? [hurriedMs, longestHurriedMs] : [roundMs, longestPauseMs]
    await machine.pause(pauseAfter(uptime() - began, leastMs, mostMs))
  }
}

if (import.meta.main) await watch(thisMachine, (folder) => new JournalCopy(folder))
