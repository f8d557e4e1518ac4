/** `slotctl`, as a state machine over the model's disk, units and containers. Answers are JSON as the real one's are. */
import { Filesystem } from '../filesystem.ts'
import type { Guest } from '../guest.ts'
import type { Program, Result } from '../shell.ts'
import { DATA_DEVICE, dataDisk, holdsAddress, isMounted, partsOf, readSlot, stateOf, type ImageRecord, type SlotSeed } from './slot.ts'

const USAGE = 'usage: slotctl status | format | activate | drain [SECONDS] | yield | selftest | logs QUERY [MINUTES [LIMIT]]'

interface Slot {
  readonly seed: SlotSeed
  readonly image: ImageRecord
}

function say(answer: object, exitCode = 0): Result {
  return { stdout: `${JSON.stringify(answer)}\n`, stderr: '', exitCode }
}

function refuse(code: string, message: string): Result {
  return say({ schema: 1, error: { code, message } }, code === 'usage' ? 2 : 1)
}

function status(
  guest: Guest,
  { seed, image }: Slot,
): { services: Record<string, { state: string }>; active: boolean } & Record<string, unknown> {
  const disk = dataDisk(guest)
  const active = disk === 'mounted'
  const wanted = partsOf(seed)
  const present = wanted.filter((part) => image.services[part.service] !== undefined)
  const services = Object.fromEntries(present.map((part) => [part.name, { state: stateOf(guest, part) }]))
  const missing = wanted.filter((part) => !present.includes(part)).map((part) => part.name)
  const silent = present.filter((part) => (active || part.unit === 'edge') && services[part.name]?.state !== 'running')
  const held = holdsAddress(guest, seed.service)
  const problems = [
    ...(guest.docker.running ? [] : ['Docker does not answer']),
    ...(disk === 'foreign' ? ["the data disk holds something that is not this project's file system; it is left alone"] : []),
    ...(missing.some((name) => name !== 'grafana') ? [`the image has no container image for ${missing.join(', ')}`] : []),
    ...(held && !active ? ['the service address is still here without the data disk'] : []),
    ...silent.map((part) => `${part.name} is ${services[part.name]?.state ?? 'absent'}`),
  ]
  return {
    schema: 1,
    release: seed.release,
    image: image.fingerprint,
    group: seed.group,
    slot: seed.slot,
    roles: seed.roles,
    active,
    dataDisk: disk,
    services,
    missing,
    serviceAddress: { address: seed.service, held },
    healthy: silent.length === 0 && (held || !active),
    problems,
  }
}

async function format(guest: Guest, slot: Slot): Promise<Result> {
  const disk = dataDisk(guest)
  const device = guest.deviceAt(DATA_DEVICE)
  if (disk === 'absent' || !device) return refuse('disk-absent', `there is no disk with the serial golden-data (${DATA_DEVICE})`)
  if (disk !== 'blank') return refuse('disk-not-blank', `the data disk is ${disk}: only a disk without any signature is formatted`)
  const filesystem = new Filesystem('ext4', { label: 'golden-data' })
  guest.devices.replace(device.name, { kind: 'filesystem', filesystem })
  guest.refreshDevice(device.name)
  await guest.devices.flush()
  return say(status(guest, slot))
}

async function activate(guest: Guest, slot: Slot): Promise<Result> {
  const disk = dataDisk(guest)
  if (disk !== 'ready' && disk !== 'mounted') return refuse(`disk-${disk}`, `the data disk is ${disk}: there is nothing to activate`)
  guest.systemd.resetFailed()
  const problem = await guest.systemd.start('srv-golden.mount')
  if (problem !== undefined) return refuse('mount-failed', problem)
  void guest.systemd.start('golden-active.target')
  return say(status(guest, slot))
}

async function giveUp(guest: Guest, slot: Slot): Promise<Result> {
  for (const unit of [
    'golden-active.target',
    'golden-address.service',
    'golden-serena.service',
    'golden-logging.service',
    'golden-projects.service',
  ])
    await guest.systemd.stop(unit)
  if (isMounted(guest)) await guest.systemd.stop('srv-golden.mount')
  if (isMounted(guest)) return refuse('disk-busy', "/srv/golden can't be unmounted: something still uses it")
  return say(status(guest, slot))
}

function selftest(guest: Guest, slot: Slot): Result {
  const now = status(guest, slot)
  const checks = [
    ...Object.entries(now.services).map(([name, { state }]) =>
      now.active || ['nginx_proxy', 'otelcol', 'promtail'].includes(name)
        ? { name: `${name} answers`, ok: state === 'running', detail: state }
        : { name: `${name} is not running without the data disk`, ok: state === 'absent' || state === 'stopped', detail: state },
    ),
    { name: 'the firewall table is loaded', ok: guest.firewall.tables.has('inet golden') },
    {
      name: 'the SSH server runs with the host key of the seed',
      ok: guest.sshUp && guest.vfs.exists('/run/golden/ssh/ssh_host_ed25519_key'),
    },
  ]
  const ok = checks.every((check) => check.ok)
  return say(
    { schema: 1, ok, checks: checks.map(({ name, ok: good, ...rest }) => ({ name, ok: good, ...(good ? {} : rest) })) },
    ok ? 0 : 1,
  )
}

export const slotctl: Program = async ([verb, ...rest], run) => {
  const { guest } = run
  const slot = readSlot(guest)
  if (!slot) return refuse('no-seed', 'this VM has no seed: it was not deployed')
  switch (verb) {
    case 'status':
      return say(status(guest, slot))
    case 'format':
      return format(guest, slot)
    case 'activate':
      return activate(guest, slot)
    case 'drain':
      if (rest[0] !== undefined && !(Number(rest[0]) >= 0)) return refuse('usage', USAGE)
      await guest.systemd.stop('golden-address.service')
      return say({ schema: 1, drained: true, requests: 0 })
    case 'yield':
      return giveUp(guest, slot)
    case 'selftest':
      return selftest(guest, slot)
    case 'logs':
      if (rest[0] === undefined) return refuse('usage', USAGE)
      if (!slot.seed.roles.includes('logging')) return refuse('no-loki', 'this VM has no Loki: ask the slot with the role logging')
      if (stateOf(guest, { name: 'loki', service: 'loki', unit: 'logging' }) !== 'running')
        return refuse('query-failed', 'Loki: connect ECONNREFUSED 172.30.0.21:3100')
      return say({ schema: 1, type: 'streams', streams: [] })
    default:
      return refuse('usage', USAGE)
  }
}
