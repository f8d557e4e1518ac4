/**
 * The containers of one unit: `unit.js start|stop edge|serena|logging`. All of them are made when the edge starts, while
 * there may be no data disk yet: what a slot does while clients wait for it, it then does by two short questions to Docker
 * instead of two runs of Compose.
 */
import { startContainer, stopContainer } from './docker.ts'
import { thisMachine, type Machine } from './machine.ts'
import { dataFolder, presentContainers, workspacesFolder, type Container } from './places.ts'
import { readSlot } from './slot.ts'

type Unit = Container['unit']

const units: readonly string[] = ['edge', 'serena', 'logging'] satisfies Unit[]

/** What compose.yaml mounts of the data disk must exist before Docker makes a container of it. */
const mounted: Readonly<Record<Unit, readonly string[]>> = {
  edge: [],
  serena: [workspacesFolder, `${dataFolder}/serena`],
  logging: [`${dataFolder}/loki`, `${dataFolder}/grafana`],
}

/** @param how of `docker compose up` */
async function compose(machine: Machine, how: '--detach' | '--no-start', containers: readonly Container[]): Promise<string | undefined> {
  const names = containers.map(({ name }) => name)
  const ran = await machine.run('/usr/local/sbin/golden-compose', ['up', how, '--no-build', ...names], { shown: true })
  return ran.status === 0 ? undefined : `docker compose up ${how} ${names.join(' ')} ended with ${ran.status ?? ran.error}`
}

/** Whether Docker has all of them and starts them as they are. */
async function started(machine: Machine, containers: readonly Container[]): Promise<boolean> {
  const outcomes = await Promise.allSettled(containers.map(({ name }) => startContainer(machine, name)))
  for (const outcome of outcomes) if (outcome.status === 'rejected') machine.complain((outcome.reason as Error).message)
  return outcomes.every(({ status }) => status === 'fulfilled')
}

/** Compose makes anew what is not as compose.yaml says, and leaves alone what is. */
async function makeAll(machine: Machine, containers: readonly Container[]): Promise<void> {
  const { files } = machine
  for (const path of new Set(containers.flatMap(({ unit }) => mounted[unit]))) if (!files.exists(path)) files.mkdir(path, 0o755)
  const problem = await compose(machine, '--no-start', containers)
  // What this unit needs may be there all the same.
  if (problem !== undefined) machine.complain(problem)
}

async function start(machine: Machine, unit: Unit, all: readonly Container[]): Promise<number> {
  if (unit === 'edge') await makeAll(machine, all)
  const own = all.filter((container) => container.unit === unit)
  if (own.length === 0 || (await started(machine, own))) return 0
  // Somebody has removed one, or it can't be started as it was made.
  const problem = await compose(machine, '--detach', own)
  if (problem !== undefined) machine.complain(problem)
  return problem === undefined ? 0 : 1
}

/** Each has its own time to end (`stop_grace_period`). */
async function stop(machine: Machine, unit: Unit, all: readonly Container[]): Promise<number> {
  const own = all.filter((container) => container.unit === unit)
  const outcomes = await Promise.allSettled(own.map(({ name }) => stopContainer(machine, name)))
  const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [(outcome.reason as Error).message] : []))
  for (const reason of refused) machine.complain(reason)
  return refused.length === 0 ? 0 : 1
}

export async function unit(machine: Machine, [verb, of = '']: readonly string[]): Promise<number> {
  if ((verb !== 'start' && verb !== 'stop') || !units.includes(of)) throw new Error('usage: unit.js start|stop edge|serena|logging')
  const slot = readSlot(machine.files)
  if (!slot) throw new Error('there is no seed')
  return (verb === 'start' ? start : stop)(machine, of as Unit, presentContainers(slot.seed, slot.image))
}

if (import.meta.main) process.exitCode = await unit(thisMachine, process.argv.slice(2))
