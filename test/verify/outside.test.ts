/** What this computer sees of a machine that serves, and of one that does not do so as it should. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import { connect, createServer as createPlainServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startSocksProxy } from '../../lab/entrance/socks.ts'
import type { Listener } from '../../lab/entrance/listen.ts'
import { makeAuthority, makeServerCertificate, type PemPair } from '../../settings/secrets/certificates.ts'
import { clientProblems, fromHere, waysBack, type Client } from '../../verify/outside.ts'
import { exampleSite } from '../images/example.ts'

let authority: PemPair
let server: Server
let proxy: Listener
let answer: (authorization: string | undefined) => { status: number; body: string }
const good = `Basic ${Buffer.from('golden-check:right').toString('base64')}`
const asItShould: typeof answer = (authorization) =>
  authorization === good ? { status: 200, body: 'data: {"result":{"serverInfo":{}}}\n\n' } : { status: 401, body: '' }

const portOf = (of: { address(): unknown }): number => (of.address() as { port: number }).port
const target = () => ({ host: '127.0.0.1', port: portOf(server) })
const client = (change: Partial<Client> = {}): Client => ({
  to: target(),
  host: 'serena.example.org',
  ca: authority.certificate,
  user: 'golden-check',
  password: 'right',
  ...change,
})

beforeAll(async () => {
  authority = await makeAuthority('test', new Date())
  const pair = await makeServerCertificate(authority, ['serena.example.org'], new Date())
  server = createServer({ cert: pair.certificate, key: pair.key }, (asked, reply) => {
    const { status, body } = answer(asked.headers.authorization)
    asked.resume()
    reply.writeHead(asked.headers.host === 'serena.example.org' && asked.url === '/mcp' ? status : 404).end(body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  proxy = await startSocksProxy(async (host, port) => {
    if (host !== '198.18.0.1') throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    await once(socket, 'connect')
    return socket
  })
})
afterAll(async () => {
  server.close()
  await proxy.close()
})

describe('a client', () => {
  it('has nothing to say of a machine that lets in by password and nobody else', async () => {
    answer = asItShould
    expect(await clientProblems(fromHere(undefined), client())).toEqual([])
  })

  it("gets there through the site's proxy as well", async () => {
    answer = asItShould
    const here = fromHere({ host: '127.0.0.1', port: proxy.port })
    expect(await clientProblems(here, client({ to: { ...target(), host: '198.18.0.1' } }))).toEqual([])
  })

  it.each<[string, typeof answer, Partial<Client>, RegExp[]]>([
    [
      'lets everybody in',
      () => ({ status: 200, body: '"serverInfo"' }),
      {},
      [/without a password is answered with 200/, /wrong password is answered with 200/],
    ],
    ['lets nobody in', () => ({ status: 401, body: '' }), {}, [/right password is answered with 401/]],
    ['has no Serena', (given) => (given === good ? { status: 503, body: 'starting' } : { status: 401, body: '' }), {}, [/503 starting/]],
    [
      'shows a certificate for another name',
      asItShould,
      { host: 'other.example.org' },
      [/altnames|does not match/i, /altnames|does not match/i, /altnames|does not match/i],
    ],
  ])('says of one that %s what is wrong', async (_what, how, change, expected) => {
    answer = how
    const problems = await clientProblems(fromHere(undefined), client(change))
    expect(problems).toHaveLength(expected.length)
    for (const [at, pattern] of expected.entries()) expect(problems[at]).toMatch(pattern)
  })

  it('does not trust another CA', async () => {
    answer = asItShould
    const other = await makeAuthority('other', new Date())
    expect(await clientProblems(fromHere(undefined), client({ ca: other.certificate }))).toHaveLength(3)
  })
})

it('only what takes a connection is reached', async () => {
  const closed = createPlainServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const gone = portOf(closed)
  closed.close()
  await once(closed, 'close')
  const targets = [target(), { host: '127.0.0.1', port: gone }]
  expect(await fromHere(undefined).reached(targets)).toEqual([`127.0.0.1:${target().port}`])
})

it('answers find their way to the LAN, and beyond it to administrators, but not to everybody', () => {
  const ways = (admin: string[]) =>
    waysBack(
      exampleSite((input) => {
        input.network.admin = admin
      }),
    )
  expect(ways(['192.168.1.0/24'])).toEqual([['192.168.1.0/24', 'dev', 'eth0']])
  expect(ways(['192.168.1.16/28', '10.9.0.0/16', '0.0.0.0/0', '192.168.0.0/16']).slice(1)).toEqual([
    ['10.9.0.0/16', 'via', '192.168.1.1', 'dev', 'eth0', 'onlink'],
  ])
})
