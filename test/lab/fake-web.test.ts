/** The web server of a fake guest, for whoever comes from beyond it. */
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { connect as tlsConnect } from 'node:tls'
import type { Duplex } from 'node:stream'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Machine } from '../../lab/compute/driver.ts'
import type { GuestQuestion } from '../../lab/compute/fake/programs.ts'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'
import { Rig } from './fake-rig.ts'

const authority = await makeAuthority('test', new Date())
const pair = await makeServerCertificate(authority, ['10.77.0.40'], new Date())
const asked: GuestQuestion[] = []
let rig: Rig
let machine: Machine
beforeAll(async () => {
  const started = await Rig.withMachine(140, '10.77.0.40', {
    // The router's address, as everybody beyond has it, gets to two ports.
    server: (_inside, from, to, port) =>
      from !== '10.77.0.1' || to !== '10.77.0.40'
        ? undefined
        : port === 443
          ? { tls: { key: pair.key, cert: pair.certificate } }
          : port === 80
            ? {}
            : undefined,
    answer: (question) => {
      asked.push(question)
      return question.path === '/nobody' ? undefined : { status: 201, headers: { 'x-of': 'guest' }, body: `said ${question.body}` }
    },
  })
  rig = started.rig
  machine = started.machine
  await rig.until(async () => (await rig.driver.network.dial('10.77.0.40', 22)).destroy())
}, 30_000)
afterAll(() => rig?.close())

/** @param stream what the request goes over */
async function ask(stream: Duplex, path = '/a?b=c'): Promise<{ status: number | undefined; of: unknown; body: string }> {
  const agent = new Agent()
  agent.createConnection = () => stream
  const sent = request({ agent, host: 'serena', method: 'POST', path, headers: { 'X-Who': 'me' } })
  sent.end('hello')
  const [answer] = (await once(sent, 'response')) as [import('node:http').IncomingMessage]
  return { status: answer.statusCode, of: answer.headers['x-of'], body: await text(answer) }
}

it('speaks HTTP over TLS with the certificate that the guest has', async () => {
  const socket = tlsConnect({ socket: await rig.driver.network.dial('10.77.0.40', 443), ca: authority.certificate, host: '10.77.0.40' })
  await once(socket, 'secureConnect')
  expect(socket.authorized).toBe(true)
  expect(await ask(socket)).toEqual({ status: 201, of: 'guest', body: 'said hello' })
  expect(asked.at(-1)).toMatchObject({
    to: { host: '10.77.0.40', port: 443 },
    tls: {},
    method: 'POST',
    path: '/a?b=c',
    headers: { 'x-who': 'me' },
    body: 'hello',
  })
})

it('speaks plain HTTP where there is no certificate; what nobody answers is cut off', async () => {
  expect(await ask(await rig.driver.network.dial('10.77.0.40', 80))).toMatchObject({ status: 201 })
  expect(asked.at(-1)?.tls).toBeUndefined()
  await expect(ask(await rig.driver.network.dial('10.77.0.40', 80), '/nobody')).rejects.toMatchObject({ code: 'ECONNRESET' })
})

it('is not there for a port or a caller that the guest does not take, nor once the guest is off', async () => {
  await expect(rig.driver.network.dial('10.77.0.40', 8443)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  await expect(rig.driver.network.dialStranger('10.77.0.40', 443)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  const open = await rig.driver.network.dial('10.77.0.40', 443)
  const closed = once(open, 'close')
  await machine.stop()
  await closed
  await expect(rig.driver.network.dial('10.77.0.40', 443)).rejects.toMatchObject({ code: 'EHOSTUNREACH' })
})
