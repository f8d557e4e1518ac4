/** The helper outside, and what is made of it, of names and of neighbours. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, it } from 'vitest'
import { isNeighbour, whoHas } from '../../core/neighbours.ts'
import { askOutside, outsideUrl, readAnswer } from '../../doctor/ask-outside.ts'
import { leadsHere } from '../../doctor/outside.ts'
import { outsideHelper } from '../../settings/site.ts'

const servers: { close(): unknown }[] = []
afterAll(() => {
  for (const server of servers) server.close()
})
const never = new AbortController().signal

it('the helper is asked for host and port, beside what its address has already', () => {
  expect(outsideUrl({ helper: 'https://h.example.org/knock?key=a', host: 'serena.example.org', port: 8443 })).toBe(
    'https://h.example.org/knock?key=a&host=serena.example.org&port=8443',
  )
})

it.each(['http://h.example.org/', 'https://me:secret@h.example.org/', 'https://h.example.org/#x', 'h.example.org'])(
  '%s is no address of a helper',
  (text) => {
    expect(outsideHelper.safeParse(text).success).toBe(false)
  },
)

it('its answer is read, and anything else refused in words', () => {
  expect(readAnswer('{ "open": true, "from": "203.0.113.7", "more": 1 }')).toEqual({ open: true, from: '203.0.113.7' })
  expect(readAnswer('{ "open": false }')).toEqual({ open: false })
  for (const text of ['', '<html>', '[]', '{ "open": "yes" }', '{ "open": true, "from": "a\\nb" }'])
    expect(() => readAnswer(text)).toThrow(/it does not answer/)
})

it('a helper over HTTP: asked once, and what it refuses is told', async () => {
  const asked: (string | undefined)[] = []
  const server = createServer((request, response) => {
    asked.push(request.url)
    response.statusCode = request.url?.startsWith('/no') === true ? 503 : 200
    response.end('{ "open": true, "from": "203.0.113.7" }')
  }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const helper = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const question = { host: 'serena.example.org', port: 443, env: {}, signal: never }
  expect(await askOutside({ ...question, helper: `${helper}/yes` })).toEqual({ open: true, from: '203.0.113.7' })
  expect(asked).toEqual(['/yes?host=serena.example.org&port=443'])
  await expect(askOutside({ ...question, helper: `${helper}/no` })).rejects.toThrow('it answers with 503')
})

it('a name that leads to this computer alone is right for a lab only', () => {
  expect(leadsHere({ host: 'localhost', found: ['127.0.0.1', '::1'], view: undefined, service: '10.0.0.2' })).toMatchObject({
    state: 'warn',
  })
})

it('a neighbour is in a network of one of this computer’s own interfaces', () => {
  const lan = { family: 'IPv4', internal: false, cidr: '192.168.1.9/24' } as const
  expect(isNeighbour('192.168.1.50', [lan])).toBe(true)
  expect(isNeighbour('192.168.2.50', [lan])).toBe(false)
  expect(isNeighbour('127.0.0.2', [{ family: 'IPv4', internal: true, cidr: '127.0.0.1/8' }])).toBe(false)
  expect(isNeighbour('192.168.1.50', [{ family: 'IPv6', internal: false, cidr: 'fd00::1/64' }])).toBe(false)
})

it('of an address of this computer, and of one that is in none of its networks', async () => {
  expect(await whoHas('127.0.0.1', never)).toMatchObject({ is: 'there' })
  // TEST-NET-2 (RFC 5737).
  expect(await whoHas('198.51.100.77', never)).toEqual({ is: 'unasked', why: 'this computer is not in its network' })
})
