/**
 * Runs in a network namespace of its own (see nginx.test.ts): stand-ins for Serena and Loki at their fixed addresses,
 * real nginx with a slot's configuration, one request after another. Arguments: a file with the order, and
 * one for what came back.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { frontProblems, sessionProblems } from '../../images/guest/front.ts'
import { thisMachine } from '../../images/guest/machine.ts'
import type { Seed } from '../../images/contract/seed.ts'
import { startAuth } from './golden-auth.ts'
import { clientSays } from './nginx-client.ts'
import { flood } from './nginx-flood.ts'

export interface Call {
  readonly name: string
  readonly https?: boolean
  readonly port: number
  /** Name for TLS and for the Host header. */
  readonly host: string
  /** Empty: none, as with an address. @default host */
  readonly sni?: string
  /** The client's own address. @default 127.0.0.1 */
  readonly from?: string
  /** Sent as it is, instead of a request of Node's. */
  readonly raw?: string
  readonly path: string
  readonly method?: string
  readonly auth?: string
  readonly body?: string
  /** How often, at once; what is shown is the answer with the highest status. @default 1 */
  readonly times?: number
}

export interface Answer {
  /** Of each time; an error's code where there was no answer. */
  readonly statuses: readonly (number | string)[]
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Order {
  /** Starts nginx. */
  readonly nginx: readonly string[]
  /** The slot's `/run/golden`, for golden-auth. */
  readonly golden: string
  /** Addresses at which a stand-in answers what it was asked, as JSON. */
  readonly upstreams: readonly { address: string; port: number }[]
  readonly calls: readonly Call[]
  /** Addresses from which nothing comes back, as of a container that is stopped. */
  readonly silent?: readonly string[]
  /** golden-auth does not run. */
  readonly noAuth?: boolean
  /** An MCP client's own words for what it gets, by the credentials it comes with. */
  readonly clients?: readonly (string | null)[]
  /** Someone with wrong passwords, and somebody with the right one beside. */
  readonly flood?: { readonly seconds: number; readonly rate: number }
  /** What the slot's own health check finds, with the password of its boot. */
  readonly health?: { readonly seed: Seed; readonly probe: string }
  /** Waits, after the calls, until nginx has closed its idle connections to the stand-ins, and says how long that took. */
  readonly untilIdle?: boolean
}

const [, , orderFile = '', answersFile = ''] = process.argv
const order = JSON.parse(readFileSync(orderFile, 'utf8')) as Order

execFileSync('ip', ['link', 'set', 'lo', 'up'])
for (const last of [11, 12, 21, 22]) execFileSync('ip', ['address', 'add', `172.30.0.${last}/32`, 'dev', 'lo'])
writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', '80')
if (order.silent)
  execFileSync('nft', ['-f', '-'], {
    input: `table ip silent { chain input { type filter hook input priority 0; ip daddr { ${order.silent.join(', ')} } drop; }; }`,
  })

const idle: Promise<unknown>[] = []
/** What reached the stand-ins. */
const requests: string[] = []

async function standIn(address: string, port: number): Promise<Server> {
  // Never closes first, whatever is idle.
  const server = createServer({ keepAliveTimeout: 0 }, (asked, answer) => {
    const headers = { 'content-type': 'application/json', 'mcp-session-id': 's1' }
    requests.push(`${address} ${asked.method} ${asked.url} ${asked.headers['mcp-session-id'] ?? ''}`.trim())
    // The last two are what the health check looks for.
    answer
      .writeHead(200, headers)
      .end(
        JSON.stringify({
          at: `${address}:${port}`,
          method: asked.method,
          url: asked.url,
          headers: asked.headers,
          serverInfo: {},
          endpoint: '/messages/?session_id=s1',
        }),
      )
  })
  server.on('connection', (socket) => idle.push(once(socket, 'close')))
  server.listen(port, address)
  await once(server, 'listening')
  return server
}

function ask(call: Call): Promise<{ status: number | string; headers: IncomingHttpHeaders; body: string }> {
  return new Promise((resolve) => {
    const options = {
      host: '127.0.0.1',
      port: call.port,
      path: call.path,
      method: call.method ?? 'GET',
      agent: false as const,
      ...(call.from === undefined ? {} : { localAddress: call.from }),
      headers: { host: call.host, ...(call.body === undefined ? {} : { 'content-length': Buffer.byteLength(call.body) }) },
      ...(call.auth === undefined ? {} : { auth: call.auth }),
    }
    if (call.raw !== undefined) return void askRaw(call, call.raw).then(resolve)
    const sent =
      call.https === true
        ? httpsRequest({ ...options, rejectUnauthorized: false, servername: call.sni ?? call.host })
        : httpRequest(options)
    sent.on('error', (error: NodeJS.ErrnoException) => resolve({ status: error.code ?? error.message, headers: {}, body: '' }))
    sent.on('response', (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => (body += part))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    sent.end(call.body)
  })
}

/** Everything that comes back until the other side closes, or a whole answer is there. */
function askRaw(call: Call, text: string): Promise<{ status: number | string; headers: IncomingHttpHeaders; body: string }> {
  return new Promise((resolve) => {
    const target = { host: '127.0.0.1', port: call.port }
    const socket =
      call.https === true ? connectTls({ ...target, rejectUnauthorized: false, servername: call.sni ?? call.host }) : connect(target)
    let seen = ''
    const done = (): void => {
      socket.destroy()
      const [, status = 'closed'] = /^HTTP\/1\.1 (\d+)/.exec(seen) ?? []
      const [head = '', body = ''] = seen.split(/\r\n\r\n(.*)/s)
      const headers = Object.fromEntries(
        head
          .split('\r\n')
          .slice(1)
          .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
      )
      resolve({ status: status === 'closed' ? status : Number(status), headers, body })
    }
    socket.setEncoding('utf8')
    socket.on('data', (part: string) => {
      seen += part
      const length = /\r\ncontent-length: (\d+)\r\n/i.exec(seen)?.[1]
      if (length !== undefined && seen.length - seen.indexOf('\r\n\r\n') - 4 >= Number(length)) done()
    })
    socket.on('close', done)
    socket.on('error', done)
    socket.write(text)
  })
}

const auth = order.noAuth === true ? undefined : await startAuth(order.golden)
const servers = await Promise.all(order.upstreams.map(({ address, port }) => standIn(address, port)))
const [program = '', ...rest] = order.nginx
const nginx = spawn(program, rest, { stdio: ['ignore', 'inherit', 'inherit'] })
const ended = once(nginx, 'exit')
try {
  while ((await ask({ name: '', port: 8099, host: 'x', path: '/health' })).status !== 200) {
    if (nginx.exitCode !== null) throw new Error('nginx ended')
    await pause(50) // it is starting
  }
  const answers: Record<string, Answer> = {}
  for (const call of order.calls) {
    const all = await Promise.all(Array.from({ length: call.times ?? 1 }, () => ask(call)))
    const shown = all.toSorted((a, b) => Number(b.status) - Number(a.status))[0]
    answers[call.name] = { statuses: all.map((one) => one.status), headers: shown?.headers ?? {}, body: shown?.body ?? '' }
  }
  if (order.untilIdle === true) {
    const began = performance.now()
    await Promise.all(idle)
    answers.idle = { statuses: [Math.round(performance.now() - began)], headers: {}, body: String(idle.length) }
  }
  const say = (name: string, what: unknown): void => {
    answers[name] = { statuses: [], headers: {}, body: JSON.stringify(what) }
  }
  for (const credentials of order.clients ?? []) say(`client ${credentials}`, await clientSays(credentials))
  if (order.flood) say('flood', await flood(order.flood))
  if (order.health) {
    const { seed, probe } = order.health
    requests.length = 0
    say('health', {
      front: await frontProblems(thisMachine, seed, probe),
      session: await sessionProblems(thisMachine, seed, probe),
      requests,
    })
  }
  writeFileSync(answersFile, JSON.stringify(answers))
} finally {
  for (const server of servers) server.close()
  auth?.kill('SIGKILL')
  nginx.kill('SIGKILL')
  await ended
}
process.exit()
