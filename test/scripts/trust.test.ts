/** First contact over a line that breaks: what is pinned is not taken for wrong because of it. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as tcp, createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'
import { firstContact, type Trust } from '../../scripts/trust.ts'
import type { VerbContext } from '../../scripts/verb.ts'
import type { Site } from '../../settings/site.ts'
import { exampleSite } from '../images/example.ts'
import { recorder } from '../set-up.ts'

const authority = await makeAuthority("the host's", new Date())
const other = await makeAuthority('another', new Date())
const own = await makeServerCertificate(authority, ['127.0.0.1'], new Date())
const elsewhere = await makeServerCertificate(authority, ['10.0.0.1'], new Date())

let folder: string
const servers: Server[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-trust-'))
})
afterAll(async () => {
  for (const server of servers) server.close()
  await rm(folder, { recursive: true, force: true })
})

async function listen(server: Server): Promise<number> {
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** @param breaks which connections, from 1 on, are reset instead of passed on */
async function contact(
  pem: string,
  breaks: (ordinal: number) => boolean,
  pair = own,
): Promise<{ trust: Promise<Trust>; connections: () => number }> {
  const host = await listen(createTlsServer({ cert: pair.certificate, key: pair.key }, (socket) => socket.on('error', () => {})))
  let connections = 0
  const port = await listen(
    createServer((near) => {
      near.on('error', () => {})
      if (breaks(++connections)) return void near.resetAndDestroy()
      const far = tcp(host, '127.0.0.1').on('error', () => {})
      near.pipe(far).pipe(near)
    }),
  )
  const site = structuredClone(exampleSite()) as { -readonly [Key in keyof Site]: Site[Key] }
  site.proxmox = { ...site.proxmox, url: `https://127.0.0.1:${port}` }
  const file = resolve(folder, site.proxmox.caFile)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, pem)
  const flags = { fingerprint: new X509Certificate(pair.certificate).fingerprint256 }
  const context = { flags, progress: recorder().progress, signal: new AbortController().signal } as unknown as VerbContext
  return { trust: firstContact(site, folder, context), connections: () => connections }
}

it('a pin stands though the connection that tries it is reset', async () => {
  const { trust, connections } = await contact(authority.certificate, (ordinal) => ordinal === 2)
  expect(await trust).toMatchObject({ caPem: authority.certificate, pinned: authority.certificate })
  expect(connections()).toBe(3)
})

it('when no connection comes about it is not known whether a pin stands, and that is said', async () => {
  const { trust } = await contact(authority.certificate, (ordinal) => ordinal > 1)
  await expect(trust).rejects.toMatchObject({ code: 'proxmox-unreachable', hint: expect.stringContaining('proxmox.url') })
})

it('a pin that does not verify the certificate is found out at once', async () => {
  const { trust, connections } = await contact(other.certificate, () => false)
  expect(await trust).toMatchObject({ pinned: undefined, caPem: own.certificate })
  expect(connections()).toBe(2)
})

it('nor does one stand for a host with another name', async () => {
  const { trust } = await contact(authority.certificate, () => false, elsewhere)
  await expect(trust).rejects.toMatchObject({ code: 'certificate-name' })
})
