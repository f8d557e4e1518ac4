/** `slotctl VERB`: JSON on stdout, exit code 0, 1 (refused, failed or not healthy) or 2 (usage). */
import { spawnSync } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { dataDisk, format, isHeld } from './disk.ts'
import { listContainers } from './docker.ts'
import { containerNetworks } from '../../settings/containers.ts'
import { fetchText } from './probe.ts'
import { SeedProblem } from './render.ts'
import { selftest } from './selftest.ts'
import { readSlot, type Slot } from './slot.ts'
import { describe, observe } from './status.ts'

const usage = 'usage: slotctl status | format | activate | drain [SECONDS] | yield | selftest | logs QUERY [MINUTES [LIMIT]]'

class Refusal extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

function systemctl(...args: string[]): { ok: boolean; reason: string } {
  const result = spawnSync('systemctl', args, { encoding: 'utf8' })
  return { ok: result.status === 0, reason: (result.stderr ?? '').trim() }
}

const status = async (slot: Slot): Promise<object> => describe(slot, await observe(slot))

async function activate(slot: Slot): Promise<object> {
  const disk = dataDisk()
  if (disk !== 'ready' && disk !== 'mounted') throw new Refusal(`disk-${disk}`, `the data disk is ${disk}: there is nothing to activate`)
  systemctl('reset-failed', 'srv-golden.mount', 'golden-*')
  const mounted = systemctl('start', 'srv-golden.mount')
  if (!mounted.ok) throw new Refusal('mount-failed', mounted.reason)
  systemctl('start', '--no-block', 'golden-active.target')
  return status(slot)
}

/** No new clients, then up to `seconds` for those who wait for an answer. Never fails: who drains goes on either way. */
async function drain(seconds: number): Promise<object> {
  systemctl('stop', 'golden-address.service')
  const end = Date.now() + seconds * 1000
  for (;;) {
    const busy = await requestsInProgress()
    if (busy === 0 || Date.now() >= end) return { schema: 1, drained: busy === 0, requests: busy }
    await pause(500)
  }
}

/** nginx counts the request that asks as well. */
async function requestsInProgress(): Promise<number> {
  const text = await fetchText('http://127.0.0.1:8099/activity', 5000).catch(() => 'Writing: 1')
  return Math.max(0, Number(/Writing: (\d+)/.exec(text)?.[1] ?? 1) - 1)
}

/** Those that show a part of the data disk, innermost first. */
const dataMounts = ['opt-golden-jail-srv-golden-projects.mount', 'run-golden-workspaces.mount', 'srv-golden.mount'] as const

/** Containers of a role that still run: each has a mount of the disk of its own. */
async function stillRunning(): Promise<string> {
  const containers = (await listContainers())?.filter(({ name, state }) => state === 'running' && /^(serena|loki|grafana)/.test(name)) ?? []
  return containers.length === 0 ? 'something has a file on it open' : `still running: ${containers.map(({ name }) => name).join(', ')}`
}

async function yieldDisk(slot: Slot): Promise<object> {
  const stopped = systemctl(
    'stop',
    'golden-active.target',
    'golden-address.service',
    'golden-serena.service',
    'golden-logging.service',
    'golden-projects.service',
  )
  if (!stopped.ok) throw new Refusal('stop-failed', stopped.reason)
  for (let attempt = 1; isHeld(); attempt++) {
    if (attempt > 10) throw new Refusal('disk-busy', `the data disk is still in use: ${await stillRunning()}`)
    // People who are in the middle of a transfer over SSH hold the disk; they connect again to the next owner.
    spawnSync('pkill', ['-KILL', '-u', 'projects'])
    // golden-watch's look at how large Loki's folder is (share.ts).
    spawnSync('pkill', ['-KILL', '-x', 'du'])
    systemctl('stop', ...dataMounts)
    if (isHeld()) await pause(500)
  }
  return status(slot)
}

async function logs(slot: Slot, query: string, minutes: number, limit: number): Promise<object> {
  if (!slot.seed.roles.includes('logging')) throw new Refusal('no-loki', 'this VM has no Loki: ask the slot with the role logging')
  const start = (BigInt(Date.now()) - BigInt(Math.round(minutes * 60_000))) * 1_000_000n
  const parameters = new URLSearchParams({ query, start: String(start), limit: String(limit), direction: 'backward' })
  const text = await fetchText(`http://${containerNetworks(slot.seed.containers).loki}:3100/loki/api/v1/query_range?${parameters}`).catch(
    (error: Error) => {
      throw new Refusal('query-failed', `Loki: ${error.message}`)
    },
  )
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
async function perform(args: readonly string[]): Promise<{ answer: object; ok: boolean }> {
  const [verb, ...rest] = args
  const slot = readSlot()
  if (!slot) throw new Refusal('no-seed', 'this VM has no seed: it was not deployed')
  switch (verb) {
    case 'status':
      return { answer: await status(slot), ok: true }
    case 'format': {
      const refused = format()
      if (refused) throw new Refusal(refused.code, refused.message)
      return { answer: await status(slot), ok: true }
    }
    case 'activate':
      return { answer: await activate(slot), ok: true }
    case 'drain':
      return { answer: await drain(amount(rest[0], 20)), ok: true }
    case 'yield':
      return { answer: await yieldDisk(slot), ok: true }
    case 'selftest': {
      const checks = await selftest(slot)
      const ok = checks.every((check) => check.ok)
      return { answer: { schema: 1, ok, checks }, ok }
    }
    case 'logs':
      if (rest[0] === undefined) throw new Refusal('usage', usage)
      return { answer: await logs(slot, rest[0], amount(rest[1], 60), amount(rest[2], 100)), ok: true }
    default:
      throw new Refusal('usage', usage)
  }
}

try {
  const { answer, ok } = await perform(process.argv.slice(2))
  console.log(JSON.stringify(answer))
  process.exitCode = ok ? 0 : 1
} catch (problem) {
  // A seed that this image can't use is for whoever asks to read, not for a stack trace.
  const error = problem instanceof SeedProblem ? new Refusal(problem.code, problem.message) : problem
  if (!(error instanceof Refusal)) throw error
  console.log(JSON.stringify({ schema: 1, error: { code: error.code, message: error.message } }))
  process.exitCode = error.code === 'usage' ? 2 : 1
}
