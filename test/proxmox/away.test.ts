/** Connections that break and an API that is away: waited for, said, and nothing is done twice. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, describe, it, vi } from 'vitest'
import { connect, type Endpoint, type Proxmox } from '../../proxmox/client.ts'
import { isLost } from '../../core/failure.ts'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'

const authority = await makeAuthority('test CA', new Date())
const own = await makeServerCertificate(authority, ['127.0.0.1'], new Date())
const token = { id: 'golden@pve!golden', secret: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee' }

const cleanups: (() => void)[] = []
afterAll(() => {
  for (const clean of cleanups.splice(0)) clean()
})

interface Host {
  readonly url: string
  readonly server: Server
  /** `GET /version` and the like, as they were read. */
  readonly read: string[]
  /** Closes everything and listens again after so long. */
  leave(ms: number): void
}

type Answering = (request: IncomingMessage, response: ServerResponse, ordinal: number) => void
const yes: Answering = (_request, response) => {
  response.end('{"data":"yes"}')
}

async function host(answer: Answering = yes): Promise<Host> {
  const read: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer({ cert: own.certificate, key: own.key, keepAliveTimeout: 0 }, (request, response) => {
    request.resume().on('end', () => answer(request, response, read.push(`${request.method} ${request.url?.replace('/api2/json', '')}`)))
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const hangUp = (): void => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  let back: NodeJS.Timeout | undefined
  cleanups.push(() => {
    clearTimeout(back)
    hangUp()
  })
  return {
    url: `https://127.0.0.1:${port}`,
    server,
    read,
    leave: (ms) => {
      hangUp()
      back = setTimeout(() => server.listen(port, '127.0.0.1'), ms)
    },
  }
}

function client({ url }: Host, change: Partial<Endpoint> = {}): Proxmox {
  const proxmox = connect({ url, caPem: authority.certificate, auth: token, ...change })
  cleanups.push(() => proxmox.close())
  return proxmox
}

const calls: [string, (proxmox: Proxmox, path: string) => Promise<unknown>][] = [
  ['GET', (proxmox, path) => proxmox.get(path)],
  ['POST', (proxmox, path) => proxmox.post(path)],
  ['PUT', (proxmox, path) => proxmox.put(path, { a: 1 })],
  ['DELETE', (proxmox, path) => proxmox.del(path)],
]
const changes = calls.slice(1)

describe.concurrent('a connection that is kept', () => {
  it('and closed by the server just as it is used again costs no request, and none is done twice', async ({ expect }) => {
    const idleMs = 8
    const there = await host((_request, response) => {
      response.end('{"data":"yes"}')
      const { socket } = response
      setTimeout(() => socket?.destroy(), idleMs)
    })
    const proxmox = client(there)
    for (let round = 0; round < 20; round++) {
      for (const [method, call] of calls) expect(await call(proxmox, `/${method}/${round}`)).toBe('yes')
      await pause(idleMs - 2 + (round % 5))
    }
    for (const [method] of changes) expect(there.read.filter((one) => one.startsWith(method))).toHaveLength(20)
  })

  it('and always closed when it is used again is no outage', async ({ expect }) => {
    const used = new WeakSet<object>()
    const there = await host((request, response) => {
      if (used.has(request.socket)) return void request.socket.destroy()
      used.add(request.socket)
      yes(request, response, 0)
    })
    const said: string[] = []
    const proxmox = client(there, { say: (text) => said.push(text) })
    for (let round = 0; round < 8; round++)
      expect(await Promise.all(Array.from({ length: 3 }, () => proxmox.get('/version')))).toEqual(['yes', 'yes', 'yes'])
    expect(said).toEqual([])
  })

  it('is given up before pveproxy would', async ({ expect }) => {
    const there = await host()
    const closed = new Promise<void>((done) => there.server.once('secureConnection', (socket) => socket.once('close', done)))
    await client(there).get('/version')
    const began = performance.now()
    await closed
    expect(performance.now() - began).toBeLessThan(5000)
  })
})

const faults: [string, (response: ServerResponse) => void][] = [
  ...[502, 503, 504, 596, 597, 599].map((status): [string, (response: ServerResponse) => void] => [
    String(status),
    (response) => {
      response.writeHead(status, 'Connection timed out').end()
    },
  ]),
  [
    'a connection closed without an answer',
    (response) => {
      response.socket?.destroy()
    },
  ],
  [
    'a connection closed in the middle of an answer',
    (response) => {
      response.writeHead(200, { 'Content-Length': 100 }).write('{', () => response.socket?.destroy())
    },
  ],
]

describe.concurrent.each(faults)('%s', (_what, fault) => {
  it('passes for a look, which is repeated', async ({ expect }) => {
    const there = await host((request, response, ordinal) => (ordinal < 3 ? fault(response) : yes(request, response, ordinal)))
    expect(await client(there).get('/version')).toBe('yes')
    expect(there.read).toHaveLength(3)
  })

  it('leaves open whether a change was done: it is said, not repeated', async ({ expect }) => {
    const there = await host((_request, response) => fault(response))
    const proxmox = client(there)
    for (const [method, call] of changes) {
      const error = await call(proxmox, '/change').catch((reason: unknown) => reason)
      expect(error).toMatchObject({
        code: 'proxmox-unreachable',
        message: expect.stringContaining(`${method} /change`),
        hint: expect.stringContaining('looks first'),
      })
      expect(isLost(error)).toBe(true)
    }
    expect(there.read).toEqual(changes.map(([method]) => `${method} /change`))
  })

  it('passes for a change that twice is as once', async ({ expect }) => {
    const there = await host((request, response, ordinal) => (ordinal < 3 ? fault(response) : yes(request, response, ordinal)))
    expect(await client(there).del('/nodes/pve/storage/iso/content/x', {}, { repeatable: true })).toBe('yes')
  })
})

it.concurrent.for(calls)('595, a %s that pveproxy could hand on to nobody, is sent again', async ([, call], { expect }) => {
  const there = await host((request, response, ordinal) =>
    ordinal < 3 ? response.writeHead(595, 'Connection refused').end() : yes(request, response, ordinal),
  )
  expect(await call(client(there), '/any')).toBe('yes')
})

describe.concurrent('an API that is away', () => {
  it.for(calls)('is waited for with a %s, and that is said', async ([, call], { expect }) => {
    const there = await host()
    const said: string[] = []
    const proxmox = client(there, { say: (text) => said.push(text) })
    await proxmox.get('/version')
    there.leave(1500)
    expect(await call(proxmox, '/any')).toBe('yes')
    expect(there.read).toHaveLength(2)
    expect(said).toEqual([
      expect.stringMatching(/^Proxmox does not answer at https:\S+ \(.*ECONNREFUSED.*\): waiting for it, up to 120 s$/),
      expect.stringMatching(/^Proxmox answers again, after \d s$/),
    ])
  })

  it('is waited for from the first request on by whoever knows that it answers', async ({ expect }) => {
    const there = await host()
    there.leave(2500)
    expect(await client(there, { known: true }).get('/version')).toBe('yes')
  })

  it('and never answered is soon given up', async ({ expect }) => {
    const there = await host()
    there.leave(60_000)
    const began = performance.now()
    await expect(client(there).get('/version')).rejects.toMatchObject({ code: 'proxmox-unreachable', lost: false })
    expect(performance.now() - began).toBeLessThan(20_000)
  })

  it('is not waited for without end', async ({ expect }) => {
    const there = await host()
    const proxmox = client(there, { waitMs: 600 })
    await proxmox.get('/version')
    there.leave(60_000)
    for (const call of [() => proxmox.get('/version'), () => proxmox.post('/change')])
      await expect(call()).rejects.toMatchObject({ code: 'proxmox-unreachable', lost: false })
  })

  it('a stop ends the wait', async ({ expect }) => {
    const there = await host((_request, response) => {
      response.end('{"data":{"status":"running"}}')
    })
    const stop = new AbortController()
    const proxmox = client(there)
    await proxmox.get('/version')
    const waiting = proxmox.task('UPID:pve:0:0:0:qmstart:100:root@pam:', { signal: stop.signal })
    await vi.waitUntil(() => there.read.length > 3, { timeout: 60_000 })
    there.leave(60_000)
    stop.abort(new Error('stopped by the test'))
    const began = performance.now()
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
    // Long before the host is back; a busy machine takes its time.
    expect(performance.now() - began).toBeLessThan(20_000)
  })

  it('a stop of everything leaves a moment for what is cleaned up', async ({ expect }) => {
    const there = await host()
    const stop = new AbortController()
    const said = Promise.withResolvers<void>()
    const proxmox = client(there, { signal: stop.signal, say: () => said.resolve() })
    await proxmox.get('/version')
    there.leave(60_000)
    const waiting = proxmox.get('/version')
    await said.promise
    stop.abort(new Error('stopped by the test'))
    const began = performance.now()
    await expect(waiting).rejects.toThrow('stopped by the test')
    await expect(proxmox.get('/version')).rejects.toMatchObject({ code: 'proxmox-unreachable' })
    expect(performance.now() - began).toBeLessThan(20_000)
  })

  it('does not count as time that a task or a guest has taken', async () => {
    let polls = 0
    const there = await host((_request, response) => {
      response.end(JSON.stringify({ data: ++polls < 4 ? { status: 'running' } : { status: 'stopped', exitstatus: 'OK' } }))
    })
    const proxmox = client(there)
    const waiting = proxmox.task('UPID:pve:0:0:0:qmstart:100:root@pam:', { timeoutMs: 1500 })
    await vi.waitUntil(() => there.read.length > 1, { timeout: 60_000 })
    there.leave(2000)
    await waiting
  })
})

it.concurrent('what the agent told of an end to nobody is asked for again where that does no harm, else said', async ({ expect }) => {
  const end =
    (name: string): Answering =>
    (request, response, ordinal) => {
      if (request.url?.endsWith('/exec')) return void response.end('{"data":{"pid":7}}')
      if (ordinal === 2) return void response.socket?.destroy()
      if (ordinal === 3)
        return void response
          .writeHead(500, 'Agent error: PID 7 does not exist')
          .end('{"data":null,"message":"Agent error: PID 7 does not exist\\n"}')
      response.end(JSON.stringify({ data: { exited: 1, exitcode: 0, 'out-data': name } }))
    }
  expect(await client(await host(end('a'))).agentExec('pve', 100, ['slotctl', 'status'], { repeatable: true })).toMatchObject({
    stdout: 'a',
  })
  await expect(client(await host(end('b'))).agentExec('pve', 100, ['slotctl', 'format'])).rejects.toMatchObject({
    code: 'agent-exec-lost',
    lost: true,
  })
})

describe.concurrent('while a program goes on in a guest', () => {
  const says =
    (text: string): Answering =>
    (_request, response) => {
      response.writeHead(500, text).end(JSON.stringify({ data: null, message: `${text}\n` }))
    }
  const saying =
    (text: string, times: number): Answering =>
    (request, response, ordinal) => {
      if (request.url?.endsWith('/exec')) return void response.end('{"data":{"pid":7}}')
      if (ordinal <= times + 1) return says(text)(request, response, ordinal)
      response.end('{"data":{"exited":1,"exitcode":0,"out-data":"done"}}')
    }

  it.for([
    'QEMU guest agent is not running',
    "VM 100 qga command 'guest-exec-status' failed - got timeout",
    'Agent error: Command guest-exec-status is not allowed while frozen',
  ])('"%s" passes', async (text, { expect }) => {
    const there = await host(saying(text, 3))
    expect(await client(there).agentExec('pve', 100, ['slotctl', 'format'])).toMatchObject({ exitCode: 0, stdout: 'done' })
    expect(there.read.filter((one) => one.startsWith('POST'))).toHaveLength(1)
  })

  it('an agent that says nothing any more is waited for as long as the program is', async ({ expect }) => {
    const there = await host(saying('QEMU guest agent is not running', 1000))
    await expect(client(there).agentExec('pve', 100, ['slotctl', 'format'], { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'agent-exec-timeout',
      cause: { message: expect.stringContaining('QEMU guest agent') },
    })
  })

  it.for([
    ['VM 100 is not running', 'proxmox-refused'],
    ['VM 100 not running', 'proxmox-refused'],
    ["Configuration file 'nodes/pve/qemu-server/100.conf' does not exist", 'vm-missing'],
  ] as const)('"%s" is an end', async ([text, code], { expect }) => {
    const there = await host(saying(text, 1))
    await expect(client(there).agentExec('pve', 100, ['slotctl', 'format'])).rejects.toMatchObject({ code })
    expect(there.read).toHaveLength(2)
  })
})

it.concurrent('a file whose arrival nobody confirms is sent again, once what has arrived is done with', async ({ expect }) => {
  const files: number[] = []
  let working = true
  const there = await host((request, response) => {
    if (request.method === 'POST')
      return files.push(Number(request.headers['content-length'])) === 1
        ? void response.socket?.destroy()
        : void response.end('{"data":"UPID:pve:0:0:0:imgcopy::root@pam:"}')
    if (request.url?.includes('source=active'))
      return void response.end(
        JSON.stringify({
          data: [
            { upid: 'UPID:pve:1:0:0:imgcopy::root@pam:', type: 'imgcopy', id: '' },
            { upid: 'UPID:pve:2:0:0:qmstart:100:root@pam:', type: 'qmstart', id: '100' },
          ],
        }),
      )
    const first = request.url?.includes('pve%3A1') === true
    if (first && working)
      setTimeout(() => {
        working = false
      }, 100)
    response.end(JSON.stringify({ data: first && working ? { status: 'running' } : { status: 'stopped', exitstatus: 'OK' } }))
  })
  await client(there).upload({ node: 'pve', storage: 'iso', content: 'iso', filename: 'x.iso', data: Buffer.alloc(100_000) })
  expect(files).toHaveLength(2)
  expect(files[0]).toBe(files[1])
  expect(working).toBe(false)
})
