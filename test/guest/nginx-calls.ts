/**
 * Runs in a network namespace of its own (see nginx.test.ts): stand-ins for Serena and Loki at their fixed addresses,
 * real nginx with a slot's configuration, one request after another. Arguments: a file with the order, and
 * one for what came back.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'

export interface Call {
  readonly name: string
  readonly https?: boolean
  readonly port: number
  /** Name for TLS and for the Host header. */
  readonly host: string
  /** @default host */
  readonly sni?: string
  readonly path: string
  readonly method?: string
  readonly auth?: string
  readonly body?: string
  /** How often, at once; the most frequent statuses are reported. @default 1 */
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
  /** Addresses at which a stand-in answers what it was asked, as JSON. */
  readonly upstreams: readonly { address: string; port: number }[]
  readonly calls: readonly Call[]
  /** Addresses from which nothing comes back, as of a container that is stopped. */
  readonly silent?: readonly string[]
  /** Waits, after the calls, until nginx has closed its idle connections to the stand-ins, and says how long that took. */
  readonly untilIdle?: boolean
}

const [, , orderFile = '', answersFile = ''] = process.argv
const order = JSON.parse(readFileSync(orderFile, 'utf8')) as Order

execFileSync('ip', ['link', 'set', 'lo', 'up'])
for (const last of [11, 12, 21, 22]) execFileSync('ip', ['address', 'add', `172.30.0.${last}/32`, 'dev', 'lo'])
writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', '80')
if (order.silent) execFileSync('nft', ['-f', '-'], { input: `table ip silent { chain input { type filter hook input priority 0; ip daddr { ${order.silent.join(', ')} } drop; }; }` })

const idle: Promise<unknown>[] = []

async function standIn(address: string, port: number): Promise<Server> {
  // Never closes first, whatever is idle.
  const server = createServer({ keepAliveTimeout: 0 }, (asked, answer) => {
    const headers = { 'content-type': 'application/json', 'mcp-session-id': 's1' }
    answer.writeHead(200, headers).end(JSON.stringify({ at: `${address}:${port}`, method: asked.method, url: asked.url, headers: asked.headers }))
  })
  server.on('connection', socket => idle.push(once(socket, 'close')))
  server.listen(port, address)
  await once(server, 'listening')
  return server
}

function ask(call: Call): Promise<{ status: number | string; headers: IncomingHttpHeaders; body: string }> {
  return new Promise(resolve => {
    const options = {
      host: '127.0.0.1',
      port: call.port,
      path: call.path,
      method: call.method ?? 'GET',
      agent: false as const,
      headers: { host: call.host, ...(call.body === undefined ? {} : { 'content-length': Buffer.byteLength(call.body) }) },
      ...(call.auth === undefined ? {} : { auth: call.auth }),
    }
    const sent = call.https === true ? httpsRequest({ ...options, rejectUnauthorized: false, servername: call.sni ?? call.host }) : httpRequest(options)
    sent.on('error', (error: NodeJS.ErrnoException) => resolve({ status: error.code ?? error.message, headers: {}, body: '' }))
    sent.on('response', response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => (body += part))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    sent.end(call.body)
  })
}

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
    answers[call.name] = { statuses: all.map(one => one.status), headers: all[0]?.headers ?? {}, body: all[0]?.body ?? '' }
  }
  if (order.untilIdle === true) {
    const began = performance.now()
    await Promise.all(idle)
    answers['idle'] = { statuses: [Math.round(performance.now() - began)], headers: {}, body: String(idle.length) }
  }
  writeFileSync(answersFile, JSON.stringify(answers))
} finally {
  for (const server of servers) server.close()
  nginx.kill('SIGKILL')
  await ended
}
process.exit()
