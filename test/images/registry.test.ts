import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { sha256 } from '../../core/canonical.ts'
import { resolveDigest, resolvePlatform } from '../../images/registry.ts'
import { hash } from './example.ts'
import { serveTls, type Answer, type TlsServer } from './tls-server.ts'

let server: TlsServer['server']
let caPem: string
let host: string
let answer: Answer
/** Another host, with a CA of its own. */
let other: TlsServer
let answerOfOther: Answer
const seen: string[] = []

beforeAll(async () => {
  ;({ server, caPem, host } = await serveTls((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization ?? '-'}`)
    answer(request, response)
  }))
  other = await serveTls((request, response) => {
    seen.push(`other: ${request.method} ${request.url} ${request.headers.authorization ?? '-'}`)
    answerOfOther(request, response)
  })
})
afterAll(() => {
  other.server.close()
})
afterAll(() => {
  server.close()
})
beforeEach(() => {
  seen.length = 0
})

const digest = `sha256:${hash('7')}`

describe('resolveDigest', () => {
  it("takes the digest of the answer's header", async () => {
    answer = (_request, response) => response.writeHead(200, { 'docker-content-digest': digest }).end()
    expect(await resolveDigest(`${host}/team/app`, '1.2', { caPem })).toBe(digest)
    expect(seen).toEqual(['HEAD /v2/team/app/manifests/1.2 -'])
  })

  it('gets an anonymous token where the registry asks for one', async () => {
    answer = (request, response) => {
      if (request.url?.startsWith('/token?')) response.writeHead(200, { 'content-type': 'application/json' }).end('{"token":"abc"}')
      else if (request.headers.authorization === 'Bearer abc') response.writeHead(200, { 'docker-content-digest': digest }).end()
      else
        response
          .writeHead(401, { 'www-authenticate': `Bearer realm="https://${host}/token",service="reg",scope="repository:team/app:pull"` })
          .end()
    }
    expect(await resolveDigest(`${host}/team/app`, '1.2', { caPem })).toBe(digest)
    expect(seen[1]).toBe('GET /token?service=reg&scope=repository%3Ateam%2Fapp%3Apull -')
  })

  it('gets the token from another host, which the usual CAs vouch for', async () => {
    const usual = getCACertificates('default')
    setDefaultCACertificates([...usual, other.caPem])
    try {
      answer = (request, response) => {
        if (request.headers.authorization === 'Bearer abc') response.writeHead(200, { 'docker-content-digest': digest }).end()
        else response.writeHead(401, { 'www-authenticate': `Bearer realm="https://${other.host}/token"` }).end()
      }
      answerOfOther = (_request, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"token":"abc"}')
      expect(await resolveDigest(`${host}/team/app`, '1.2', { caPem })).toBe(digest)
    } finally {
      setDefaultCACertificates(usual)
    }
  })

  it('goes where the registry sends it, without the token', async () => {
    answer = (request, response) => {
      if (request.url?.startsWith('/token')) response.writeHead(200, { 'content-type': 'application/json' }).end('{"token":"abc"}')
      else if (request.headers.authorization === undefined)
        response.writeHead(401, { 'www-authenticate': `Bearer realm="https://${host}/token"` }).end()
      else response.writeHead(307, { location: `https://${other.host}/elsewhere` }).end()
    }
    answerOfOther = (_request, response) => response.writeHead(200, { 'docker-content-digest': digest }).end()
    expect(await resolveDigest(`${host}/team/app`, '1.2', { caPem: `${caPem}\n${other.caPem}` })).toBe(digest)
    expect(seen.at(-1)).toBe('other: HEAD /elsewhere -')
  })

  it.each([
    ['http://127.0.0.1:1/', /http:/],
    ['/v2/team/app/manifests/1.2', /more than five/],
  ])('does not go on for ever, nor without TLS (%s)', async (location, message) => {
    answer = (_request, response) => response.writeHead(302, { location }).end()
    await expect(resolveDigest(`${host}/team/app`, '1.2', { caPem })).rejects.toMatchObject({
      code: 'registry-refused',
      message: expect.stringMatching(message),
    })
  })

  it('computes the digest where the header is missing', async () => {
    answer = (request, response) => response.writeHead(200).end(request.method === 'GET' ? '{"manifest":1}' : undefined)
    expect(await resolveDigest(`${host}/team/app`, '1.2', { caPem })).toBe(`sha256:${sha256('{"manifest":1}')}`)
  })

  it.each([
    [404, 'image-not-found'],
    [403, 'registry-denied'],
    [429, 'registry-refused'],
    [500, 'registry-refused'],
  ])('answer %i is the failure %s', async (status, code) => {
    answer = (_request, response) => response.writeHead(status).end()
    await expect(resolveDigest(`${host}/team/app`, '1.2', { caPem })).rejects.toMatchObject({ code })
  })

  it('sends no request for a token anywhere but over TLS', async () => {
    answer = (_request, response) => response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://127.0.0.1:1/token"' }).end()
    await expect(resolveDigest(`${host}/team/app`, '1.2', { caPem })).rejects.toMatchObject({ code: 'registry-denied' })
  })

  it('does not trust a certificate that the site does not name', async () => {
    await expect(resolveDigest(`${host}/team/app`, '1.2')).rejects.toMatchObject({
      code: 'registry-unreachable',
      hint: expect.stringContaining('image.registries'),
    })
  })
})

describe('resolvePlatform', () => {
  const manifest = (os: string, architecture: string, letter: string) => ({
    digest: `sha256:${hash(letter)}`,
    platform: { os, architecture },
  })
  const serveText = (text: string): string => {
    answer = (_request, response) => response.writeHead(200).end(text)
    return `sha256:${sha256(text)}`
  }

  it('finds the manifest for linux/amd64 in an index, by digest', async () => {
    const wanted = serveText(
      JSON.stringify({
        manifests: [manifest('linux', 'arm64', '3'), manifest('linux', 'amd64', '4'), manifest('unknown', 'unknown', '5')],
      }),
    )
    expect(await resolvePlatform(`${host}/team/app`, wanted, { caPem })).toBe(`sha256:${hash('4')}`)
    expect(seen).toEqual([`GET /v2/team/app/manifests/${wanted} -`])
  })

  it('is the digest itself where there is no index', async () => {
    const wanted = serveText('{"layers":[]}')
    expect(await resolvePlatform(`${host}/team/app`, wanted, { caPem })).toBe(wanted)
  })

  it.each([
    ['something else under that digest', 'registry-altered', () => (serveText('{"manifests":[]}'), digest)],
    [
      'an index without linux/amd64',
      'image-other-platform',
      () => serveText(JSON.stringify({ manifests: [manifest('linux', 'arm64', '3')] })),
    ],
    ['what is no manifest', 'registry-refused', () => serveText('<html>')],
  ])('refuses %s by name', async (_what, code, serving) => {
    const wanted = serving()
    await expect(resolvePlatform(`${host}/team/app`, wanted, { caPem })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(`${host}/team/app`),
    })
  })
})
