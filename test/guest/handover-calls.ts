/**
 * Runs in a network namespace of its own (see handover.test.ts), which is the old slot; a second one is the new slot. Real
 * nginx in both, and stand-ins for what is behind them, all in this program: the new slot's are reached over the wire
 * between the two. Arguments: a file with the order, and one for what came back.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { Agent } from 'node:https'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { handoverState, peerOwner, readCarry, setHandoverState, writeCarry, type Handover } from '../../images/guest/keeper-control.ts'
import { probeUser } from '../../images/guest/authenticator.ts'
import { thisMachine, type Machine } from '../../images/guest/machine.ts'
import { frontProblems } from '../../images/guest/front.ts'
import type { Seed } from '../../images/contract/seed.ts'
import { containerNetworks } from '../../settings/containers.ts'
import { startAuth } from './golden-auth.ts'
import { askAt, call, initialize, type Asked, type Reply } from './mcp-ask.ts'
import { connectClient, killSerena, startSerena, type SerenaOrder } from './serena-process.ts'
import { StandIn } from './stand-in.ts'

export interface SlotOrder {
  readonly address: string
  /** Starts its nginx. */
  readonly nginx: readonly string[]
  /** Its `/run/golden`. */
  readonly golden: string
  readonly containers?: string
}

export interface Order {
  readonly scenario: 'moves' | 'bounds' | 'unreachable' | 'forged' | 'owner' | 'serena'
  readonly host: string
  /** Of the old slot. */
  readonly seed: Seed
  readonly old: SlotOrder
  readonly new: SlotOrder
  /** What the slots know each other by. */
  readonly peer: { readonly cert: string; readonly key: string }
  readonly serena?: SerenaOrder
}

const [, , orderFile = '', answersFile = ''] = process.argv
const order = JSON.parse(readFileSync(orderFile, 'utf8')) as Order
/** In the old slot's network, but nobody's: for strangers. */
const stranger = '10.77.0.99'
const relayPort = 18_099

const ip = (...args: string[]): Buffer => execFileSync('ip', args)
const lowPorts = 'echo 80 > /proc/sys/net/ipv4/ip_unprivileged_port_start'

/** A namespace that lasts as long as this program. */
async function secondNetwork(): Promise<readonly string[]> {
  const holder = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '--net', '--', 'sh', '-c', 'echo; exec sleep infinity'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(holder.stdout, 'data')
  const enter = ['nsenter', `--net=/proc/${holder.pid}/ns/net`, '--']
  const there = (...args: string[]): Buffer => execFileSync(enter[0]!, [...enter.slice(1), ...args])
  ip('link', 'set', 'lo', 'up')
  execFileSync('sh', ['-c', lowPorts])
  ip('link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', String(holder.pid))
  for (const address of [order.old.address, stranger]) ip('address', 'add', `${address}/24`, 'dev', 'wire')
  ip('link', 'set', 'wire', 'up')
  for (const { containers } of [order.old, order.new]) {
    const at = containerNetworks(containers)
    for (const address of [at.serenaMcp, at.serenaMcpSse, at.loki, at.grafana]) ip('address', 'add', `${address}/32`, 'dev', 'lo')
  }
  there('ip', 'link', 'set', 'lo', 'up')
  there('ip', 'address', 'add', `${order.new.address}/24`, 'dev', 'wire')
  there('ip', 'link', 'set', 'wire', 'up')
  there('ip', 'route', 'add', 'default', 'via', order.old.address)
  there('sh', '-c', lowPorts)
  return enter
}

/** What is for that host alone, brought out of it. */
async function relay(enter: readonly string[]): Promise<void> {
  const program = `const net = require('net')
    net.createServer((from) => {
      const to = net.connect(8099, '127.0.0.1')
      from.pipe(to).pipe(from)
      from.on('error', () => to.destroy())
      to.on('error', () => from.destroy())
    }).listen(${relayPort}, '${order.new.address}', () => console.log('ready'))`
  const child = spawn(enter[0]!, [...enter.slice(1), 'setpriv', '--pdeathsig', 'KILL', process.execPath, '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
}

const machineAt = (host: string, port: number): Machine => ({
  ...thisMachine,
  ask: (question) => thisMachine.ask({ ...question, to: { host, port } }),
})
const oldSlot = machineAt('127.0.0.1', 8099)
const newSlot = machineAt(order.new.address, relayPort)

interface Nginx {
  /** Its access log. */
  readonly lines: string[]
  stop(): Promise<void>
}

async function startNginx({ nginx }: SlotOrder, machine: Machine, enter: readonly string[] = []): Promise<Nginx> {
  const [program = '', ...args] = [...enter, ...nginx]
  const child: ChildProcess = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: string[] = []
  child.stdout!.setEncoding('utf8').on('data', (part: string) => {
    for (const line of part.split('\n')) if (line.startsWith('{')) lines.push(line)
    if (!part.startsWith('{')) process.stderr.write(part)
  })
  await until('nginx answers', async () => {
    if (child.exitCode !== null) throw new Error('nginx ended')
    return machine.ask({ to: { host: '', port: 0 }, path: '/health', timeoutMs: 1000 }).then(
      ({ status }) => status === 200,
      () => false,
    )
  })
  return {
    lines,
    async stop() {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function until(what: string, is: () => boolean | Promise<boolean>, seconds = 20): Promise<void> {
  for (const end = performance.now() + seconds * 1000; !(await is()); await pause(20))
    if (performance.now() > end) throw new Error(`in vain: ${what}`)
}

const ask = (asked: Asked = {}): Promise<Reply> => askAt(order.host, asked)
const outcome = (asked: Asked): Promise<number | string | undefined> =>
  ask(asked).then(
    ({ status }) => status,
    (error: NodeJS.ErrnoException) => error.code,
  )
const logging = (path: string, method: string): Asked => ({ port: 8443, path, method, user: 'promtail', name: '' })

/** Clients that call again and again, each on a connection that it keeps, until they are stopped. */
function steady(sessions: readonly string[]): { readonly replies: readonly Reply[]; stop(): Promise<readonly Reply[]> } {
  let stopped = false
  const replies: Reply[] = []
  const clients = sessions.map(async (session, index) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (let id = 0; !stopped; id++) {
      replies.push(await ask({ body: call('look', {}, id), session, agent, from: `127.0.0.${index + 10}` }))
      await pause(60) // nginx lets each address do so much a second
    }
    agent.destroy()
  })
  return {
    replies,
    async stop() {
      stopped = true
      await Promise.all(clients)
      return replies
    },
  }
}

/** Answers when it is told to; streams never end. */
class Slow {
  readonly waiting: ServerResponse[] = []
  #server: Server | undefined
  async start(address: string, port: number): Promise<void> {
    this.#server = createServer((asked, answer) => {
      asked.resume()
      if (asked.method === 'GET') answer.writeHead(200, { 'content-type': 'text/event-stream' }).write('event: endpoint\n\n')
      else this.waiting.push(answer)
    })
    this.#server.listen(port, address)
    await once(this.#server, 'listening')
  }
  goOn(): void {
    for (const answer of this.waiting.splice(0)) answer.writeHead(204).end()
  }
}

const [oldAt, newAt] = [containerNetworks(order.old.containers), containerNetworks(order.new.containers)]
const oldSerena = new StandIn(oldAt.serenaMcp, 'old')
const newSerena = new StandIn(newAt.serenaMcp, 'new')

/** What Serena is told of whoever used that tool. */
function seenBy(serena: StandIn, tool: string): object {
  const headers = serena.headers.get(tool) ?? {}
  return { host: headers.host, for: headers['x-forwarded-for'], password: headers.authorization }
}

/** The whole way there and back. */
async function moves(_: Nginx, there: Nginx): Promise<unknown> {
  const [sse, loki] = [new Slow(), new Slow()]
  await Promise.all([oldSerena.start(), sse.start(oldAt.serenaMcpSse, 9121), loki.start(oldAt.loki, 3100)])
  const open = async (from: string): Promise<string> => (await ask({ body: initialize, from })).session ?? ''
  const id = await open('127.0.0.1')
  await ask({ body: call('activate_project', { project: 'one' }), session: id })
  const clients = steady(await Promise.all(['127.0.0.10', '127.0.0.11', '127.0.0.12'].map(open)))
  const [leaving, streaming] = [new AbortController(), new AbortController()]
  const left = ask({ body: call('hold'), session: id, signal: leaving.signal }).catch(() => 'left')
  const stream = ask({ method: 'GET', path: '/sse', signal: streaming.signal }).catch(() => 'closed')
  const pushed = ask({ ...logging('/loki/api/v1/push', 'POST'), body: {} })
  await until('all is going on', async () => {
    const { sse: streams } = await handoverState(oldSlot)
    return oldSerena.held === 1 && loki.waiting.length === 1 && streams === 1
  })
  const before = await handoverState(oldSlot)
  await setHandoverState(oldSlot, 'park')
  leaving.abort()
  await left
  const state = (): Promise<Handover> => handoverState(oldSlot)
  await until('calls wait', async () => (await state()).parked === 3)
  const parked = await state()
  const meanwhile = {
    health: (await fetch('http://127.0.0.1:8099/health')).status,
    noPassword: await ask({ body: call('look'), session: id, user: '' }),
    elsewhere: await ask({ method: 'GET', path: '/elsewhere' }),
    foreign: await ask({ body: call('look'), session: id, user: 'other' }),
    get: await ask({ method: 'GET', session: id }),
    sse: await ask({ method: 'GET', path: '/sse' }),
    message: await ask({ path: '/messages/?session_id=1', body: {} }),
    push: await ask({ ...logging('/loki/api/v1/push', 'POST'), body: {} }),
    grafana: await ask(logging('/', 'GET')),
    // This host's own health check: it finds nothing wrong, and does not wait.
    front: await frontProblems(thisMachine, order.seed, 'right'),
    probe: await ask({ body: initialize, user: probeUser }),
  }
  loki.goOn()
  await until('one is left', async () => (await state()).busy === 1)
  oldSerena.goOn()
  await until('nobody is left', async () => (await state()).busy === 0)
  const carried = await readCarry(oldSlot)
  await writeCarry(newSlot, carried)
  await oldSerena.stop()
  await newSerena.start()
  await setHandoverState(oldSlot, 'forward')
  const first = await ask({ method: 'GET', path: '/elsewhere' })
  await until('nobody waits', async () => (await state()).parked === 0)
  await until('they go on', () => clients.replies.filter(({ body }) => body.includes('"new')).length >= 12)
  const forwarded = await ask({ body: call('reach'), session: id })
  const heardThere = [...newSerena.heard]
  const reached = seenBy(newSerena, 'reach')
  const others = {
    stateless: await ask({ body: call('stateless') }),
    opened: await ask({ body: initialize }),
    foreignThere: await ask({ body: call('look'), session: id, user: 'other' }),
    unknownThere: await ask({ method: 'GET', session: id }),
  }
  const newest = await ask({ body: call('look'), session: others.opened.session ?? '' })
  await until('it is written', () => there.lines.some((line) => line.includes('"/mcp"')))
  const line = JSON.parse(there.lines.find((text) => text.includes('"/mcp"')) ?? '{}') as object
  let last = first
  await until('what stays is told to go', async () => {
    last = await ask({ method: 'GET', path: '/elsewhere' })
    return last.connection === 'close'
  })
  // And back, as when a rollout is taken back.
  await setHandoverState(oldSlot, 'park')
  await until('calls wait', async () => (await state()).parked === 3)
  await newSerena.stop()
  await oldSerena.start()
  await setHandoverState(oldSlot, 'open')
  const back = await ask({ body: call('look'), session: id })
  const hidden = await ask({ method: 'GET', path: '/golden-last' })
  const made = await clients.stop()
  streaming.abort()
  await stream
  await until('the stream is gone', async () => (await state()).sse === 0)
  return {
    staying: { first, last },
    hidden,
    before,
    parked,
    meanwhile,
    pushed: (await pushed).status,
    carried,
    carriedTo: await readCarry(newSlot),
    forwarded,
    heardThere,
    reached,
    others,
    newest,
    line,
    back,
    sameId: forwarded.session === id && back.session === id,
    after: await state(),
    steady: {
      calls: made.length,
      failed: made.filter(({ status }) => status !== 200),
      byNew: made.filter(({ body }) => body.includes('"new')).length,
      keptOpen: made.filter(({ body, connection }) => body.includes('"new') && connection !== 'close').length,
      longest: Math.max(...made.map(({ ms }) => ms)),
    },
  }
}

/** Five calls, one MiB, two seconds. */
async function bounds(): Promise<unknown> {
  await oldSerena.start()
  const id = (await ask({ body: initialize })).session ?? ''
  await setHandoverState(oldSlot, 'park')
  const many = await Promise.all(Array.from({ length: 8 }, (_, index) => ask({ body: call('look', {}, index), session: id })))
  const after = await handoverState(oldSlot)
  const large = (): Promise<Reply> => ask({ body: call('look', { large: 'x'.repeat(600_000) }), session: id })
  const first = large()
  await until('it waits', async () => (await handoverState(oldSlot)).parked === 1)
  const { parkedBytes } = await handoverState(oldSlot)
  const second = await large()
  await setHandoverState(oldSlot, 'open')
  const words = async (body: string, method = 'PUT'): Promise<number> =>
    (await fetch('http://127.0.0.1:8099/handover', { method, ...(method === 'PUT' ? { body } : {}) })).status
  return {
    many: many.sort((a, b) => a.ms - b.ms),
    after,
    parkedBytes,
    second,
    first: await first,
    end: await handoverState(oldSlot),
    refused: [await words('{"state":"shut"}'), await words('state'), await words('null'), await words('', 'DELETE')],
  }
}

/** The new slot's nginx is away when calls are to go there. */
async function unreachable(_: Nginx, there: Nginx, again: () => Promise<Nginx>): Promise<unknown> {
  await oldSerena.start()
  const id = (await ask({ body: initialize })).session ?? ''
  await newSerena.start()
  await there.stop()
  await setHandoverState(oldSlot, 'forward')
  const owner = await peerOwner(oldSlot).catch((error: { status?: number }) => error.status)
  const inVain = await ask({ body: call('look'), session: id })
  const waited = ask({ body: call('look'), session: id })
  await until('it waits', async () => (await handoverState(oldSlot)).parked === 1)
  await again()
  const answered = await waited
  const broken = await ask({ body: call('break'), session: id })
  return { owner, inVain, answered, broken, times: newSerena.heard.filter((line) => line.startsWith('break')).length }
}

/** Who is not the peer does not get in by what the peer says of a user. */
async function forged(here: Nginx): Promise<unknown> {
  await Promise.all([oldSerena.start(), newSerena.start()])
  const id = (await ask({ body: initialize })).session ?? ''
  const headers = { 'x-golden-user': 'other', 'x-golden-client': '203.0.113.7', 'x-golden-host': 'evil.example' }
  const asOther = await ask({ body: call('reach'), session: id, headers })
  const seen = seenBy(oldSerena, 'reach')
  const withoutPassword = await ask({ body: call('look'), session: id, headers, user: '' })
  const line = (): string | undefined => here.lines.find((text) => text.includes('"path":"/mcp","status":200') && text.includes('POST'))
  await until('it is written', () => line() !== undefined)
  const peer = { name: 'golden-peer', host: 'golden-peer', user: '', headers, body: call('stateless') } as const
  const { address } = order.new
  const from = order.old.address
  const stolen = order.peer
  const refusals = {
    'from the peer, without its certificate': await outcome({ ...peer, to: address, from }),
    'with the certificate, from elsewhere': await outcome({ ...peer, to: address, from: stranger, tls: stolen }),
    'without either': await outcome({ ...peer, to: address, from: stranger }),
    "by the public server's name": await outcome({ ...peer, name: order.host, to: address, from, tls: stolen }),
    'by no name': await outcome({ ...peer, name: '', to: address, from, tls: stolen }),
    'at the old slot, which is not its own peer': await outcome({ ...peer, to: '127.0.0.1', from: '127.0.0.1', tls: stolen }),
    'the owner, from elsewhere': await outcome({ ...peer, method: 'GET', path: '/golden/owner', to: address, from: stranger, tls: stolen }),
    'the owner, at the public server': await outcome({ method: 'GET', path: '/golden/owner' }),
  }
  const asPeer = await ask({ ...peer, to: address, from, tls: stolen })
  return {
    asOther,
    seen,
    withoutPassword: withoutPassword.status,
    line: JSON.parse(line() ?? '{}') as object,
    refusals,
    asPeer,
    heardThere: newSerena.heard,
  }
}

/** Whose data disk it is, as the other slot is told. */
async function owner(): Promise<unknown> {
  const nobody = await peerOwner(oldSlot)
  const file = join(order.new.golden, 'nginx', 'owner.json')
  writeFileSync(file, '{"owner":"green"}')
  chmodSync(file, 0o644)
  const green = await peerOwner(oldSlot)
  rmSync(file)
  return { nobody, green, again: await peerOwner(oldSlot) }
}

/** Serena herself, and the official client, which does not notice. */
async function withSerena(serena: SerenaOrder): Promise<unknown> {
  const first = await startSerena(serena, oldAt.serenaMcp)
  const client = await connectClient(order.host)
  const look = (): ReturnType<typeof client.use> => client.use('list_dir', { relative_path: '.', recursive: false })
  let running = first
  try {
    const id = client.session()
    const activated = await client.use('activate_project', { project: serena.project, session: 'test' })
    const before = await look()
    await setHandoverState(oldSlot, 'park')
    await until('nobody is busy', async () => (await handoverState(oldSlot)).busy === 0)
    const parked = look()
    await until('it waits', async () => (await handoverState(oldSlot)).parked === 1)
    await writeCarry(newSlot, await readCarry(oldSlot))
    await killSerena(first)
    running = await startSerena(serena, newAt.serenaMcp)
    await setHandoverState(oldSlot, 'forward')
    return { activated, before, parked: await parked, after: await look(), sameId: client.session() === id }
  } finally {
    await client.close()
    await killSerena(running).catch(() => undefined)
  }
}

const enter = await secondNetwork()
await relay(enter)
const helpers = await Promise.all([order.old, order.new].map(({ golden }) => startAuth(golden)))
const startThere = (): Promise<Nginx> => startNginx(order.new, newSlot, enter)
const [here, there] = [await startNginx(order.old, oldSlot), await startThere()]
const running = [here, there]
const again = async (): Promise<Nginx> => {
  const nginx = await startThere()
  running[1] = nginx
  return nginx
}
try {
  const said = await {
    moves: () => moves(here, there),
    bounds,
    unreachable: () => unreachable(here, there, again),
    forged: () => forged(here),
    owner,
    serena: () => withSerena(order.serena!),
  }[order.scenario]()
  writeFileSync(answersFile, JSON.stringify(said))
} finally {
  for (const helper of helpers) helper.kill('SIGKILL')
  await Promise.all(running.map((nginx) => nginx.stop()))
}
process.exit()
