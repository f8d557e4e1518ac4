/** What a slot says about itself. */
import type { Status } from '../contract/status.ts'
import { certificateStatus, certificateWarnings } from './certificate-status.ts'
import { deliveryProblems } from './delivery.ts'
import { dataDisk, type DataDisk } from './disk.ts'
import { listContainers, type DockerContainer } from './docker.ts'
import { nic } from './address.ts'
import { frontProblems, readProbe } from './front.ts'
import { readHandover, type HandoverState } from './handover.ts'
import { trouble } from './health.ts'
import { handoverState } from './keeper-control.ts'
import type { Files, Machine } from './machine.ts'
import {
  addressReport,
  cloneReport,
  peerAsked,
  presentContainers,
  restartReport,
  sessionReport,
  shareReport,
  wantedContainers,
  type Container,
  type ContainerName,
} from './places.ts'
import { fetchText } from './probe.ts'
import { readWish, restorePointProblems, restorePointsStatus } from './restore-points.ts'
import type { Slot } from './slot.ts'
import { fullOf, isFull, lacksOnlyRoom, rooms, spaceProblems } from './space.ts'

export type ServiceState = Status['services'][string]['state']

export interface Observation {
  readonly disk: DataDisk
  /** Undefined while Docker does not answer. */
  readonly containers: readonly DockerContainer[] | undefined
  /** Names of the containers that work. */
  readonly answering: ReadonlySet<string>
  /** Why one of the others does not, by its name, where it says so. */
  readonly reasons?: ReadonlyMap<string, string>
  /** Of the network card. */
  readonly addresses: readonly string[]
  /** How far the group is on its way to the other slot. @default not at all */
  readonly handover?: HandoverState | undefined
  /** Undefined where the slot serves none, or nginx does not say. */
  readonly sseClients?: number | undefined
  readonly cloneProblems: readonly string[]
  /** Disks that are nearly full, log lines that do not arrive: nothing stands still for it yet. */
  readonly warnings?: readonly string[]
  /** Disks that have no room for anybody. @default none */
  readonly full?: Status['full']
  /** Whether the data disk has none, not even for Loki. @default false */
  readonly fullForLoki?: boolean
  /** What the slot was told to take the state as. @default now */
  readonly state?: 'now' | 'before'
  /** Undefined without the data disk. */
  readonly restorePoints?: Status['restorePoints']
  /** Undefined where no ACME server is asked. */
  readonly certificate?: Status['certificate']
  /** What keeps the service address away. */
  readonly addressProblems: readonly string[]
  /** What clients would find wrong with nginx and what they reach through it. @default none */
  readonly frontProblems?: readonly string[]
  /** Container names that golden-watch had to restart, so that "does not answer yet" and "stopped answering" differ. */
  readonly restarted: ReadonlySet<string>
}

/** The state of one container: pure. */
export function stateOf(container: Container, seen: Observation): ServiceState {
  const found = seen.containers?.find((entry) => entry.name === container.name)
  // One that has been made and never started is as good as none.
  if (!found || found.state === 'created') return 'absent'
  if (found.state === 'running') {
    if (seen.answering.has(container.name)) return 'running'
    return seen.restarted.has(container.name) ? 'unhealthy' : 'starting'
  }
  return found.state === 'restarting' || found.state === 'dead' ? 'unhealthy' : 'stopped'
}

/** The whole status from one observation: pure. */
export function describe(slot: Slot, seen: Observation): Status {
  const { seed, image } = slot
  const present = presentContainers(seed, image)
  const active = seen.disk === 'mounted'
  const services = Object.fromEntries(present.map((container) => [container.name, { state: stateOf(container, seen) }]))
  const missing = wantedContainers(seed)
    .filter((container) => image.services[container.service] === undefined)
    .map((container): string => container.name)
    .concat(seed.acme !== undefined && image.services.lego === undefined ? ['lego'] : [])
  const expected = present.filter((container) => active || container.unit === 'edge')
  const full = { data: seen.full?.includes('data') === true, forLoki: seen.fullForLoki === true }
  const silent = expected.filter((container) => services[container.name]?.state !== 'running')
  // One that was never made is its unit's failure, whatever the disk.
  const roomless = silent.filter(({ name }) => services[name]?.state !== 'absent' && lacksOnlyRoom(name, full))
  const held = seen.addresses.includes(seed.service)
  const problems = [...(seen.warnings ?? []), ...seen.cloneProblems, ...(held ? [] : seen.addressProblems)]
  if (seen.containers === undefined) problems.push('Docker does not answer')
  if (seen.disk === 'foreign') problems.push("the data disk holds something that is not this project's file system; it is left alone")
  if (missing.some((name) => name !== 'grafana')) problems.push(`the image has no container image for ${missing.join(', ')}`)
  if (held && !active && seen.handover === undefined) problems.push('the service address is still here without the data disk')
  for (const container of silent) {
    const reason = roomless.includes(container) ? 'the data disk has no room for it' : seen.reasons?.get(container.name)
    problems.push(`${container.name} is ${services[container.name]?.state}${reason === undefined ? '' : ` (${reason})`}`)
  }
  // Where nginx itself does not answer, that is said already.
  const front = services.nginx_proxy?.state === 'running' ? (seen.frontProblems ?? []) : []
  problems.push(...front)
  const serves = silent.length === roomless.length && front.length === 0
  return {
    schema: 1,
    release: seed.release,
    image: image.fingerprint,
    group: seed.group,
    slot: seed.slot,
    roles: [...seed.roles],
    active,
    dataDisk: seen.disk,
    services,
    missing,
    serviceAddress: { address: seed.service, held },
    handover: seen.handover ?? 'none',
    healthy: serves && (held || !active),
    serves,
    problems,
    ...(seen.full === undefined ? {} : { full: seen.full }),
    ...(seen.sseClients === undefined ? {} : { sseClients: seen.sseClients }),
    ...(seen.certificate === undefined ? {} : { certificate: seen.certificate }),
    state: seen.state ?? 'now',
    ...(seen.restorePoints === undefined ? {} : { restorePoints: seen.restorePoints }),
  }
}

/** Looks at this machine. */
export async function observe(machine: Machine, slot: Slot): Promise<Observation> {
  const { files } = machine
  const present = presentContainers(slot.seed, slot.image)
  const containers = await listContainers(machine)
  const handover = readHandover(files)?.state
  const running = present.filter((container) => containers?.some((entry) => entry.name === container.name && entry.state === 'running'))
  const hasNginx = running.some((container) => container.name === 'nginx_proxy')
  const [results, front, sseClients] = await Promise.all([
    Promise.all(running.map(async (container) => [container.name, await trouble(machine, container)] as const)),
    // While requests are held, who goes in waits as they do.
    handover !== 'parking' && hasNginx ? frontProblems(machine, slot.seed, readProbe(files)) : [],
    hasNginx && slot.seed.serena?.transports.includes('sse') ? countSse(machine) : undefined,
  ])
  const found = new Map(results)
  const agent = running.find((container) => container.name === 'otelcol')
  const figures = agent && (await fetchText(machine, agent.probe, 5000).catch(() => undefined))
  const disk = await dataDisk(machine)
  const isActive = disk === 'mounted'
  const certificate = certificateStatus(files, slot.seed, isActive)
  return {
    disk,
    containers,
    answering: new Set([...found].filter(([, reason]) => reason === undefined).map(([name]) => name)),
    reasons: new Map([...found].filter((entry): entry is [ContainerName, string] => entry[1] !== undefined && entry[1] !== '')),
    warnings: [
      ...spaceProblems(rooms(files)),
      ...readList(files, shareReport),
      ...(isActive ? restorePointProblems(files, slot.image.fingerprint) : []),
      ...(figures === undefined ? [] : deliveryProblems(figures)),
      ...(certificate === undefined || !isActive ? [] : certificateWarnings(certificate, new Date(machine.now()))),
    ],
    ...(certificate === undefined ? {} : { certificate }),
    state: readWish(files),
    ...(isActive ? { restorePoints: restorePointsStatus(files) } : {}),
    full: rooms(files)
      .filter(isFull)
      .map(({ disk: which }) => which),
    fullForLoki: fullOf(files).forLoki,
    addresses: machine.addresses(nic),
    handover,
    sseClients,
    cloneProblems: readList(files, cloneReport),
    addressProblems: readList(files, addressReport),
    frontProblems: [...front, ...readList(files, sessionReport), ...(certificate === undefined || isActive ? [] : peerProblems(files))],
    restarted: new Set(readList(files, restartReport)),
  }
}

/** Whether the peer slot's certificate is here, before the data comes. */
const peerProblems = (files: Files): string[] =>
  files.exists(peerAsked) ? [] : ['the peer slot has not been asked for its certificate yet']

/** As nginx counts them, of which an image of before may say nothing. */
const countSse = (machine: Machine): Promise<number | undefined> =>
  handoverState(machine).then(
    ({ sse }) => sse,
    () => undefined,
  )

function readList(files: Files, file: string): string[] {
  if (!files.exists(file)) return []
  try {
    return JSON.parse(files.read(file)) as string[]
  } catch {
    return [`${file} can't be read`] // without the parser's words: they quote the file
  }
}
