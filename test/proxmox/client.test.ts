/** What the client tells about hosts that refuse, that are somebody else, or that say nothing. */
import { once } from 'node:events'
import { createServer as createHttpsServer, type Server } from 'node:https'
import type { RequestListener } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { connect, type Endpoint } from '../../proxmox/client.ts'
import { makeAuthority, makeServerCertificate, type PemPair } from '../../settings/secrets/certificates.ts'

const authority = await makeAuthority('test CA', new Date())
const own = await makeServerCertificate(authority, ['127.0.0.1'], new Date())
const token = { id: 'golden@pve!golden', secret: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee' }

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean()
})

async function serve(answer: RequestListener, pair: PemPair = own): Promise<string> {
  const server: Server = createHttpsServer({ cert: pair.certificate, key: pair.key }, answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function failureOf(endpoint: Endpoint): Promise<{ code: string; message: string; hint: string }> {
  try {
    const proxmox = connect(endpoint)
    cleanups.push(() => proxmox.close())
    await proxmox.get('/version')
  } catch (error) {
    return error as { code: string; message: string; hint: string }
  }
  throw new Error('it answered')
}

const refuse: RequestListener = (_request, response) => {
  response.writeHead(401, 'invalid token value!').end()
}
const caPem = authority.certificate

it('a token that is not accepted leads to a new one, not to the same again', async () => {
  const failure = await failureOf({ url: await serve(refuse), caPem, auth: token })
  expect(failure).toMatchObject({
    code: 'not-authenticated',
    message: expect.stringContaining('golden@pve!golden'),
    hint: expect.stringContaining('golden setup --new-token'),
  })
})

it('a password that is not accepted has a code of its own', async () => {
  const failure = await failureOf({ url: await serve(refuse), caPem, auth: { username: 'root@pam', password: 'guess' } })
  expect(failure).toMatchObject({ code: 'login-refused', message: expect.stringContaining('root@pam') })
})

it('a second factor is named as what is in the way', async () => {
  const url = await serve((request, response) => {
    if (request.url !== '/api2/json/access/ticket') return void response.writeHead(401, 'No ticket').end()
    response.setHeader('Content-Type', 'application/json')
    response.end(
      JSON.stringify({
        data: { ticket: 'PVE:!tfa!%7B%22totp%22%3Atrue%7D:ABC::xyz', CSRFPreventionToken: 'x:y', username: 'root@pam', NeedTFA: 1 },
      }),
    )
  })
  const failure = await failureOf({ url, caPem, auth: { username: 'root@pam', password: 'right' } })
  expect(failure).toMatchObject({ code: 'tfa-needed', hint: expect.stringContaining('PROXMOX_ADMIN_TOKEN') })
})

it.each(['two\nlines', '\uFEFFmarked', 'with space'])('%j is refused as a secret before anything is sent', async (secret) => {
  const failure = await failureOf({ url: 'https://127.0.0.1:9', caPem, auth: { id: token.id, secret } })
  expect(failure).toMatchObject({ code: 'token-malformed', hint: expect.stringContaining('one line') })
  expect(failure.message).not.toContain(secret)
})

it.each(['', 'x', '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n'])('%j is no certificate to pin', async (text) => {
  expect(await failureOf({ url: 'https://127.0.0.1:9', caPem: text, auth: token })).toMatchObject({
    code: 'ca-unreadable',
    hint: expect.stringContaining('proxmox.caFile'),
  })
})

it('a pinned certificate under a name that is not in it is refused, as Packer and OpenTofu would, with the names that work', async () => {
  const other = await makeServerCertificate(authority, ['pve.lan', 'localhost', '192.168.1.5', 'fd00::5'], new Date())
  const url = await serve(refuse, other)
  const failure = await failureOf({ url, caPem: other.certificate, auth: token })
  const port = new URL(url).port
  expect(failure).toMatchObject({ code: 'certificate-name', message: expect.stringContaining('127.0.0.1') })
  expect(failure.hint).toContain(`https://pve.lan:${port}, https://192.168.1.5:${port}, https://[`)
  expect(failure.hint).not.toContain('localhost')
})

it('a pinned certificate without its CA is enough, under a name that is in it', async () => {
  const leaf = own.certificate.slice(0, own.certificate.indexOf('-----END CERTIFICATE-----') + 26)
  expect(await failureOf({ url: await serve(refuse), caPem: leaf, auth: token })).toMatchObject({ code: 'not-authenticated' })
})

it('a host that takes the connection and then says nothing is given up', async () => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  silent.on('connection', (socket) => cleanups.push(() => socket.destroy()))
  cleanups.push(() => silent.close())
  const failure = await failureOf({
    url: `https://127.0.0.1:${(silent.address() as AddressInfo).port}`,
    caPem,
    auth: token,
    connectTimeoutMs: 100,
  })
  expect(failure).toMatchObject({ code: 'proxmox-unreachable', message: expect.stringContaining('no connection within 0.1 s') })
})

it('who waited for a connection that others had is asked once, and not given up as if there were none', async () => {
  let asked = 0
  // Each answer takes longer than a connection may.
  const url = await serve((_request, response) => {
    asked += 1
    setTimeout(() => response.end('{"data":"late"}'), 400)
  })
  const proxmox = connect({ url, caPem, auth: token, connectTimeoutMs: 250 })
  cleanups.push(() => proxmox.close())
  expect(await Promise.all(Array.from({ length: 12 }, () => proxmox.get('/version')))).toEqual(Array(12).fill('late'))
  expect(asked).toBe(12)
}, 60_000)

it("tells Proxmox's own time, however wrong this computer's is", async () => {
  const theirs = Date.parse('2031-05-01T10:00:00Z')
  let silent = false
  const url = await serve((_request, response) => {
    response.sendDate = false
    if (!silent) response.setHeader('Date', new Date(theirs).toUTCString())
    response.end('{"data":{}}')
  })
  const proxmox = connect({ url, caPem, auth: token })
  cleanups.push(() => proxmox.close())
  // Nobody has answered yet.
  expect(Math.abs(proxmox.now().getTime() - Date.now())).toBeLessThan(1000)
  await proxmox.get('/version')
  const told = proxmox.now().getTime()
  expect(told).toBeGreaterThanOrEqual(theirs)
  expect(told).toBeLessThan(theirs + 60_000)
  // Answers that do not say it leave what is known, which goes on.
  silent = true
  await proxmox.get('/version')
  // A quick machine is back in the same millisecond.
  await vi.waitUntil(() => proxmox.now().getTime() > told, { timeout: 60_000 })
  expect(proxmox.now().getTime()).toBeLessThan(theirs + 120_000)
})
