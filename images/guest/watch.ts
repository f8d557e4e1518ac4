/**
 * golden-watch.service: every few seconds it looks at the containers, restarts what stopped answering, goes in as a
 * client does, holds the service address while this slot may and what it is for answers, keeps the firewall's rules, golden-auth,
 * the guest agent and, without NTP servers, the clock, and copies the journal for the log agent.
 * Compose does not restart what is merely unhealthy.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Seed } from '../contract/seed.ts'
import { claim } from './address.ts'
import { keepClock } from './clock.ts'
import { isMounted } from './disk.ts'
import { listContainers, restartContainer } from './docker.ts'
import { letsIn, lookAtFronts, readProbe, sessionProblems, type FrontSeen } from './front.ts'
import { thriftily } from './health.ts'
import { JournalCopy } from './journal.ts'
import {
  addressReport,
  authSocket,
  claimFile,
  isEssential,
  journalFolder,
  presentContainers,
  restartReport,
  sessionReport,
  type Container,
} from './places.ts'
import { pauseAfter } from './pace.ts'
import { answers } from './probe.ts'
import { decide, forget, hold, slownessOf, type Patience } from './patience.ts'
import { Share } from './share.ts'
import { readSlot } from './slot.ts'
import { isFullForLoki, lacksOnlyRoom } from './space.ts'

const roundMs = 5000
/** What keepAgent and keepFirewall take, which start a few short programs: a tenth of it is usual. */
const usualMs = 500
/** At the most, where a round takes long. */
const longestPauseMs = 30_000
const frontMs = 30_000
const sessionMs = 600_000
const trouble = thriftily()
const agentUnit = 'qemu-guest-agent.service'
/** There when Proxmox gave the VM a channel for the agent. */
const agentPort = '/dev/virtio-ports/org.qemu.guest_agent.0'

async function round(seed: Seed, containers: readonly Container[], patience: Patience, front: Fronts, slowness: number): Promise<void> {
  const active = isMounted()
  const expected = containers.filter((container) => active || container.unit === 'edge')
  const docker = await listContainers()
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
    const roomless = seen !== 'answers' && lacksOnlyRoom(container.name, isFullForLoki())
    if (seen !== 'answers' && !roomless && isEssential(seed, container)) good = false
    // Loki gives up when it can't write. As long as there is no room a start would not help it; after that, one does.
    if (seen === 'silent' && roomless) {
      hold(patience, container.name, process.uptime() * 1000)
      continue
    }
    // What its unit is starting or stopping is not judged.
    if (seen === 'ended' && !mayRestart(container)) {
      forget(patience, container.name)
      continue
    }
    if (decide(patience, container.name, seen, process.uptime() * 1000, slowness) === 'wait' || !mayRestart(container)) continue
    console.log(`${container.name} does not answer (${state}): restarting it`)
    // Its configuration is in its own home, where its clients may have written.
    if (container.unit === 'serena') spawnSync(process.execPath, [join(import.meta.dirname, 'prepare.js'), 'serena'], { stdio: 'inherit' })
    await restartContainer(container.name).catch((error: Error) => console.error(error.message))
  }
  await keepAuthenticator(patience, slowness)
  if (!(await use(seed, active && good, front))) good = false
  writeFileSync(restartReport, JSON.stringify([...patience].filter(([, entry]) => entry.restarts > 0).map(([name]) => name)))
  // Told by `slotctl status`: otherwise one would only see that the slot does not get ready.
  const taken = active && good && !claim(seed.service) && existsSync(claimFile)
  writeFileSync(
    addressReport,
    JSON.stringify(taken ? [`another machine in the network answers for the service address ${seed.service}`] : []),
  )
}

/** What was seen of nginx as its clients use it, and when it is next looked at (milliseconds since the boot). */
interface Fronts {
  seen: readonly FrontSeen[]
  due: number
  sessionDue: number
}

/**
 * Goes in as a client, at each round while that fails, and seldom where it works. A whole session is opened now and then:
 * Serena remembers a little of each. @returns whether clients get in to what the slot is for
 */
async function use(seed: Seed, inService: boolean, front: Fronts): Promise<boolean> {
  const now = process.uptime() * 1000
  const before = front.seen.flatMap(({ problems }) => problems)
  if (before.length > 0 || now >= front.due) {
    const seen = await lookAtFronts(seed, readProbe())
    for (const problem of seen.flatMap(({ problems }) => problems)) if (!before.includes(problem)) console.log(problem)
    Object.assign(front, { seen, due: now + frontMs })
  }
  const good = letsIn(seed, front.seen)
  if (!inService) writeFileSync(sessionReport, '[]')
  else if (good && now >= front.sessionDue) {
    const problems = await sessionProblems(seed, readProbe())
    for (const problem of problems) console.log(problem)
    writeFileSync(sessionReport, JSON.stringify(problems))
    front.sessionDue = now + (problems.length > 0 ? frontMs : sessionMs)
  }
  return good
}

/** nginx lets nobody in without it. What ended is systemd's to start again; what hangs is ours. */
async function keepAuthenticator(patience: Patience, slowness: number): Promise<void> {
  const seen = (await answers('http://golden-auth/health', 5000, authSocket)) ? 'answers' : 'silent'
  if (decide(patience, 'golden-auth', seen, process.uptime() * 1000, slowness) === 'wait') return
  console.log('golden-auth does not answer: restarting it')
  spawnSync('systemctl', ['restart', '--no-block', 'golden-auth.service'], { stdio: 'inherit' })
}

/** Whoever flushed all rules took ours along; without them the host is open. And Docker's, which it makes only when it starts. */
function keepFirewall(): void {
  const tables = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' }).stdout?.split('\n') ?? []
  if (!tables.includes('table inet golden')) {
    console.log('the firewall table is gone: loading it again')
    spawnSync('/usr/local/sbin/golden-firewall', { stdio: 'inherit' })
  }
  if (tables.includes('table ip nat') || spawnSync('systemctl', ['is-active', '--quiet', 'docker.service']).status !== 0) return
  console.log("Docker's rules are gone: restarting it; the containers go on (live-restore)")
  spawnSync('systemctl', ['restart', 'docker.service'], { stdio: 'inherit' })
}

/** Nothing can be asked of the VM, and no slot changed, without the agent; udev starts it, once, and nobody does so again. */
function keepAgent(): void {
  if (!existsSync(agentPort) || spawnSync('systemctl', ['is-active', '--quiet', agentUnit]).status === 0) return
  console.log('the guest agent does not run: starting it')
  spawnSync('systemctl', ['start', '--no-block', agentUnit], { stdio: 'inherit' })
}

/** Not while its unit is going down with the data disk, which may have begun since this round did. */
function mayRestart(container: Container): boolean {
  if (container.unit === 'edge') return true
  return spawnSync('systemctl', ['is-active', '--quiet', `golden-${container.unit}.service`]).status === 0
}

const slot = readSlot()
if (!slot) throw new Error('there is no seed')
const containers = presentContainers(slot.seed, slot.image)
const patience: Patience = new Map()
const front: Fronts = { seen: [], due: 0, sessionDue: 0 }
const journal = slot.seed.loki?.agent === 'otelcol' ? new JournalCopy(journalFolder) : undefined
const share = slot.seed.logging && slot.seed.roles.includes('logging') ? new Share({ ...slot.seed, logging: slot.seed.logging }) : undefined
for (;;) {
  const began = process.uptime()
  if (journal?.running === false) journal.start()
  const looked = process.uptime()
  keepAgent()
  keepFirewall()
  const slowness = slownessOf((process.uptime() - looked) * 1000, usualMs)
  if (slot.seed.ntp.length === 0) keepClock()
  await round(slot.seed, containers, patience, front, slowness)
  if (share && isMounted()) await share.keep().catch((error: Error) => console.error(`Loki's share of the data disk: ${error.message}`))
  const tookMs = (process.uptime() - began) * 1000
  await pause(pauseAfter(tookMs, roundMs, longestPauseMs))
}
