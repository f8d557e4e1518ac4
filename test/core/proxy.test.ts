/** HTTPS_PROXY and NO_PROXY mean the same to us as to Go's programs (golang.org/x/net/http/httpproxy). */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { directTo, hostOf, proxyFor } from '../../core/proxy.ts'
import { WayOut } from '../../core/way-out.ts'
import { resolveDigest } from '../../images/registry.ts'

const proxy = 'http://proxy.example.org:3128'
const by = (url: string, no: string): string | undefined => proxyFor(url, { HTTPS_PROXY: proxy, NO_PROXY: no })

it.each([
  ['https://ghcr.io/v2/', ''],
  ['https://ghcr.io/v2/', 'example.org,10.0.0.0/8'],
  ['https://notexample.org/', 'example.org'],
  ['https://example.org/', '.example.org'],
  ['https://example.org:8443/', 'example.org:443'],
  ['https://10.0.0.1/', '10.0.0.2,11.0.0.0/8'],
  ['https://[fd00::6]/', 'fd00::5'],
  ['https://[fd01::6]/', 'fd00::/16'],
  ['https://[fd00::5]:8443/', '[fd00::5]:443'],
])('%s goes by the proxy with NO_PROXY=%s', (url, no) => expect(by(url, no)).toBe(proxy))

it.each([
  ['https://ghcr.io/', '*'],
  ['https://example.org/', 'a, EXAMPLE.org'],
  ['https://registry.example.org/', 'example.org'],
  ['https://registry.example.org/', '.example.org'],
  ['https://registry.example.org/', '*.example.org'],
  ['https://example.org/', 'example.org:443'],
  ['https://10.0.0.1/', '10.0.0.0/8'],
  ['https://10.0.0.1:8006/', '10.0.0.1:8006'],
  ['https://[fd00::5]/', 'fd00::5'],
  ['https://[fd00::5]:8006/', 'fd00:0:0:0:0:0:0:5'],
  ['https://[fd00::5]:8006/', '[fd00::5]:8006'],
  ['https://[fd00::5]/', 'fd00::/16'],
  ['https://localhost:1/', ''],
  ['https://127.0.0.1:1/', ''],
  ['https://[::1]:1/', ''],
])('%s goes directly with NO_PROXY=%s', (url, no) => expect(by(url, no)).toBeUndefined())

it('lower case counts too, each scheme has its own, a bare HOST:PORT is a proxy, and nonsense is told', () => {
  expect(proxyFor('https://a.org/', { https_proxy: proxy })).toBe(proxy)
  expect(proxyFor('https://a.org/', { HTTP_PROXY: proxy })).toBeUndefined()
  expect(proxyFor('http://a.org/', { HTTP_PROXY: proxy })).toBe(proxy)
  expect(proxyFor('https://a.org/', { HTTPS_PROXY: 'proxy:3128' })).toBe('http://proxy:3128')
  expect(proxyFor('https://a.org/', { HTTPS_PROXY: '' })).toBeUndefined()
  expect(() => proxyFor('https://a.org/', { HTTPS_PROXY: 'socks5://proxy:1080' })).toThrow('HTTPS_PROXY is no http:// or https:// address')
})

it('the host of a URL has no brackets', () =>
  expect([hostOf('https://[fd00::5]:8006'), hostOf('https://pve:8006/x')]).toEqual(['fd00::5', 'pve']))

it('"golden lock" asks a registry by the proxy', async () => {
  const asked: string[] = []
  const server: Server = createServer()
  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    asked.push(request.url ?? '')
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const before = process.env.HTTPS_PROXY
  process.env.HTTPS_PROXY = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    await expect(resolveDigest('registry.example.org/serena', 'latest')).rejects.toMatchObject({
      code: 'registry-unreachable',
      hint: expect.stringContaining('HTTPS_PROXY'),
    })
  } finally {
    if (before === undefined) delete process.env.HTTPS_PROXY
    else process.env.HTTPS_PROXY = before
  }
  expect(asked).toEqual(['registry.example.org:443'])
})

it('what has to be reached directly is added to what the caller says, whichever name that has', () => {
  expect(directTo('pve', {})).toBe('pve')
  expect(directTo('fd00::5', { NO_PROXY: '', no_proxy: 'intern' })).toBe('intern,fd00::5')
})

/** A proxy that is none: it takes connections, and ends them or answers as an ordinary server. */
async function proxyThat(does: (socket: Socket) => void): Promise<{ url: string; connections: () => number }> {
  let connections = 0
  const server = createTcpServer((socket) => {
    connections += 1
    socket.on('error', () => {})
    does(socket)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, connections: () => connections }
}

async function askedBy(proxy: string, url: string): Promise<number> {
  const way = new WayOut({ HTTP_PROXY: proxy, HTTPS_PROXY: proxy })
  try {
    const { statusCode, body } = await request(url, { dispatcher: way })
    await body.dump()
    return statusCode
  } finally {
    await way.destroy()
  }
}

it.each([
  ['at once', (socket: Socket) => socket.end()],
  ['when it is asked', (socket: Socket) => void socket.once('data', () => socket.end())],
  ['with a reset', (socket: Socket) => void socket.once('data', () => socket.resetAndDestroy())],
])('a proxy that hangs up %s is a failure, not something to try for ever', async (_, does) => {
  for (const url of ['https://example.org/', 'http://example.org/']) {
    const { url: proxy, connections } = await proxyThat(does)
    await expect(askedBy(proxy, url)).rejects.toThrow(/closed|ended the connection|ECONNRESET/)
    expect(connections()).toBe(1)
  }
})

it('what is not TLS is asked of the proxy itself, without a tunnel', async () => {
  let asked = ''
  const { url: proxy } = await proxyThat((socket) => {
    socket.once('data', (data) => {
      asked = String(data).split('\r\n')[0] ?? ''
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    })
  })
  expect(await askedBy(proxy, 'http://example.org/a?b')).toBe(200)
  expect(asked).toBe('GET http://example.org/a?b HTTP/1.1')
})

it('a proxy that takes a connection and says nothing is given up', async () => {
  for (const url of ['https://example.org/', 'http://example.org/']) {
    const { url: proxy } = await proxyThat(() => {})
    const way = new WayOut({ HTTP_PROXY: proxy, HTTPS_PROXY: proxy }, { headersTimeoutMs: 300 })
    try {
      await expect(request(url, { dispatcher: way })).rejects.toThrow(/does not answer in 0\.3 s|Headers Timeout/)
    } finally {
      await way.destroy()
    }
  }
}, 20_000)
