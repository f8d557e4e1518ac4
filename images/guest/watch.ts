/**
 * golden-watch.service: every few seconds it looks at the containers, restarts what stopped answering, and holds the
 * service address while this slot may and its services answer, and keeps the firewall's table. Compose does not restart what is merely unhealthy.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { claim } from './address.ts'
import { isMounted } from './disk.ts'
import { listContainers, restartContainer } from './docker.ts'
import { presentContainers, restartReport, type Container } from './places.ts'
import { answers } from './probe.ts'
import { decide, forget, type Patience } from './patience.ts'
import { readSlot } from './slot.ts'

const roundMs = 5000

async function round(containers: readonly Container[], service: string, patience: Patience): Promise<void> {
  const active = isMounted()
  const expected = containers.filter(container => active || container.unit === 'edge')
  const docker = await listContainers()
  let good = docker !== undefined
  for (const container of expected) {
    const state = docker?.find(entry => entry.name === container.name)?.state
    // A container that its unit has not made yet, or that the unit is stopping, is the unit's business.
    if (state === undefined || state === 'created') {
      forget(patience, container.name)
      good = false
      continue
    }
    const running = state === 'running' || state === 'restarting' || state === 'paused'
    const seen = !running ? 'ended' : (await answers(container.probe)) ? 'answers' : 'silent'
    if (seen !== 'answers') good = false
    // What its unit is starting or stopping is not judged.
    if (seen === 'ended' && !mayRestart(container)) {
      forget(patience, container.name)
      continue
    }
    if (decide(patience, container.name, seen, process.uptime() * 1000) === 'wait' || !mayRestart(container)) continue
    console.log(`${container.name} does not answer (${state}): restarting it`)
    await restartContainer(container.name).catch((error: Error) => console.error(error.message))
  }
  writeFileSync(restartReport, JSON.stringify([...patience].filter(([, entry]) => entry.restarts > 0).map(([name]) => name)))
  if (active && good) claim(service)
}

/** Whoever flushed all rules took ours along; without them the host is open. */
function keepFirewall(): void {
  if (spawnSync('nft', ['list', 'table', 'inet', 'golden'], { stdio: 'ignore' }).status === 0) return
  console.log('the firewall table is gone: loading it again')
  spawnSync('/usr/local/sbin/golden-firewall', { stdio: 'inherit' })
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
for (let count = 0; ; count++) {
  if (count % 12 === 0) keepFirewall()
  await round(containers, slot.seed.service, patience)
  await pause(roundMs)
}
