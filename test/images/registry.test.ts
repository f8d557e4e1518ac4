import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { webcrypto } from 'node:crypto'
import 'reflect-metadata'
import { cryptoProvider, PemConverter, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { sha256 } from '../../images/canonical.ts'
import { resolveDigest } from '../../images/registry.ts'
import { hash } from './example.ts'

let server: Server
let caPem: string
let host: string
let answer: (request: IncomingMessage, response: ServerResponse) => void
const seen: string[] = []

beforeAll(async () => {
  cryptoProvider.set(webcrypto as typeof globalThis.crypto)
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=registry', keys: keys as Required<typeof keys>, signingAlgorithm: algorithm, notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000),
    extensions: [new SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])]
  })
  caPem = certificate.toString('pem')
  const key = PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')
  server = createServer({ key, cert: caPem }, (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization ?? '-'}`)
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => { server.close() })
beforeEach(() => { seen.length = 0 })

const digest = `sha256:${hash('7')}`

describe('resolveDigest', () => {
  it('takes the digest of the answer\'s header', async () => {
    answer = (_request, response) => response.writeHead(200, { 'docker-content-digest': digest }).end()
    expect(await resolveDigest(`${host}/team/app`, '1.2', { caPem })).toBe(digest)
    expect(seen).toEqual(['HEAD /v2/team/app/manifests/1.2 -'])
  })

  it('gets an anonymous token where the registry asks for one', async () => {
    answer = (request, response) => {
      if (request.url?.startsWith('/token?')) response.writeHead(200, { 'content-type': 'application/json' }).end('{"token":"abc"}')
      else if (request.headers.authorization === 'Bearer abc') response.writeHead(200, { 'docker-content-digest': digest }).end()
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="https://${host}/token",service="reg",scope="repository:team/app:pull"` }).end()
    }
    expect(await resolveDigest(`${host}/team/app`, '1.2', { caPem })).toBe(digest)
    expect(seen[1]).toBe('GET /token?service=reg&scope=repository%3Ateam%2Fapp%3Apull -')
  })

  it('computes the digest where the header is missing', async () => {
    answer = (request, response) => response.writeHead(200).end(request.method === 'GET' ? '{"manifest":1}' : undefined)
    expect(await resolveDigest(`${host}/team/app`, '1.2', { caPem })).toBe(`sha256:${sha256('{"manifest":1}')}`)
  })

  it.each([[404, 'image-not-found'], [403, 'registry-denied'], [429, 'registry-refused'], [500, 'registry-refused']])('answer %i is the failure %s', async (status, code) => {
    answer = (_request, response) => response.writeHead(status).end()
    await expect(resolveDigest(`${host}/team/app`, '1.2', { caPem })).rejects.toMatchObject({ code })
  })

  it('sends no request for a token anywhere but over TLS', async () => {
    answer = (_request, response) => response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://127.0.0.1:1/token"' }).end()
    await expect(resolveDigest(`${host}/team/app`, '1.2', { caPem })).rejects.toMatchObject({ code: 'registry-denied' })
  })

  it('does not trust a certificate that the site does not name', async () => {
    await expect(resolveDigest(`${host}/team/app`, '1.2')).rejects.toMatchObject({ code: 'registry-unreachable', hint: expect.stringContaining('image.registries') })
  })
})
