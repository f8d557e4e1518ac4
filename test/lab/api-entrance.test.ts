/** The ways into the lab's LAN: the SOCKS proxy and the router's ports. */
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { SocksClient } from 'socks'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { startRouterPort } from '../../lab/entrance/router-port.ts'
import type { Listener } from '../../lab/entrance/listen.ts'
import { startSocksProxy } from '../../lab/entrance/socks.ts'

let guest: Server
let port: number
let proxy: Listener
const asked: string[] = []

/** Stands for a guest: answers only when the other side has sent everything. */
beforeEach(async () => {
  asked.length = 0
  guest = createServer({ allowHalfOpen: true }, async (socket) => {
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk as Buffer)
    socket.end(`got ${Buffer.concat(chunks).length} bytes`)
  })
  guest.listen(0, '127.0.0.1')
  await once(guest, 'listening')
  port = (guest.address() as AddressInfo).port
  proxy = await startSocksProxy(async (host, wanted) => {
    asked.push(`${host}:${wanted}`)
    const socket = connect({ host: '127.0.0.1', port: wanted, allowHalfOpen: true })
    await once(socket, 'connect')
    return socket
  })
})
afterEach(async () => {
  await proxy.close()
  await new Promise((resolve) => guest.close(resolve))
})

async function text(socket: Socket): Promise<string> {
  let all = ''
  for await (const chunk of socket) all += String(chunk)
  return all
}

it.each([
  ['an IPv4 address', '10.77.0.20'],
  ['a name', 'serena.lab'],
])('connects by %s; the end of one direction leaves the other open', async (_, host) => {
  const { socket } = await SocksClient.createConnection({
    proxy: { host: proxy.host, port: proxy.port, type: 5 },
    command: 'connect',
    destination: { host, port },
  })
  socket.end(Buffer.alloc(1_000_000))
  expect(await text(socket)).toBe('got 1000000 bytes')
  expect(asked).toEqual([`${host}:${port}`])
})

it('nobody there: the client is told so', async () => {
  await new Promise((resolve) => guest.close(resolve))
  const attempt = SocksClient.createConnection({
    proxy: { host: proxy.host, port: proxy.port, type: 5 },
    command: 'connect',
    destination: { host: '10.77.0.20', port },
  })
  await expect(attempt).rejects.toThrow(/ConnectionRefused/)
  guest.listen(0, '127.0.0.1')
  await once(guest, 'listening')
})

it('IPv6 addresses, other commands and other protocols are refused', async () => {
  const say = async (...messages: number[][]): Promise<Buffer[]> => {
    const socket = connect(proxy.port, proxy.host)
    const answers: Buffer[] = []
    for (const message of messages) {
      socket.write(Buffer.from(message))
      const [answer] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [Buffer.alloc(0)])])
      answers.push(answer as Buffer)
    }
    socket.destroy()
    return answers
  }
  const [, ipv6] = await say([5, 1, 0], [5, 1, 0, 4, ...Array<number>(18).fill(0)])
  expect(ipv6?.[1]).toBe(8)
  const [, bind] = await say([5, 1, 0], [5, 2, 0, 1, 127, 0, 0, 1, 0, 80])
  expect(bind?.[1]).toBe(7)
  const [passwordOnly] = await say([5, 1, 2])
  expect([...(passwordOnly ?? [])]).toEqual([5, 0xff])
  const [socks4] = await say([4, 1, 0, 80, 127, 0, 0, 1, 0])
  expect(socks4).toHaveLength(0)
})

it("a router's port passes bytes both ways, and resets when nobody answers behind it", async () => {
  const open = await startRouterPort(async () => {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    await once(socket, 'connect')
    return socket
  })
  const socket = connect(open.port, open.host)
  socket.end('hello')
  expect(await text(socket)).toBe('got 5 bytes')
  await open.close()
  const shut = await startRouterPort(() => Promise.reject(new Error('no route')))
  const refused = connect(shut.port, shut.host)
  const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException]
  expect(error.code).toBe('ECONNRESET')
  await shut.close()
})
