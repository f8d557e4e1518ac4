/** Real nginx with a slot's configuration, without rights, in a network namespace; Serena and Loki are stand-ins. */
import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tries } from '../../images/guest/authenticator.ts'
import { hashPassword } from '../../images/guest/password.ts'
import { renderFiles } from '../../images/guest/render.ts'
import type { ImageRecord } from '../../images/contract/record.ts'
import type { Seed } from '../../images/contract/seed.ts'
import { enterRoot, inRoot, rootPath, type Root } from '../../lab/debian/root.ts'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'
import type { Answer, Call, Order } from './nginx-calls.ts'
import type { FloodOutcome } from './nginx-flood.ts'
import { selfSigned } from './certificate.ts'
import { cheapHash } from './golden-auth.ts'
import { keeperBind, writeSessionKey } from './keeper-files.ts'
import { contents, image, imageWithoutGrafana, seeds } from './seed.ts'

const rootFolder = await rootPath()
const root: Root = { folder: rootFolder }
const noRoot = process.getuid?.() !== 0 || !existsSync(rootFolder)
const host = seeds.both.public.host
/** Password of the health check. */
const probe = 'probe-of-this-boot'

describe.skipIf(noRoot)("nginx (needs root and the lab's Debian root in the cache)", () => {
  let folder = ''
  let files: Record<string, string> = {}
  let strong = ''

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'golden-nginx-'))
    await inRoot(root, ['openssl', ...selfSigned('/made', 'serena.example.org')], {
      binds: [{ from: folder, to: '/made', writable: true }],
    })
    files = contents(readFileSync(join(folder, 'pem'), 'utf8'), readFileSync(join(folder, 'key'), 'utf8'))
    files['htpasswd/serena'] = cheapHash('me', 'right')
    files['htpasswd/loki'] = cheapHash('promtail', 'push')
    // As strong as a seed has it.
    strong = `me:${await hashPassword('right')}\n`
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const serenaAt = [
    { address: '172.30.0.11', port: 9121 },
    { address: '172.30.0.12', port: 9121 },
  ]

  function ask(
    seed: Seed,
    record: ImageRecord,
    upstreams: Order['upstreams'],
    calls: readonly Call[],
    more: Partial<Order> & { files?: Record<string, string> } = {},
  ): { answers: Record<string, Answer>; log: string } {
    const place = mkdtempSync(join(folder, 'run-'))
    for (const file of renderFiles(seed, record, { ...files, ...more.files })) {
      if (!/^\/run\/golden\/(nginx|auth)\//.test(file.path)) continue
      const path = join(place, file.path)
      mkdirSync(dirname(path), { recursive: true })
      // How long calls wait for Serena is keeper.test.ts's to look at.
      writeFileSync(path, file.content.replace('golden_longest_wait 30000', 'golden_longest_wait 1000'))
      chownSync(path, file.owner ?? 0, file.owner ?? 0)
      chmodSync(path, file.mode ?? 0o644)
    }
    // As in the container: a user of its own with nothing else, the log on a pipe.
    // The outer shell stays root: who changes its rights is no longer told when its parent dies.
    writeFileSync(join(place, 'run/golden/auth/probe'), probe)
    writeSessionKey(join(place, 'run/golden'))
    const start = `setpriv --reuid 9904 --regid 9904 --clear-groups --bounding-set=-all --no-new-privs sh -c 'nginx -e stderr -c /etc/golden/nginx/nginx.conf -g "daemon off;" 2>&1 | cat'; exit 1`
    const nginx = enterRoot(root, ['sh', '-c', start], {
      binds: [{ from: join(place, 'run/golden/nginx'), to: '/etc/golden/nginx' }, keeperBind(join(place, 'keeper'))],
    })
    const [input, output] = [join(place, 'order.json'), join(place, 'answers.json')]
    writeFileSync(input, JSON.stringify({ nginx, golden: join(place, 'run/golden'), upstreams, calls, ...more } satisfies Order))
    const ran = spawnSync('unshare', ['--net', '--', process.execPath, join(import.meta.dirname, 'nginx-calls.ts'), input, output], {
      encoding: 'utf8',
      timeout: 170_000,
    })
    if (ran.status !== 0) throw new Error(ran.stderr + ran.stdout)
    return { answers: JSON.parse(readFileSync(output, 'utf8')) as Record<string, Answer>, log: ran.stdout }
  }

  const https = { https: true, port: 443, host } as const
  const auth = 'me:right'

  it('lets go of an idle connection to Serena before Serena does, after 5 s', () => {
    const upstreams = [
      { address: '172.30.0.11', port: 9121 },
      { address: '172.30.0.12', port: 9121 },
    ]
    const { answers } = ask(
      seeds.serena,
      image,
      upstreams,
      [
        { name: 'mcp', ...https, path: '/mcp', method: 'POST', body: '{}', auth },
        { name: 'sse', ...https, path: '/sse', auth },
      ],
      { untilIdle: true },
    )
    expect(Number(answers.idle?.body)).toBeGreaterThanOrEqual(2)
    expect(answers.idle?.statuses[0]).toBeLessThan(4000)
  })

  it("shows the site's CA, with its fingerprint, to the admin network and to nobody else", async () => {
    const authority = await makeAuthority('home serena-golden CA', new Date(), [host, seeds.serena.service])
    const own = await makeServerCertificate(authority, [host, seeds.serena.service], new Date())
    const { fingerprint256 } = new X509Certificate(authority.certificate)
    const get = (name: string, path: string, more: Partial<Call> = {}): Call => ({ name, port: 80, host, path, from: '127.0.0.9', ...more })
    const byAddress = { host: seeds.serena.service }
    const look = (seed: Seed, more: Record<string, string>): Record<string, Answer> =>
      ask(
        seed,
        image,
        [],
        [
          get('page', '/ca'),
          get('by its address', '/ca/', byAddress),
          get('for phones', '/ca.crt', byAddress),
          get('for Node', '/ca.pem', byAddress),
          get('posted', '/ca', { method: 'POST', body: 'x' }),
          get('stranger', '/ca', { from: '127.0.0.1' }),
          get('stranger, the file', '/ca.crt', { from: '127.0.0.1' }),
          get('another name', '/ca', { host: 'other.example.org' }),
          get('beside', '/ca.key'),
          get('elsewhere', '/mcp'),
        ],
        { files: { 'tls/site-ca.pem': authority.certificate, ...more } },
      ).answers
    const seed: Seed = { ...seeds.serena, admin: ['10.0.0.0/8', '127.0.0.8/29'] }
    const seen = look(seed, { 'tls/public.pem': own.certificate, 'tls/public.key': own.key })
    const statuses = Object.fromEntries(
      Object.entries(seen).map(
        ([
          name,
          {
            statuses: [status],
          },
        ]) => [name, status],
      ),
    )
    expect(statuses).toEqual({
      page: 200,
      'by its address': 200,
      'for phones': 200,
      'for Node': 200,
      posted: 405,
      stranger: 404,
      'stranger, the file': 404,
      'another name': 'ECONNRESET',
      beside: 301,
      elsewhere: 301,
    })
    expect(seen.page?.headers['content-type']).toBe('text/html; charset=utf-8')
    expect(seen.page?.body.replaceAll('<wbr>', '')).toContain(fingerprint256)
    expect(seen.page?.body).toContain("by a CA of this site's own")
    expect(seen.page?.body).not.toMatch(/<script|https?:/)
    expect(seen['by its address']?.body).toBe(seen.page?.body)
    expect(seen['for phones']?.headers['content-type']).toBe('application/x-x509-ca-cert')
    expect(new X509Certificate(seen['for phones']?.body ?? '').fingerprint256).toBe(fingerprint256)
    expect(seen['for Node']?.body).toBe(authority.certificate)
    expect(JSON.parse(seen.stranger?.body ?? '')).toMatchObject({ error: 'not_found' })
    // With a certificate of somebody else's it is Grafana's alone.
    expect(look(seed, {}).page?.body).toContain('only who opens Grafana needs it')
    // A seed of before does not say who the admin network is.
    expect(look(seeds.serena, {}).page?.statuses).toEqual([301])
  }, 90_000)

  it('says every refusal of its own as JSON that MCP clients read out', () => {
    const name = (path: string): string => `GET ${path}`
    const oauth = [
      '/.well-known/oauth-authorization-server',
      '/.well-known/oauth-authorization-server/mcp',
      '/.well-known/oauth-protected-resource',
      '/.well-known/oauth-protected-resource/mcp',
      '/.well-known/openid-configuration',
      '/.well-known/openid-configuration/mcp',
      '/mcp/.well-known/openid-configuration',
      '/register',
      '/authorize?x=1',
      '/token',
    ]
    const head = `POST /mcp HTTP/1.1\r\nHost: ${host}\r\n`
    const { answers, log } = ask(seeds.serena, image, serenaAt, [
      { name: 'none', ...https, path: '/mcp', method: 'POST', body: '{}' },
      { name: 'wrong', ...https, path: '/mcp', method: 'POST', body: '{}', auth: 'me:wrong' },
      ...oauth.map((path) => ({ name: name(path), ...https, path })),
      {
        name: 'POST /register',
        ...https,
        path: '/register',
        method: 'POST',
        body: '{"redirect_uris":["http://localhost/x"]}',
        auth: 'me:wrong',
      },
      { name: 'elsewhere', ...https, path: '/nowhere' },
      { name: 'TRACE', ...https, path: '/mcp', method: 'TRACE' },
      { name: 'a bad header', ...https, path: '', raw: `${head}Content-Length: x\r\n\r\n` },
      { name: 'two hosts', ...https, path: '', raw: `${head}Host: ${host}\r\n\r\n` },
      { name: 'no HTTP', ...https, path: '', raw: 'hello there\r\n\r\n' },
      { name: 'a large header', ...https, path: '', raw: `${head}X: ${'x'.repeat(9000)}\r\n\r\n` },
      { name: 'a long address', ...https, path: '', raw: `GET /${'x'.repeat(9000)} HTTP/1.1\r\nHost: ${host}\r\n\r\n` },
      { name: 'too large', ...https, path: '', raw: `${head}Content-Length: 20000000\r\n\r\n` },
      { name: 'an unknown transfer', ...https, path: '', raw: `${head}Transfer-Encoding: gzip\r\n\r\n` },
      { name: 'HTTP/3', ...https, path: '', raw: 'GET /mcp HTTP/3.0\r\n\r\n' },
      { name: 'without TLS', port: 443, host, path: '', raw: `${head}\r\n` },
      { name: 'nonsense to the door', port: 80, host, path: '', raw: 'hello there\r\n\r\n' },
    ])
    const statuses = {
      none: 401,
      wrong: 401,
      'POST /register': 404,
      elsewhere: 404,
      TRACE: 405,
      'a bad header': 400,
      'two hosts': 400,
      'no HTTP': 400,
      'a large header': 400,
      'a long address': 414,
      'too large': 413,
      'an unknown transfer': 501,
      'HTTP/3': 505,
      'without TLS': 400,
      'nonsense to the door': 400,
      ...Object.fromEntries(oauth.map((path) => [name(path), 404])),
    }
    for (const [which, status] of Object.entries(statuses)) {
      const answer = answers[which]
      expect(answer?.statuses, which).toEqual([status])
      expect(answer?.headers['content-type'], which).toBe('application/json')
      expect(JSON.parse(answer?.body ?? ''), which).toEqual({
        error: expect.stringMatching(/^[a-z_]+$/),
        error_description: expect.stringMatching(/^[ -!#-[\]-~]{15,}$/),
      })
    }
    for (const which of ['none', 'wrong']) {
      expect(answers[which]?.headers['www-authenticate'], which).toMatch(/^Basic realm=/)
      expect(answers[which]?.headers['strict-transport-security'], which).toBeDefined()
      expect(answers[which]?.body).toMatch(/user name and password were not accepted/)
    }
    for (const path of ['/register', ...oauth])
      expect(answers[path === '/register' ? 'POST /register' : name(path)]?.body).toMatch(/no OAuth/)
    expect(answers['nonsense to the door']?.headers).not.toHaveProperty('strict-transport-security')
    // The log has what was asked for, not the page that says no.
    expect(log).not.toContain('golden-refusal"')
    expect(log).toContain('"path":"/nowhere","status":404')
  }, 90_000)

  it('tells the user of an MCP client in a sentence what is wrong with the password', () => {
    const { answers } = ask(seeds.serena, image, serenaAt, [], { clients: ['me:wrong', null] })
    for (const credentials of ['me:wrong', null]) {
      const said = JSON.parse(answers[`client ${credentials}`]?.body ?? '') as { plain: string; withOauth: string }
      expect(said.plain).toMatch(/user name and password were not accepted/)
      expect(said.withOauth).toMatch(/^This server has no OAuth\. It takes a user name and a password/)
      for (const text of Object.values(said)) expect(text).not.toMatch(/SyntaxError|</)
    }
  }, 90_000)

  it('takes a slash at the end of an address for none', () => {
    const { answers } = ask(
      seeds.serena,
      image,
      serenaAt,
      ['/mcp/', '/mcp/?x=1', '//mcp', '/sse/', '/messages?session_id=1'].map((path) => ({
        name: path,
        ...https,
        path,
        method: 'POST',
        body: '{}',
        auth,
      })),
    )
    const seen = Object.fromEntries(
      Object.entries(answers).map(([name, answer]) => [
        name,
        answer.statuses[0] === 200
          ? (({ at, method, url }) => `${method} ${at}${url}`)(JSON.parse(answer.body) as Record<string, string>)
          : answer.statuses[0],
      ]),
    )
    expect(seen).toEqual({
      '/mcp/': 'POST 172.30.0.11:9121/mcp',
      '/mcp/?x=1': 'POST 172.30.0.11:9121/mcp?x=1',
      '//mcp': 'POST 172.30.0.11:9121/mcp',
      '/sse/': 'POST 172.30.0.12:9121/sse',
      '/messages?session_id=1': 'POST 172.30.0.12:9121/messages/?session_id=1',
    })
  }, 90_000)

  it('works for everybody else while somebody tries passwords', () => {
    const { answers } = ask(seeds.serena, image, serenaAt, [], { files: { 'htpasswd/serena': strong }, flood: { seconds: 1, rate: 50 } })
    const { quiet, flooded, good, bad } = JSON.parse(answers.flood?.body ?? '') as FloodOutcome
    expect(new Set(good)).toEqual(new Set([200]))
    const at = (list: number[], share: number): number => list.sort((a, b) => a - b)[Math.floor(list.length * share)] ?? 0
    // With bcrypt in nginx it was some hundred times as long, and seconds: 50 checks of 90 ms wait in one line. A busy
    // machine makes a quiet request of milliseconds eight times as long by itself.
    expect(at(flooded, 0.5)).toBeLessThan(Math.max(8 * at(quiet, 0.5), 1000))
    // Ten are looked at, then one in five seconds; a busy machine needs more of those.
    // 503: nobody could look at it in time, on a machine that is busier still.
    expect(Object.keys(bad).filter((status) => status !== '503')).toEqual(['401', '429'])
    expect(bad['401']).toBeLessThanOrEqual(tries.burst + 10)
  })

  it.skipIf(process.env.GOLDEN_TEST_LONG !== '1')(
    'leaves what others wait within one and a half times, 50 wrong passwords a second (needs GOLDEN_TEST_LONG=1 and an idle machine)',
    () => {
      const { answers } = ask(seeds.serena, image, serenaAt, [], { files: { 'htpasswd/serena': strong }, flood: { seconds: 30, rate: 50 } })
      const { quiet, flooded, good } = JSON.parse(answers.flood?.body ?? '') as FloodOutcome
      expect(new Set(good)).toEqual(new Set([200]))
      const p95 = (list: number[]): number => list.sort((a, b) => a - b)[Math.floor(list.length * 0.95)] ?? 0
      console.log(
        `p95 alone ${p95(quiet).toFixed(1)} ms (${quiet.length} requests), flooded ${p95(flooded).toFixed(1)} ms (${flooded.length})`,
      )
      expect(p95(flooded)).toBeLessThan(1.5 * p95(quiet))
    },
    180_000,
  )

  it('says no before it takes in what a stranger sends', () => {
    const head = `POST /mcp HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 16000000\r\n`
    const authorization = (credentials: string): string => `Authorization: Basic ${Buffer.from(credentials).toString('base64')}\r\n`
    const { answers } = ask(seeds.serena, image, serenaAt, [
      { name: 'without', ...https, path: '', raw: `${head}\r\n{` },
      { name: 'wrong', ...https, path: '', raw: `${head}${authorization('me:wrong')}\r\n{` },
    ])
    expect(answers.without?.statuses).toEqual([401])
    expect(answers.wrong?.statuses).toEqual([401])
  }, 90_000)

  it('says 503, and when to come again, while golden-auth is away', () => {
    const { answers } = ask(
      seeds.both,
      image,
      serenaAt,
      [
        { name: 'mcp', ...https, path: '/mcp', method: 'POST', body: '{}', auth },
        {
          name: 'push',
          https: true,
          port: 8443,
          host: '10.77.0.60',
          path: '/loki/api/v1/push',
          method: 'POST',
          body: '{}',
          auth: 'promtail:push',
        },
      ],
      { noAuth: true },
    )
    for (const which of ['mcp', 'push']) {
      expect(answers[which]).toMatchObject({ statuses: [503], headers: { 'retry-after': '2' } })
      expect(answers[which]?.body).toMatch(/can not check user names and passwords/)
    }
  }, 90_000)

  it('is there under its own address too, for people in the LAN whose router does not lead them to the public one', () => {
    const address = seeds.serena.service
    const { answers } = ask(seeds.serena, image, serenaAt, [
      { name: 'mcp', ...https, host: address, sni: '', path: '/mcp', method: 'POST', body: '{}', auth },
      { name: 'locked', ...https, host: address, sni: '', path: '/mcp', method: 'POST', body: '{}' },
      { name: 'http', port: 80, host: address, path: '/mcp' },
      { name: 'another address', ...https, host: '10.77.0.99', sni: '', path: '/mcp', auth },
      { name: 'another name', ...https, host: 'other.example.org', path: '/mcp', auth },
    ])
    expect(answers.mcp?.statuses).toEqual([200])
    expect(answers.locked?.statuses).toEqual([401])
    expect(answers.http).toMatchObject({ statuses: [301], headers: { location: `https://${address}/mcp` } })
    expect(answers['another address']?.statuses).toEqual(['ECONNRESET'])
    expect(answers['another name']?.statuses[0]).toMatch(/^E/)
  }, 90_000)

  describe('to its own health check', () => {
    const authority = makeAuthority('test', new Date(), [host, seeds.serena.service, seeds.logging.service, 'mail.example.org'])
    const pair = async (names: [string, ...string[]], now = new Date()): Promise<{ certificate: string; key: string }> =>
      makeServerCertificate(await authority, names, now)
    type Health = { front: string[]; session: string[]; requests: string[] }
    async function health(
      seed: Seed,
      changes: { public?: { certificate: string; key: string }; probe?: string; noAuth?: boolean } = {},
    ): Promise<Health> {
      const front = changes.public ?? (await pair([host, seed.service]))
      const logging = await pair([seed.service])
      const { answers } = ask(seed, image, [...serenaAt, { address: '172.30.0.21', port: 3100 }], [], {
        files: {
          'tls/public.pem': front.certificate,
          'tls/public.key': front.key,
          'tls/logging.pem': logging.certificate,
          'tls/logging.key': logging.key,
        },
        health: { seed, probe: changes.probe ?? probe },
        ...(changes.noAuth === true ? { noAuth: true } : {}),
      })
      return JSON.parse(answers.health?.body ?? '') as Health
    }

    it('is well where clients get in, and leaves no session behind', async () => {
      expect(await health(seeds.serena)).toEqual({
        front: [],
        session: [],
        requests: ['172.30.0.11 POST /mcp', '172.30.0.11 DELETE /mcp s1', '172.30.0.12 GET /sse'],
      })
      expect(await health(seeds.both)).toMatchObject({ front: [], session: [] })
    }, 90_000)

    it("is not well with a certificate and somebody else's key, with which nginx starts", async () => {
      await inRoot(
        root,
        [
          'openssl',
          'req',
          '-x509',
          '-newkey',
          'rsa:2048',
          '-nodes',
          '-keyout',
          '/made/rsa.key',
          '-out',
          '/made/rsa.pem',
          '-subj',
          `/CN=${host}`,
          '-addext',
          `subjectAltName=DNS:${host}`,
          '-days',
          '1',
        ],
        { binds: [{ from: folder, to: '/made', writable: true }] },
      )
      const { front } = await health(seeds.serena, {
        public: { certificate: readFileSync(join(folder, 'rsa.pem'), 'utf8'), key: (await pair([host])).key },
      })
      expect(front).toEqual([expect.stringMatching(/^nginx on port 443: no connection for serena\.example\.org: /)])
    }, 90_000)

    it('is not well with a certificate for another name, or one that has ended', async () => {
      expect((await health(seeds.serena, { public: await pair(['mail.example.org']) })).front).toEqual([
        'nginx on port 443: the certificate is not for serena.example.org, but for DNS:mail.example.org',
      ])
      expect((await health(seeds.serena, { public: await pair([host], new Date('2020-01-01')) })).front).toEqual([
        expect.stringMatching(/^nginx on port 443: the certificate ended on 2022-/),
      ])
    }, 90_000)

    it('is not well without golden-auth, or with one that does not know it', async () => {
      expect((await health(seeds.both, { noAuth: true })).front).toEqual([
        'nginx on port 443: golden-auth does not answer',
        'nginx on port 8443: golden-auth does not answer',
      ])
      expect((await health(seeds.serena, { probe: 'of another boot' })).front).toEqual([
        'nginx on port 443: golden-auth does not know the health check of this boot',
      ])
    }, 90_000)
  })

  it('lets in who knows the password, and hands nothing of it on', () => {
    const seed: Seed = { ...seeds.serena, public: { ...seeds.serena.public, httpsPort: 8444 } }
    const upstreams = [
      { address: '172.30.0.11', port: 9121 },
      { address: '172.30.0.12', port: 9121 },
    ]
    const { answers, log } = ask(seed, image, upstreams, [
      { name: 'no password', ...https, path: '/mcp', method: 'POST', body: '{}' },
      { name: 'wrong password', ...https, path: '/mcp', auth: 'me:wrong' },
      { name: 'sse without password', ...https, path: '/sse' },
      { name: 'messages without password', ...https, path: '/messages/?session_id=secret1' },
      { name: 'mcp', ...https, path: '/mcp', method: 'POST', body: '{}', auth },
      { name: 'sse', ...https, path: '/sse', auth },
      {
        name: 'messages',
        ...https,
        path: '/messages/?session_id=secret2',
        method: 'POST',
        body: JSON.stringify('x'.repeat(500_000)),
        auth,
      },
      { name: 'oauth', ...https, path: '/.well-known/oauth-authorization-server' },
      { name: 'oauth of a resource', ...https, path: '/.well-known/oauth-protected-resource/mcp' },
      { name: 'register', ...https, path: '/register', method: 'POST', body: '{}' },
      { name: 'too large', ...https, path: '/mcp', method: 'POST', body: 'x'.repeat(17 << 20), auth },
      { name: 'http', port: 80, host, path: '/mcp?x=1' },
      { name: 'http stranger', port: 80, host: 'other.example.org', path: '/' },
      { name: 'https stranger', https: true, port: 443, host: 'other.example.org', path: '/mcp', auth },
      { name: 'https stranger in disguise', https: true, port: 443, sni: host, host: 'other.example.org', path: '/mcp', auth },
      { name: 'flood', ...https, path: '/mcp', times: 180 },
    ])
    const status = (name: string): number | string | undefined => answers[name]?.statuses[0]
    for (const name of ['no password', 'wrong password', 'sse without password', 'messages without password'])
      expect(status(name), name).toBe(401)
    for (const name of ['oauth', 'oauth of a resource', 'register']) expect(status(name), name).toBe(404)
    const seen = (name: string): { at: string; url: string; headers: Record<string, string> } =>
      JSON.parse(answers[name]?.body ?? '') as ReturnType<typeof seen>
    expect(seen('mcp')).toMatchObject({ at: '172.30.0.11:9121', url: '/mcp' })
    // Serena's own id is for nobody (keeper.test.ts).
    expect(answers.mcp?.headers).not.toHaveProperty('mcp-session-id')
    expect(answers.mcp?.headers['strict-transport-security']).toMatch(/max-age=\d{8}/)
    expect(seen('mcp').headers).not.toHaveProperty('authorization')
    expect(seen('sse').at).toBe('172.30.0.12:9121')
    expect(seen('messages')).toMatchObject({ at: '172.30.0.12:9121', url: '/messages/?session_id=secret2' })
    expect(['EPIPE', 'ECONNRESET', 413]).toContain(status('too large'))
    expect(status('http')).toBe(301)
    expect(answers.http?.headers.location).toBe(`https://${host}:8444/mcp?x=1`)
    expect(status('http stranger')).toBe('ECONNRESET')
    expect(status('https stranger')).toMatch(/^E/)
    expect(status('https stranger in disguise')).toBe('ECONNRESET')
    expect(answers.flood?.statuses).toContain(429)
    expect(answers.flood?.headers['retry-after']).toBe('2')
    expect(JSON.parse(answers.flood?.body ?? '')).toMatchObject({ error: 'too_many_requests' })
    const lines = log
      .split('\n')
      .filter((text) => text.startsWith('{'))
      .map((text) => JSON.parse(text) as Record<string, unknown>)
    expect(lines.find((entry) => entry.path === '/mcp' && entry.status === 200)).toMatchObject({ user: 'me', method: 'POST', host })
    expect(log).not.toMatch(/secret1|secret2|right|bWU6/)
  }, 90_000)

  it('says 503 and not 404 while Serena is away, and 404 for a transport that the site does not have', () => {
    const { answers } = ask(
      seeds.both,
      image,
      [],
      [
        { name: 'mcp', ...https, path: '/mcp', method: 'POST', body: '{}', auth },
        { name: 'sse', ...https, path: '/sse', auth },
      ],
    )
    expect(answers.mcp).toMatchObject({ statuses: [503], headers: { 'retry-after': '2' } })
    expect(answers.sse?.statuses).toEqual([404])
    const stopped = ask(seeds.both, image, [], [{ name: 'mcp', ...https, path: '/mcp', method: 'POST', body: '{}', auth }], {
      silent: ['172.30.0.11'],
    }).answers
    expect(stopped.mcp).toMatchObject({ statuses: [503], headers: { 'retry-after': '2' } })
  }, 90_000)

  it('offers of Loki the push alone, with a password of its own, and Grafana or the reason why not', () => {
    const logging = { https: true, port: 8443, host: '10.77.0.60' } as const
    const upstreams = [
      { address: '172.30.0.21', port: 3100 },
      { address: '172.30.0.22', port: 3000 },
    ]
    const calls: Call[] = [
      { name: 'push', ...logging, path: '/loki/api/v1/push', method: 'POST', body: '{}', auth: 'promtail:push' },
      { name: 'otlp', ...logging, path: '/otlp/v1/logs', method: 'POST', body: '{}', auth: 'promtail:push' },
      { name: 'otlp, wrong', ...logging, path: '/otlp/v1/logs', method: 'POST', body: '{}', auth: 'promtail:wrong' },
      { name: 'otlp, other path', ...logging, path: '/otlp/v1/traces', method: 'POST', body: '{}', auth: 'promtail:push' },
      { name: 'push without password', ...logging, path: '/loki/api/v1/push', method: 'POST', body: '{}' },
      { name: 'push as a user of Serena', ...logging, path: '/loki/api/v1/push', method: 'POST', body: '{}', auth },
      { name: 'query', ...logging, path: '/loki/api/v1/query_range?query={}', auth: 'promtail:push' },
      { name: 'labels', ...logging, path: '/loki/api/v1/labels', auth: 'promtail:push' },
      { name: 'around the corner', ...logging, path: '/x/../loki/api/v1/labels' },
      { name: 'grafana', ...logging, path: '/login' },
      { name: 'mcp here', ...logging, path: '/mcp', auth },
      { name: 'loki at the front', ...https, path: '/loki/api/v1/push', method: 'POST', body: '{}', auth },
    ]
    const { answers } = ask(seeds.both, image, upstreams, calls)
    const statuses = Object.fromEntries(Object.entries(answers).map(([name, answer]) => [name, answer.statuses[0]]))
    expect(statuses).toMatchObject({
      push: 200,
      otlp: 200,
      'otlp, wrong': 503,
      'otlp, other path': 404,
      'push without password': 401,
      'push as a user of Serena': 401,
      query: 404,
      labels: 404,
      'around the corner': 404,
      grafana: 200,
      'loki at the front': 404,
    })
    expect(answers.push?.body).not.toContain('authorization')
    expect(answers['mcp here']?.body).toContain('172.30.0.22:3000') // Grafana's own 404, never Serena
    const without = ask(seeds.both, imageWithoutGrafana, upstreams, calls).answers
    expect(without.grafana).toMatchObject({ statuses: [503] })
    expect(without.grafana?.body).toMatch(/no Grafana/)
    expect(without.push?.statuses).toEqual([200])
  }, 90_000)
})
