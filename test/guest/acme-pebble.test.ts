/** Certificates from a real ACME server (Pebble), by real lego, shown by real nginx with a slot's configuration. */
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Seed } from '../../images/contract/seed.ts'
import { enterRoot, rootPath } from '../../lab/debian/root.ts'
import { makeAuthority, makeSelfSigned, makeServerCertificate } from '../../settings/secrets/certificates.ts'
import { ensureTools } from '../../tools/index.ts'
import type { Order } from './acme-calls.ts'
import { acmeSeed } from './acme-rig.ts'
import { cheapHash } from './golden-auth.ts'
import { keeperBind, writeSessionKey } from './keeper-files.ts'
import { contents } from './seed.ts'

const root = { folder: await rootPath() }
const noRoot = process.getuid?.() !== 0 || !existsSync(root.folder)
const server = 'https://127.0.0.1:14000/dir'
const host = acmeSeed.public.host

describe.skipIf(noRoot)("with an ACME server (needs root, Go and the lab's Debian root in the cache)", () => {
  let folder: string
  let seen: any
  beforeAll(async () => {
    // The client's user has to get in.
    folder = mkdtempSync(join(tmpdir(), 'golden-acme-'))
    chmodSync(folder, 0o755)
    const { lego, pebble } = await ensureTools(['lego', 'pebble'])
    copyFileSync(lego.path, join(folder, 'lego'))
    chmodSync(join(folder, 'lego'), 0o755)
    mkdirSync(join(folder, 'bin'))
    copyFileSync(join(import.meta.dirname, '../../images/rootfs/opt/golden/acme/bin/hook'), join(folder, 'bin/hook'))
    chmodSync(join(folder, 'bin/hook'), 0o755)
    const now = new Date()
    const [authority, ofPebble, peer] = await Promise.all([
      makeAuthority('home serena-golden CA', now, [host, acmeSeed.service]),
      makeAuthority('of Pebble itself', now),
      makeSelfSigned('golden-peer', now),
    ])
    const own = await makeServerCertificate(authority, [host, acmeSeed.service], now)
    const tls = await makeServerCertificate(ofPebble, ['127.0.0.1', 'localhost'], now)
    const seed = (more: Partial<NonNullable<Seed['acme']>>, other: Partial<Seed> = {}): Seed => ({
      ...acmeSeed,
      nameservers: ['127.0.0.1'],
      ...other,
      acme: { server, ...more },
    })
    const blue = { address: acmeSeed.address, peer: acmeSeed.peer }
    const record = join(folder, 'record')
    writeFileSync(record, '')
    chmodSync(record, 0o666)
    const order: Order = {
      folder,
      lego: join(folder, 'lego'),
      pebble: pebble.path,
      nginx: enterRoot(root, ['sh', '-c', start], {
        binds: [{ from: join(folder, 'http/run/golden/nginx'), to: '/etc/golden/nginx' }, keeperBind(join(folder, 'keeper'))],
      }),
      seeds: {
        http: seed({ email: 'me@example.org', profile: 'default' }),
        green: seed({ email: 'me@example.org', profile: 'default' }, { slot: 'green', address: blue.peer, peer: blue.address }),
        hook: seed({ profile: 'default', dns: { provider: 'exec' } }),
        update: seed({ dns: { provider: 'rfc2136' }, profile: 'shortlived' }),
        blocked: seed({}, { public: { ...acmeSeed.public, host: 'blocked.example.org' } }),
      },
      contents: {
        ...contents(),
        'tls/site-ca.pem': authority.certificate,
        'tls/public.pem': own.certificate,
        'tls/public.key': own.key,
        'tls/peer.pem': peer.certificate,
        'tls/peer.key': peer.key,
        'htpasswd/serena': cheapHash('me', 'right'),
        // What is written to the file shows that the value has come whole.
        'acme/environment': `RECORD="${record}"\nODD="as \\$it \\"is\\" \\\\ here"\nDNSUPDATE_NAMESERVER="127.0.0.1"\nDNSUPDATE_PROPAGATION_TIMEOUT="20"\n`,
        'acme/hook': '#!/bin/sh\nset -eu\necho "$1 $2 $3" >> "$RECORD"\n[ "$1" = cleanup ] && echo "odd $ODD" >> "$RECORD"\nexit 0\n',
      },
      pebbleTls: { ca: ofPebble.certificate, certificate: tls.certificate, key: tls.key },
    }
    const golden = join(folder, 'http/run/golden')
    mkdirSync(join(golden, 'nginx'), { recursive: true })
    writeSessionKey(golden)
    const [input, output] = [join(folder, 'order.json'), join(folder, 'answers.json')]
    writeFileSync(input, JSON.stringify(order))
    const ran = spawnSync('unshare', ['--net', '--', process.execPath, join(import.meta.dirname, 'acme-calls.ts'), input, output], {
      encoding: 'utf8',
      timeout: 280_000,
    })
    if (ran.status !== 0) throw new Error(`${ran.status} ${ran.signal}\n${ran.stderr}${ran.stdout}`)
    seen = JSON.parse(readFileSync(output, 'utf8'))
  }, 900_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const start = `setpriv --reuid 9904 --regid 9904 --clear-groups --bounding-set=-all --no-new-privs sh -c 'nginx -e stderr -c /etc/golden/nginx/nginx.conf -g "daemon off;"'; exit 1`

  it('issues one by HTTP-01, which clients see from then on; by an address they see the own one as before', () => {
    expect(seen.before).toContain('home serena-golden CA')
    expect(seen.issued).toMatchObject({ complained: [], by: expect.stringMatching(/Pebble Intermediate/), signed: 404, withoutName: true })
    expect(seen.issued.said.at(-1)).toMatch(/^a certificate by CN=Pebble Intermediate CA/)
    expect(seen.issued.state.failures).toEqual([])
    expect(seen.same).toBe(true)
  })

  it("keeps account and key to lego's user and root, and no copy of its settings", () => {
    expect(seen.issued.copy).toBe('/dev/null')
    const open = (seen.issued.folders as string[]).filter((line) => line.startsWith('d') && !line.includes(' 700 '))
    // To be gone through, not to be looked into.
    expect(open).toEqual(['d 711 0 '])
    const [disk] = (seen.issued.folders as string[]).filter((line) => line.endsWith(' current.json'))
    expect(disk).toBe('f 600 0 current.json')
    for (const line of (seen.issued.folders as string[]).filter((one) => one.startsWith('f') && one.includes('lego/')))
      expect(line).toMatch(/^f 600 9905 /)
  })

  it('serves what lego puts there, and follows no link out of its folder', () => {
    expect(seen.challenge).toEqual({ token: { status: 200, body: 'answer' }, link: 404, through: 404, missing: 404, beside: 301 })
  })

  it('renews it, with another key, and no client notices: neither on a connection of before, idle or not, nor on a new one', () => {
    expect(seen.renewed).toMatchObject({ ordered: [200, ''], other: true, by: true, idle: 404 })
    expect(seen.renewed.traffic.failed).toEqual([])
    expect(seen.renewed.traffic.answers).toBeGreaterThan(5)
  })

  it('gives it to the peer slot alone, which shows it before the data comes; and the disk brings it to a VM that knows nothing', () => {
    expect(seen.peer.strangers).not.toBe('pair')
    expect(seen.peer.withoutKey).not.toBe('pair')
    expect(seen.peer.publicly).toBe(404)
    expect(seen.standby).toEqual({ shown: true, complained: [] })
    expect(seen.handedOver).toEqual({ new: true, shown: true })
  })

  it('issues by DNS-01: by a hook that gets its environment whole, and by dynamic updates, with a profile', () => {
    expect(seen.dns.hook).toMatchObject({ shown: true, complained: [] })
    expect(seen.dns.hook.record).toMatch(/^present _acme-challenge\.serena\.example\.org\. \S+\n/)
    expect(seen.dns.hook.record).toContain('odd as $it "is" \\ here\n')
    expect(seen.dns.update).toMatchObject({ shown: true, complained: [] })
    expect(seen.dns.update.updates).toContain('add _acme-challenge.serena.example.org')
    expect(seen.dns.update.updates.at(-1)).toBe('remove _acme-challenge.serena.example.org')
    expect(seen.dns.profile).toBeLessThan(Date.now() + 7 * 86_400_000)
  })

  it('keeps what it has while the server is away, waits, and says so; what the server refuses is told in its words', () => {
    expect(seen.refused.blocked).toMatch(/blocked|policy|reject/i)
    expect(seen.refused.away.error).toMatch(/connection refused|connect/)
    expect(seen.refused.away.waits).toBeGreaterThan(13 * 60_000)
    expect(seen.refused.away.complained.at(-1)).toMatch(/^no certificate from the ACME server: .*; the next try is at /)
    expect(seen.refused.still).toBe(true)
    expect(seen.refused.status.lastError).toBe(seen.refused.away.error)
    // Fresh, and 15 days before its end.
    expect(seen.refused.warnings).toEqual([0, 1])
  })
})
