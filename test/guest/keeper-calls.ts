/**
 * Runs in a network namespace of its own (see keeper.test.ts): real nginx with a slot's configuration and its session
 * keeper, and behind it a stand-in for Serena that can forget its sessions, stop and come back; or Serena itself.
 * Arguments: a file with the order, and one for what came back.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { Agent, fetch as undiciFetch } from 'undici'
import { openMcp } from '../../demo/check/mcp.ts'
import { numberedConnection, toolClients } from '../../demo/traffic/clients.ts'
import { countNumbers } from '../../demo/traffic/numbers.ts'
import { summarize } from '../../demo/traffic/summary.ts'
import { startTraffic } from '../../demo/traffic/traffic.ts'
import { startAuth } from './golden-auth.ts'

export interface Order {
  /** Starts nginx. */
  readonly nginx: readonly string[]
  /** The slot's `/run/golden`, for golden-auth. */
  readonly golden: string
  readonly host: string
  readonly scenario: 'forgets' | 'away' | 'serena' | 'clients'
  /** Real Serena: its program, its home, a project. */
  readonly serena?: { readonly program: string; readonly home: string; readonly project: string }
  /** What the demo's clients need. */
  readonly clients?: { readonly python: string; readonly caFile: string }
}

const [, , orderFile = '', answersFile = ''] = process.argv
const order = JSON.parse(readFileSync(orderFile, 'utf8')) as Order
const at = '172.30.0.11'

execFileSync('ip', ['link', 'set', 'lo', 'up'])
execFileSync('ip', ['address', 'add', `${at}/32`, 'dev', 'lo'])
writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', '80')

const dispatcher = new Agent({
  connect: { rejectUnauthorized: false, lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]) },
})
const basic = (user: string): string => `Basic ${Buffer.from(`${user}:right`).toString('base64')}`

interface Reply {
  readonly status: number
  readonly session: string | null
  readonly allow: string | null
  readonly body: string
  readonly ms: number
}
/** @param from the client's own address: nginx counts those of each */
function ask(method: string, body?: object, session?: string, user = 'me', from = 1): Promise<Reply> {
  const began = performance.now()
  const text = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const sent = httpsRequest({
      host: '127.0.0.1',
      localAddress: `127.0.0.${from}`,
      servername: order.host,
      rejectUnauthorized: false,
      agent: false,
      method,
      path: '/mcp',
      headers: {
        host: order.host,
        authorization: basic(user),
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...(session === undefined ? {} : { 'mcp-session-id': session }),
        ...(text === undefined ? {} : { 'content-length': Buffer.byteLength(text) }),
      },
    })
    sent.on('error', reject)
    sent.on('response', (answer) => {
      let said = ''
      answer.setEncoding('utf8')
      answer.on('data', (part: string) => (said += part))
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          session: (answer.headers['mcp-session-id'] as string | undefined) ?? null,
          allow: answer.headers.allow ?? null,
          body: said,
          ms: performance.now() - began,
        }),
      )
    })
    sent.end(text)
  })
}
const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: { roots: {} }, clientInfo: { name: 'test', version: '1' } },
}
const call = (name: string, args: object = {}, id = 2): object => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args },
})

/** As much of Serena as sessions need. */
class StandIn {
  readonly sessions = new Set<string>()
  /** Method (or tool) and session of everything that came. */
  readonly heard: string[] = []
  #server: Server | undefined
  #number = 0

  async start(): Promise<void> {
    const server = createServer((asked, answer) => {
      let text = ''
      asked.on('data', (part: Buffer) => (text += part.toString()))
      asked.on('end', () => {
        const session = asked.headers['mcp-session-id']
        const message = text === '' ? {} : (JSON.parse(text) as { id?: number; method?: string; params?: { name?: string } })
        const what = asked.method === 'POST' ? (message.params?.name ?? message.method ?? '') : (asked.method ?? '')
        this.heard.push(`${what} ${String(session ?? '-')}`)
        if (what === 'break') return void asked.socket.destroy()
        if (what === 'initialize') {
          const id = `s${++this.#number}`
          this.sessions.add(id)
          return void answer
            .writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': id })
            .end('{"result":{"serverInfo":{}}}')
        }
        // Any answer will do for whoever looks whether somebody is there.
        if (session === undefined) return void answer.writeHead(400).end()
        if (!this.sessions.has(String(session))) return void answer.writeHead(404, { 'content-type': 'application/json' }).end('{}')
        if (asked.method === 'DELETE') {
          this.sessions.delete(String(session))
          return void answer.writeHead(200).end()
        }
        answer
          .writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': String(session) })
          .end(JSON.stringify({ result: what, session }))
      })
    })
    this.#server = server
    server.listen(9121, at)
    await once(server, 'listening')
  }

  async stop(): Promise<void> {
    this.sessions.clear()
    const closed = once(this.#server!, 'close')
    this.#server!.close()
    this.#server!.closeAllConnections()
    await closed
  }
}

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
  return { opened, before, ...others, forged, after, heard, together, openings, ended, afterEnd }
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
  const crowd = (
    await Promise.all(Array.from({ length: 260 }, (_, index) => ask('POST', call('look', {}, index), id, 'me', (index % 4) + 1)))
  ).sort((a, b) => a.ms - b.ms)
  return {
    broken,
    times,
    waited,
    crowd: {
      statuses: [...new Set(crowd.map(({ status }) => status))],
      early: crowd.filter(({ ms }) => ms < 15_000).length,
      last: crowd.at(-1)?.ms,
    },
  }
}

async function startSerena({ program, home }: NonNullable<Order['serena']>): Promise<ChildProcess> {
  const child = spawn(
    program,
    [
      'start-mcp-server',
      `--host=${at}`,
      '--port=9121',
      '--transport=streamable-http',
      '--agent-interface=tools',
      '--enable-web-dashboard=false',
      '--open-web-dashboard=false',
    ],
    { env: { ...process.env, SERENA_HOME: home, SERENA_USAGE_REPORTING: 'false' }, stdio: ['ignore', 'ignore', 'inherit'], detached: true },
  )
  for (;;) {
    if (child.exitCode !== null) throw new Error('Serena ended')
    const answers = await fetch(`http://${at}:9121/`).then(
      () => true,
      () => false,
    )
    if (answers) return child
    await pause(200) // it is starting
  }
}

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, 'exit')
  process.kill(-(child.pid ?? 0), 'SIGKILL')
  await closed
}

/** The official client, with a call before and after Serena was killed; the second one while there is none. */
async function withSerena(serena: NonNullable<Order['serena']>): Promise<unknown> {
  let child = await startSerena(serena)
  const transport = new StreamableHTTPClientTransport(new URL(`https://${order.host}/mcp`), {
    fetch: async (input: string | URL | Request, init?: RequestInit) => {
      const answer = await undiciFetch(String(input), { ...init, dispatcher } as object)
      return new Response(await answer.text(), { status: answer.status, headers: [...answer.headers] })
    },
    requestInit: { headers: { authorization: basic('me') } },
  })
  const client = new Client({ name: 'test', version: '1' })
  const use = async (name: string, args: Record<string, unknown>): Promise<unknown> => {
    const began = performance.now()
    const { isError, content } = (await client.callTool({ name, arguments: args }, undefined, { timeout: 240_000 })) as {
      isError?: boolean
      content: { text?: string }[]
    }
    return {
      isError: isError === true,
      text: content
        .map(({ text }) => text ?? '')
        .join('')
        .slice(0, 500),
      ms: performance.now() - began,
    }
  }
  try {
    await client.connect(transport as Transport)
    const id = transport.sessionId
    const activated = await use('activate_project', { project: serena.project, session: 'test' })
    const first = await use('list_dir', { relative_path: '.', recursive: false })
    await kill(child)
    const second = use('list_dir', { relative_path: '.', recursive: false })
    child = await startSerena(serena)
    const answers = { activated, first, second: await second, third: await use('list_dir', { relative_path: '.', recursive: false }) }
    return { ...answers, sameId: transport.sessionId === id, idLength: id?.length }
  } finally {
    await client.close()
    await kill(child)
  }
}

/** The demo's traffic, a few rounds of it. */
async function withClients({ serena, clients }: Required<Pick<Order, 'serena' | 'clients'>>): Promise<unknown> {
  // The demo's clients go by the name alone.
  const hosts = `${answersFile}.hosts`
  writeFileSync(hosts, `127.0.0.1 localhost ${order.host}\n`)
  execFileSync('mount', ['--bind', hosts, '/etc/hosts'])
  const child = await startSerena(serena)
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
  } finally {
    await traffic.stop()
    await kill(child)
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
  const standIn = new StandIn()
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
