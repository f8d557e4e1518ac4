/** Two slots know each other by one certificate that both have, and believe nobody else: over real TLS. */
import { X509Certificate } from 'node:crypto'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { thisMachine, type Machine, type Question } from '../../images/guest/machine.ts'
import { askPeer, ownerPath, peerName, type OwnerReport } from '../../images/guest/peer.ts'
import { peerCertificateFile, peerKeyFile } from '../../images/guest/places.ts'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'
import { seeds } from './seed.ts'

const authority = await makeAuthority('test', new Date())
const pair = await makeServerCertificate(authority, [peerName], new Date())
/** By the same authority, for the same name: it is still somebody else's. */
const stranger = await makeServerCertificate(authority, [peerName], new Date())
const report: OwnerReport = { release: 'r', slot: 'green', owner: true, healthy: true, holds: false, connections: null }

let server: Server
let showing = pair
const asked: { certificate: string | undefined; name: string | false | null }[] = []

beforeAll(async () => {
  server = createServer(
    { cert: pair.certificate, key: pair.key, requestCert: true, rejectUnauthorized: false },
    ({ url, socket }, response) => {
      const { servername } = socket as TLSSocket & { servername: string | false | null }
      asked.push({ certificate: (socket as TLSSocket).getPeerX509Certificate()?.fingerprint512, name: servername })
      response.end(url === ownerPath ? JSON.stringify(report) : '')
    },
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(() => void server.close())

function machine(files: Record<string, string>): Machine {
  const { port } = server.address() as AddressInfo
  server.setSecureContext({ cert: showing.certificate, key: showing.key })
  return {
    ...thisMachine,
    files: { ...thisMachine.files, exists: (path) => path in files, read: (path) => files[path] ?? '' },
    ask: (question: Question) => {
      expect(question.to).toEqual({ host: seeds.serena.peer, port: 443 })
      return thisMachine.ask({ ...question, to: { host: '127.0.0.1', port } })
    },
  }
}
const known = { [peerCertificateFile]: pair.certificate, [peerKeyFile]: pair.key }

it('shows its certificate, asks for the name, and believes the same certificate', async () => {
  showing = pair
  expect(await askPeer(machine(known), seeds.serena)).toEqual(report)
  expect(asked.at(-1)?.name).toBe(peerName)
  expect(asked.at(-1)?.certificate).toBe(new X509Certificate(pair.certificate).fingerprint512)
})

it('believes no other certificate, whoever signed it', async () => {
  showing = stranger
  expect(await askPeer(machine(known), seeds.serena)).toBeUndefined()
})

it('asks nobody without a certificate of its own, and nobody there is no answer', async () => {
  showing = pair
  const before = asked.length
  expect(await askPeer(machine({}), seeds.serena)).toBeUndefined()
  expect(asked.length).toBe(before)
  const away: Machine = { ...machine(known), ask: () => Promise.reject(new Error('connect ECONNREFUSED')) }
  expect(await askPeer(away, seeds.serena)).toBeUndefined()
})
