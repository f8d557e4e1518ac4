/** `slotctl VERB`: JSON on stdout, exit code 0, 1 (refused, failed or not healthy) or 2 (usage). */
import type { Status } from '../contract/status.ts'
import { freeAt, readAcmeState } from './acme-state.ts'
import { certificateStatus } from './certificate-status.ts'
import { showStored } from './certificate.ts'
import { dataDisk, format, isHeld, isMounted, type DataDisk } from './disk.ts'
import { listContainers } from './docker.ts'
import { thisMachine, type Machine } from './machine.ts'
import { containerNetworks } from '../../settings/containers.ts'
import { leave, take } from './handover-address.ts'
import { beginHandover, endHandover, readHandover } from './handover.ts'
import { inTurn } from './in-turn.ts'
import { setHandoverState } from './keeper-control.ts'
import { leaveCarry } from './carry.ts'
import { letEnd, type LetEnd } from './let-go.ts'
import { letIn, untilServing } from './serving.ts'
import { fetchText } from './probe.ts'
import { reach } from './reach.ts'
import { SeedProblem } from './render.ts'
import { writeWish } from './restore-points.ts'
import { selftest } from './selftest.ts'
import { readSlot, type Slot } from './slot.ts'
import { describe, observe } from './status.ts'
import { transfers } from './transfers.ts'
import { work } from './work.ts'

const usage =
  'usage: slotctl status | format | activate [SECONDS] | drain [SECONDS] | yield | let-go [SECONDS] | state now|before | forward | take-over | certificate | selftest | work USER PASSWORD PROJECT | reach [--in CONTAINER] HOST:PORT … | logs QUERY [MINUTES [LIMIT]]'

class Refusal extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** A verb waits so long for another one; whoever asks by the guest agent has twice the patience (rollout/guest.ts). */
const turnMs = 300_000

/** What changes the slot, one after another. What only looks waits for nobody. @throws Refusal `busy` */
async function alone<T>(machine: Machine, verb: string, work: () => Promise<T>): Promise<T> {
  const turn = await inTurn(machine, `slotctl ${verb}`, work, {
    waitMs: turnMs,
    onWait: (by) => machine.complain(`slotctl ${verb} waits: ${by} is at work`),
  })
  if (!turn.came) throw new Refusal('busy', `${turn.by} has been at work here for longer than ${turnMs / 60_000} minutes`)
  return turn.result
}

async function systemctl(machine: Machine, ...args: string[]): Promise<{ ok: boolean; reason: string }> {
  const result = await machine.run('systemctl', args)
  return { ok: result.status === 0, reason: result.stderr.trim() }
}

const status = async (machine: Machine, slot: Slot): Promise<object> => describe(slot, await observe(machine, slot))

async function formatDisk(machine: Machine, slot: Slot): Promise<object> {
  const refused = await format(machine)
  if (refused) throw new Refusal(refused.code, refused.message)
  return status(machine, slot)
}

/** Plugged in a moment before. */
const arrivalMs = 20_000

async function arrivedDisk(machine: Machine): Promise<DataDisk> {
  for (const until = machine.uptime() + arrivalMs; ; await machine.pause(100)) {
    const disk = await dataDisk(machine)
    if (disk !== 'absent' || machine.uptime() >= until) return disk
  }
}

/** @param seconds how long to wait until it serves, in nobody's way; then clients may come in */
async function activate(machine: Machine, slot: Slot, seconds: number): Promise<object> {
  await alone(machine, 'activate', () => begin(machine, slot, seconds))
  if (seconds > 0 && (await untilServing(machine, slot, seconds)))
    // golden-watch does it as soon as nginx answers; that it does not is in the status.
    await alone(machine, 'activate', () =>
      letIn(machine, slot).catch(({ message }: Error) => machine.complain(`nobody is let in: ${message}`)),
    )
  return status(machine, slot)
}

async function begin(machine: Machine, slot: Slot, seconds: number): Promise<void> {
  const disk = await (seconds > 0 ? arrivedDisk(machine) : dataDisk(machine))
  if (disk !== 'ready' && disk !== 'mounted') throw new Refusal(`disk-${disk}`, `the data disk is ${disk}: there is nothing to activate`)
  await systemctl(machine, 'reset-failed', 'srv-golden.mount', 'golden-*')
  const mounted = await systemctl(machine, 'start', 'srv-golden.mount')
  if (!mounted.ok) throw new Refusal('mount-failed', mounted.reason)
  // Of a handover that did not come about: with the data here, clients are this slot's again.
  if (readHandover(machine.files) !== undefined) await endHandover(machine)
  // Before anybody is let in: it may be newer than what the peer slot had to give.
  if (slot.seed.acme !== undefined) showStored(machine, slot.seed)
  await systemctl(machine, 'start', '--no-block', 'golden-active.target')
}

/** Transfers over SSH may end; then no new clients, and the rest of `seconds` for those who wait for an answer. Never fails: who drains goes on either way. */
async function drain(machine: Machine, seconds: number): Promise<object> {
  const end = machine.uptime() + seconds * 1000
  // Their connections go with the address.
  const transfer = transfers(machine)
  while ((await transfer()) > 0 && machine.uptime() < end) await machine.pause(500)
  await systemctl(machine, 'stop', 'golden-address.service')
  for (;;) {
    const busy = await requestsInProgress(machine)
    if (busy === 0 || machine.uptime() >= end) return { schema: 1, drained: busy === 0, requests: busy }
    await machine.pause(500)
  }
}

/** nginx counts the request that asks as well. */
async function requestsInProgress(machine: Machine): Promise<number> {
  const text = await fetchText(machine, 'http://127.0.0.1:8099/activity', 5000).catch(() => 'Writing: 1')
  return Math.max(0, Number(/Writing: (\d+)/.exec(text)?.[1] ?? 1) - 1)
}

/** Those that show a part of the data disk, innermost first. */
const dataMounts = ['opt-golden-jail-srv-golden-projects.mount', 'run-golden-workspaces.mount', 'srv-golden.mount'] as const

/** Containers of a role that still run: each has a mount of the disk of its own. */
async function stillRunning(machine: Machine): Promise<string> {
  const all = await listContainers(machine)
  const containers = all?.filter(({ name, state }) => state === 'running' && /^(serena|loki|grafana)/.test(name)) ?? []
  return containers.length === 0 ? 'something has a file on it open' : `still running: ${containers.map(({ name }) => name).join(', ')}`
}

async function yieldDisk(machine: Machine, slot: Slot): Promise<object> {
  await stopUsers(machine)
  return status(machine, slot)
}

/** Stops what uses the data disk, until the kernel has no more to write to it. @throws Refusal */
async function stopUsers(machine: Machine): Promise<void> {
  const { files } = machine
  const stopped = await systemctl(
    machine,
    'stop',
    'golden-active.target',
    'golden-address.service',
    'golden-serena.service',
    'golden-logging.service',
    'golden-projects.service',
    'golden-restore-point.service',
    'golden-acme.service',
  )
  if (!stopped.ok) throw new Refusal('stop-failed', stopped.reason)
  for (let attempt = 1; isHeld(files); attempt++) {
    if (attempt > 10) throw new Refusal('disk-busy', `the data disk is still in use: ${await stillRunning(machine)}`)
    // People who are in the middle of a transfer over SSH hold the disk; they connect again to the next owner.
    await machine.run('pkill', ['-KILL', '-u', 'projects'])
    // golden-watch's look at how large Loki's folder is (share.ts).
    await machine.run('pkill', ['-KILL', '-x', 'du'])
    await systemctl(machine, 'stop', ...dataMounts)
    if (isHeld(files)) await machine.pause(500)
  }
}

/**
 * Lets go of the data and keeps the clients: they wait, and the service address stays, until the peer slot serves. Where the
 * disk can't be let go of, whoever asked has it activated again.
 */
async function letGo(machine: Machine, slot: Slot, seconds: number): Promise<object> {
  const ended = isMounted(machine.files)
    ? await beginLettingGo(machine, slot, seconds)
    : { drained: true, requests: 0, transfers: 0, parkedMs: 0 }
  const began = machine.uptime()
  await stopUsers(machine)
  return { schema: 1, ...ended, stopMs: Math.round(machine.uptime() - began), status: await status(machine, slot) }
}

async function beginLettingGo(machine: Machine, { seed }: Slot, seconds: number): Promise<LetEnd> {
  await beginHandover(machine)
  const ended = await letEnd(machine, seed, seconds)
  await leaveCarry(machine)
  return ended
}

/** The peer slot serves: what waits goes there, and what comes; then the service address leaves. */
async function forward(machine: Machine, { seed }: Slot): Promise<object> {
  if (isMounted(machine.files)) throw new Refusal('still-owner', 'the data disk is still here')
  await setHandoverState(machine, 'forward')
  if (!(await leave(machine, seed)))
    throw new Refusal('address-stuck', `the service address ${seed.service} does not leave the network card`)
  return { schema: 1, handover: 'left' }
}

async function takeOver(machine: Machine, slot: Slot): Promise<object> {
  if (!(await take(machine, slot.seed)))
    throw new Refusal('address-taken', `another machine in the network answers for the service address ${slot.seed.service}`)
  return { schema: 1, held: true }
}

/** Has the ACME server asked now, by who has mended what was in the way; within its limits (acme-state.ts). */
async function tryCertificate(machine: Machine, { seed }: Slot): Promise<Status['certificate']> {
  const { files } = machine
  if (seed.acme === undefined) throw new Refusal('no-acme', "the public certificate of this site is no ACME server's")
  if (!isMounted(files)) throw new Refusal('not-active', 'the data disk is not here: the slot that has it asks the ACME server')
  const free = freeAt(readAcmeState(files))
  if (free > machine.now())
    throw new Refusal('too-soon', `too many tries have failed within an hour: the next may be at ${new Date(free).toISOString()}`)
  const tried = await systemctl(machine, 'start', 'golden-acme.service')
  if (!tried.ok) throw new Refusal('try-failed', tried.reason)
  return certificateStatus(files, seed, true)
}

/** What this slot takes the services' state as, when the data disk comes: as it is, or as its own image had left it. */
async function takeState(machine: Machine, slot: Slot, wish: string | undefined): Promise<object> {
  if (wish !== 'now' && wish !== 'before') throw new Refusal('usage', usage)
  if (isMounted(machine.files)) throw new Refusal('state-in-use', 'the data disk is here: its state is in use')
  await writeWish(machine, wish)
  return status(machine, slot)
}

async function logs(machine: Machine, slot: Slot, query: string, minutes: number, limit: number): Promise<object> {
  if (!slot.seed.roles.includes('logging')) throw new Refusal('no-loki', 'this VM has no Loki: ask the slot with the role logging')
  const start = (BigInt(machine.now()) - BigInt(Math.round(minutes * 60_000))) * 1_000_000n
  const parameters = new URLSearchParams({ query, start: String(start), limit: String(limit), direction: 'backward' })
  const loki = `http://${containerNetworks(slot.seed.containers).loki}:3100`
  const text = await fetchText(machine, `${loki}/loki/api/v1/query_range?${parameters}`).catch((error: Error) => {
    throw new Refusal('query-failed', `Loki: ${error.message}`)
  })
  const answer = JSON.parse(text) as {
    data: { resultType: string; result: { stream?: object; metric?: object; values: [string | number, string][] }[] }
  }
  return {
    schema: 1,
    type: answer.data.resultType,
    streams: answer.data.result.map((entry) => ({ labels: entry.stream ?? entry.metric ?? {}, entries: entry.values })),
  }
}

function amount(text: string | undefined, fallback: number): number {
  const number = text === undefined ? fallback : Number(text)
  if (!Number.isFinite(number) || number < 0) throw new Refusal('usage', usage)
  return number
}

/** The answer and whether it is a good one. */
async function perform(machine: Machine, args: readonly string[]): Promise<{ answer: object; ok: boolean }> {
  const [verb, ...rest] = args
  const slot = readSlot(machine.files)
  if (!slot) throw new Refusal('no-seed', 'this VM has no seed: it was not deployed')
  const changed = async (work: () => Promise<object>): Promise<{ answer: object; ok: boolean }> => ({
    answer: await alone(machine, verb ?? '', work),
    ok: true,
  })
  switch (verb) {
    case 'status':
      return { answer: await status(machine, slot), ok: true }
    case 'format':
      return changed(() => formatDisk(machine, slot))
    case 'activate':
      return { answer: await activate(machine, slot, amount(rest[0], 0)), ok: true }
    case 'drain': {
      const seconds = amount(rest[0], 20)
      return changed(() => drain(machine, seconds))
    }
    case 'yield':
      return changed(() => yieldDisk(machine, slot))
    case 'let-go': {
      const seconds = amount(rest[0], 60)
      return changed(() => letGo(machine, slot, seconds))
    }
    case 'state':
      return changed(() => takeState(machine, slot, rest[0]))
    case 'forward':
      return changed(() => forward(machine, slot))
    case 'take-over':
      return changed(() => takeOver(machine, slot))
    case 'certificate': {
      const certificate = await tryCertificate(machine, slot)
      return { answer: { schema: 1, certificate }, ok: certificate?.lastError === undefined }
    }
    case 'selftest': {
      const checks = await selftest(machine, slot)
      const ok = checks.every((check) => check.ok)
      return { answer: { schema: 1, ok, checks }, ok }
    }
    case 'work': {
      const [user, password, project] = rest
      if (user === undefined || password === undefined || project === undefined) throw new Refusal('usage', usage)
      const checks = await work(machine, slot.seed, { user, password, project })
      const ok = checks.every((check) => check.ok)
      return { answer: { schema: 1, ok, checks }, ok }
    }
    case 'reach': {
      const [container, targets] = rest[0] === '--in' ? [rest[1], rest.slice(2)] : [undefined, rest]
      const found = await reach(machine, slot.seed, targets, container).catch((error: Error) => {
        throw new Refusal('reach-failed', error.message)
      })
      return { answer: { schema: 1, ...found }, ok: true }
    }
    case 'logs':
      if (rest[0] === undefined) throw new Refusal('usage', usage)
      return { answer: await logs(machine, slot, rest[0], amount(rest[1], 60), amount(rest[2], 100)), ok: true }
    default:
      throw new Refusal('usage', usage)
  }
}

export async function slotctl(machine: Machine, args: readonly string[]): Promise<number> {
  try {
    const { answer, ok } = await perform(machine, args)
    machine.say(JSON.stringify(answer))
    return ok ? 0 : 1
  } catch (problem) {
    // A seed that this image can't use is for whoever asks to read, not for a stack trace.
    const error =
      problem instanceof SeedProblem
        ? new Refusal(problem.code, problem.message)
        : (problem as NodeJS.ErrnoException).code === 'ENOSPC'
          ? new Refusal('no-room', `a disk of this VM is full: ${(problem as Error).message}`)
          : problem
    if (!(error instanceof Refusal)) throw error
    machine.say(JSON.stringify({ schema: 1, error: { code: error.code, message: error.message } }))
    return error.code === 'usage' ? 2 : 1
  }
}

if (import.meta.main) process.exitCode = await slotctl(thisMachine, process.argv.slice(2))
