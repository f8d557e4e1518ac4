/**
 * Runs in a network namespace of its own (see keeper.test.ts): real nginx with a slot's configuration and its session
 * keeper, and behind it a stand-in for Serena that can forget its sessions, stop and come back; or Serena itself.
 * Arguments: a file with the order, and one for what came back.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { openMcp } from '../../clients/mcp.ts'
import { numberedConnection, toolClients } from '../../demo/traffic/clients.ts'
import { countNumbers } from '../../demo/traffic/numbers.ts'
import { summarize } from '../../demo/traffic/summary.ts'
import { startTraffic } from '../../demo/traffic/traffic.ts'
import type { Handover } from '../../images/guest/keeper-control.ts'
import { startAuth } from './golden-auth.ts'
import { askAt, call, initialize, type Reply } from './mcp-ask.ts'
import { connectClient, killSerena, startSerena, type SerenaOrder } from './serena-process.ts'
import { StandIn } from './stand-in.ts'

export interface Order {
  /** Starts nginx. */
  readonly nginx: readonly string[]
  /** The slot's `/run/golden`, for golden-auth. */
  readonly golden: string
  readonly host: string
  readonly scenario: 'forgets' | 'away' | 'serena' | 'clients'
  readonly serena?: SerenaOrder
  /** What the demo's clients need. */
  readonly clients?: { readonly python: string; readonly caFile: string }
}

const [, , orderFile = '', answersFile = ''] = process.argv
const order = JSON.parse(readFileSync(orderFile, 'utf8')) as Order
const at = '172.30.0.11'

execFileSync('ip', ['link', 'set', 'lo', 'up'])
execFileSync('ip', ['address', 'add', `${at}/32`, 'dev', 'lo'])
writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', '80')

/** @param from the client's own address: nginx counts those of each */
const ask = (method: string, body?: object, session?: string, user = 'me', from = 1): Promise<Reply> =>
  askAt(order.host, {
    method,
    user,
    from: `127.0.0.${from}`,
    ...(body === undefined ? {} : { body }),
    ...(session === undefined ? {} : { session }),
  })

async function forgets(serena: StandIn): Promise<unknown> {
  await serena.start()
  const opened = await ask('POST', initialize)
  const id = opened.session ?? ''
  await ask('POST', { jsonrpc: '2.0', method: 'notifications/initialized' }, id)
  const before = await ask('POST', call('activate_project', { project: 'one' }), id)
  const others = { get: await ask('GET', undefined, id), foreign: await ask('POST', call('x'), id, 'other') }
  const forged = [
    await ask('POST', call('x'), 's1'),
    await ask('POST', call('x'), `${id.slice(0, -1)}x`),
    await ask('POST', call('x'), '.'),
  ]
  serena.sessions.clear()
  serena.heard.length = 0
  const after = await ask('POST', call('look'), id)
  const heard = [...serena.heard]
  serena.sessions.clear()
  serena.heard.length = 0
  const together = await Promise.all(Array.from({ length: 20 }, (_, index) => ask('POST', call('look', {}, index), id)))
  const openings = serena.heard.filter((line) => line.startsWith('initialize')).length
  const ended = await ask('DELETE', undefined, id)
  const afterEnd = await ask('POST', call('look'), id)
  await serena.stop()
  serena.heard.length = 0
  await serena.start()
  const withoutSession = await Promise.all(Array.from({ length: 5 }, (_, index) => ask('POST', call('stateless', {}, index))))
  const told = [...serena.heard]
  return { opened, before, ...others, forged, after, heard, together, openings, ended, afterEnd, withoutSession, told }
}

async function away(serena: StandIn): Promise<unknown> {
  await serena.start()
  const id = (await ask('POST', initialize)).session ?? ''
  const broken = await ask('POST', call('break'), id)
  const times = serena.heard.filter((line) => line.startsWith('break')).length
  await serena.stop()
  const waiting = [ask('POST', call('look'), id), ask('POST', initialize), ask('POST', call('look', { large: 'x'.repeat(2_000_000) }), id)]
  await pause(3000)
  await serena.start()
  const waited = await Promise.all(waiting)
  // Each address is known by its password once.
  for (const from of [1, 2, 3, 4]) await ask('POST', call('look'), id, 'me', from)
  await serena.stop()
  // Serena is there for the look at her, and gone again when the call comes: as often as it is tried.
  const flickering = await flicker(serena, () => ask('POST', call('stateless')))
  // Not all at once: on a busy machine this process would take longer for their handshakes than nginx waits for a request.
  const before = await gate()
  const calls: Promise<Reply>[] = []
  while (calls.length < 260) {
    for (let index = 0; index < 20; index++) calls.push(ask('POST', call('look', {}, calls.length), id, 'me', (index % 4) + 1))
    for (let seen = before; seen.parked + seen.refused - before.refused < calls.length; seen = await gate()) await pause(20)
  }
  const crowd = (await Promise.all(calls)).sort((a, b) => a.ms - b.ms)
  return {
    broken,
    times,
    flickering,
    waited,
    crowd: {
      statuses: [...new Set(crowd.map(({ status }) => status))],
      early: crowd.filter(({ ms }) => ms < 15_000).length,
      last: crowd.at(-1)?.ms,
    },
  }
}

/** @param serena stopped, and again at the end */
async function flicker(serena: StandIn, work: () => Promise<Reply>): Promise<Reply> {
  let over = false
  const reply = work().finally(() => (over = true))
  while (!over) {
    await pause(500)
    const before = serena.heard.length
    await serena.start()
    while (!over && serena.heard.length === before) await pause(1)
    await serena.stop()
  }
  return reply
}

/** The official client, with a call before and after Serena was killed; the second one while there is none. */
async function withSerena(serena: SerenaOrder): Promise<unknown> {
  let child = await startSerena(serena, at)
  const client = await connectClient(order.host)
  const look = (): ReturnType<typeof client.use> => client.use('list_dir', { relative_path: '.', recursive: false })
  try {
    const id = client.session()
    const activated = await client.use('activate_project', { project: serena.project, session: 'test' })
    const first = await look()
    await killSerena(child)
    const second = look()
    child = await startSerena(serena, at)
    const answers = { activated, first, second: await second, third: await look() }
    return { ...answers, sameId: client.session() === id, idLength: id?.length }
  } finally {
    await client.close()
    await killSerena(child)
  }
}

/** What becomes of calls, as the slot's own programs say it and are told. */
async function gate(state?: 'park' | 'open'): Promise<Handover> {
  const body = state === undefined ? {} : { method: 'PUT', body: JSON.stringify({ state }) }
  return (await (await fetch('http://127.0.0.1:8099/handover', body)).json()) as Handover
}

/** The demo's traffic, a few rounds of it. */
async function withClients({ serena, clients }: Required<Pick<Order, 'serena' | 'clients'>>): Promise<unknown> {
  // The demo's clients go by the name alone.
  const hosts = `${answersFile}.hosts`
  writeFileSync(hosts, `127.0.0.1 localhost ${order.host}\n`)
  execFileSync('mount', ['--bind', hosts, '/etc/hosts'])
  let child = await startSerena(serena, at)
  const target = {
    url: `https://${order.host}/mcp`,
    user: 'me',
    password: 'right',
    caPem: readFileSync(clients.caFile, 'utf8'),
    ...clients,
    call: { tool: 'read_file', arguments: { relative_path: 'index.html' }, expected: '<p>' },
  }
  const activating = await openMcp({ ...target, transport: 'streamable-http' })
  await activating.call('activate_project', { project: serena.project, session: 'test' })
  await activating.close()
  const kept = numberedConnection(target, 'test', 200)
  const traffic = startTraffic([...toolClients(target, 1000), kept], new AbortController().signal)
  try {
    for (let round = 0; round < 3; round++) await traffic.round()
    // Whose call she is at when she ends has to be told so: nobody's.
    await gate('park')
    while ((await gate()).busy > 0) await pause(20)
    await killSerena(child)
    child = await startSerena(serena, at)
    await gate('open')
    for (let round = 0; round < 3; round++) await traffic.round()
  } finally {
    await traffic.stop()
    await killSerena(child)
  }
  const { calls } = traffic.record
  const { opened, closedByAnswer, closedIdle, answered } = kept
  return {
    clients: summarize(calls),
    failures: calls.flatMap(({ client, error }) => (error === undefined ? [] : `${client}: ${error}`)),
    connection: { opened, closedByAnswer, closedIdle, answered, logged: [...countNumbers([log], kept).keys()] },
  }
}

const auth = await startAuth(order.golden)
const [program = '', ...rest] = order.nginx
const nginx = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
/** What nginx has logged. */
let log = ''
nginx.stdout.setEncoding('utf8').on('data', (part: string) => {
  log += part
  process.stdout.write(part)
})
const ended = once(nginx, 'exit')
try {
  for (;;) {
    if (nginx.exitCode !== null) throw new Error('nginx ended')
    const answers = await fetch('http://127.0.0.1:8099/health').then(
      () => true,
      () => false,
    )
    if (answers) break
    await pause(50) // it is starting
  }
  const standIn = new StandIn(at)
  const { serena, clients } = order
  const said = await {
    serena: () => withSerena(serena!),
    clients: () => withClients({ serena: serena!, clients: clients! }),
    away: () => away(standIn),
    forgets: () => forgets(standIn),
  }[order.scenario]()
  writeFileSync(answersFile, JSON.stringify(said))
} finally {
  auth.kill('SIGKILL')
  nginx.kill('SIGKILL')
  await ended
}
process.exit()
