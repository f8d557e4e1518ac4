import fc from 'fast-check'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { acme, acmeWays, directoryOf, letsEncrypt, type AcmeInput } from '../../settings/acme.ts'
import { handedInSecrets, lookAtHandedIn } from '../../settings/handed-in.ts'
import { fromEnv, fromFile } from '../../settings/secret.ts'
import { acmeOf, ownCertificateOf, parseSite, type Site, type SiteInput } from '../../settings/site.ts'
import { makeAuthority } from '../../settings/secrets/certificates.ts'

const example = (await import('../../site.example.ts')).default as SiteInput
const withAcme = (settings: unknown, more: object = {}): unknown => ({
  ...structuredClone(example),
  public: { host: 'serena.example.org', ...more, certificate: settings },
})
function siteWith(settings: AcmeInput, more: object = {}): Site {
  const parsed = parseSite(withAcme(acme(settings), more))
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
  return parsed.site
}
const pathsOf = (settings: unknown, more: object = {}): string[] => {
  const parsed = parseSite(withAcme(settings, more))
  return parsed.ok ? [] : parsed.problems.map(({ path }) => path.replace('public.certificate', 'acme'))
}

let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'golden-acme-'))
  writeFileSync(join(folder, 'ca.pem'), (await makeAuthority('private', new Date())).certificate)
  writeFileSync(join(folder, 'hook'), '#!/bin/sh\r\nexit 0\n')
  writeFileSync(join(folder, 'tsig'), 'c2VjcmV0\n')
  writeFileSync(join(folder, 'password'), 'right\n')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it("acme() alone is Let's Encrypt by HTTP-01, with a way out for its client alone", () => {
  const site = siteWith({})
  const settings = acmeOf(site.public)!
  expect(ownCertificateOf(site.public)).toBeUndefined()
  expect(directoryOf(settings)).toBe(letsEncrypt)
  expect(directoryOf({ staging: true })).toMatch(/^https:\/\/acme-staging-v02\./)
  expect(acmeWays(settings)).toEqual([{ to: '0.0.0.0/0', port: 443, protocol: 'tcp' }])
})

it('a certificate of one’s own is as it was, with and without its kind', () => {
  const own = { chainFile: 'chain.pem', key: fromFile('key.pem') }
  for (const certificate of [own, { kind: 'own' as const, ...own }]) {
    const parsed = parseSite(withAcme(certificate))
    expect(parsed.ok && ownCertificateOf(parsed.site.public)).toMatchObject(own)
    expect(parsed.ok && acmeOf(parsed.site.public)).toBeUndefined()
  }
})

it.each<[string, AcmeInput, { to: string; port: number; protocol: string }[]]>([
  ['an address', { server: 'https://192.168.1.9:14000/dir' }, [{ to: '192.168.1.9/32', port: 14_000, protocol: 'tcp' }]],
  [
    'dynamic updates to an address',
    { dns: { provider: 'rfc2136', environment: { RFC2136_NAMESERVER: '192.168.1.2:5353' } } },
    [
      { to: '0.0.0.0/0', port: 443, protocol: 'tcp' },
      { to: '192.168.1.2/32', port: 5353, protocol: 'tcp' },
      { to: '192.168.1.2/32', port: 5353, protocol: 'udp' },
    ],
  ],
  [
    'what the site lists, and nothing else',
    { outgoing: [{ to: '172.65.32.0/24', port: 443 }] },
    [{ to: '172.65.32.0/24', port: 443, protocol: 'tcp' }],
  ],
])('the client gets out to %s', (_, settings, ways) => {
  expect(acmeWays(acmeOf(siteWith(settings).public)!)).toEqual(ways)
})

it.each<[string, unknown, object, string[]]>([
  ['a name of the LAN', acme(), { host: 'serena.lan' }, ['public.host']],
  ['a name without a dot', acme(), { host: 'serena' }, ['public.host']],
  ['a private address', acme(), { host: '192.168.1.50' }, ['public.host']],
  ['a public address without the profile for it', acme(), { host: '203.0.113.7' }, ['acme.profile']],
  ['a public address', acme({ profile: 'shortlived' }), { host: '203.0.113.7' }, []],
  ['another port than the one that is asked', acme(), { httpPort: 8080 }, ['public.httpPort']],
  ['the same with DNS-01', acme({ dns: { provider: 'cloudflare' } }), { httpPort: 8080 }, []],
  [
    'a private server, a name of the LAN, any port',
    acme({ server: 'https://ca.lan/acme/directory' }),
    { host: 'serena.lan', httpPort: 8080 },
    [],
  ],
  ['staging of somebody else', acme({ server: 'https://ca.example.org/dir', staging: true }), {}, ['acme.staging']],
  ['plain HTTP', acme({ server: 'http://ca.example.org/dir' }), {}, ['acme.server']],
  ['credentials', acme({ server: 'https://me:secret@ca.example.org/dir' }), {}, ['acme.server']],
  [
    'DNS-01 for an address',
    acme({ server: 'https://ca.lan/dir', dns: { provider: 'cloudflare' } }),
    { host: '192.168.1.50' },
    ['acme.dns'],
  ],
  ['no hook', acme({ dns: { provider: 'exec' } }), {}, ['acme.dns.hook']],
  ['a hook for nobody', acme({ dns: { provider: 'cloudflare', hook: 'x' } }), {}, ['acme.dns.hook']],
  ['no name server', acme({ dns: { provider: 'rfc2136' } }), {}, ['acme.dns.environment']],
  [
    "a variable that is the client's own",
    acme({ dns: { provider: 'exec', hook: 'x', environment: { EXEC_PATH: '/x' } } }),
    {},
    ['acme.dns.environment.EXEC_PATH'],
  ],
  ['no way to the server', acme({ outgoing: [{ to: '0.0.0.0/0', port: 80 }] }), {}, ['acme.outgoing']],
  [
    'no way to that address',
    acme({ server: 'https://192.168.1.9/dir', outgoing: [{ to: '192.168.2.0/24', port: 443 }] }),
    {},
    ['acme.outgoing'],
  ],
  ['neither', { chain: 'x' }, {}, ['public.certificate']],
  ['an unknown kind', { kind: 'magic' }, {}, ['acme.kind']],
])('%s', (_, settings, more, paths) => {
  const found = pathsOf(settings, more)
  if (paths[0] === 'public.certificate') expect(found.length).toBeGreaterThan(0)
  else expect(found).toEqual(paths)
})

it('gathers what the client is given, and says all that is wrong with it at once', async () => {
  const site = siteWith({
    caFile: 'ca.pem',
    rootFile: 'password',
    externalAccount: { id: 'me', key: fromEnv('EAB') },
    dns: {
      provider: 'exec',
      hook: 'hook',
      environment: { PLAIN: 'as $it "is" \\ here', END: 'x\\', TSIG: fromFile('tsig'), MISSING: fromFile('nowhere') },
    },
  })
  site.serena.users[0]!.password = fromFile('password')
  const { found, problems } = await lookAtHandedIn({ site, folder, env: { EAB: 'external' } })
  expect(problems.map(({ path }) => path)).toEqual([
    'public.certificate.dns.environment.END',
    'public.certificate.dns.environment.MISSING',
    'public.certificate.rootFile',
  ])
  expect(found.acme).toEqual({
    environment: 'PLAIN="as \\$it \\"is\\" \\\\ here"\nTSIG="c2VjcmV0"\n',
    hook: '#!/bin/sh\nexit 0\n',
    externalKey: 'external',
    serverCa: expect.stringContaining('BEGIN CERTIFICATE'),
  })
  expect(handedInSecrets(site)).toHaveLength(4)
})

it('a hook that nobody can start is refused', async () => {
  const site = siteWith({ dns: { provider: 'exec', hook: 'tsig' } })
  site.serena.users[0]!.password = fromFile('password')
  const { problems } = await lookAtHandedIn({ site, folder, env: {} })
  expect(problems).toMatchObject([{ path: 'public.certificate.dns.hook', message: expect.stringContaining('#!/bin/sh') }])
})

it('no input makes it throw', () => {
  fc.assert(
    fc.property(fc.anything(), fc.anything(), (certificate, dns) => {
      parseSite(withAcme(certificate))
      parseSite(withAcme({ kind: 'acme', dns, outgoing: dns, server: certificate }))
    }),
    { numRuns: 200 },
  )
})
