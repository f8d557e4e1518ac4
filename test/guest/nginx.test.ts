/** Real nginx with a slot's configuration, without rights, in a network namespace; Serena and Loki are stand-ins. */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import bcrypt from 'bcryptjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { renderFiles } from '../../images/guest/render.ts'
import type { ImageRecord, Seed } from '../../images/seed.ts'
import { enterRoot, inRoot, rootPath, type Root } from '../../lab/debian/root.ts'
import type { Answer, Call, Order } from './nginx-calls.ts'
import { contents, image, imageWithoutGrafana, seeds } from './seed.ts'

const rootFolder = await rootPath()
const root: Root = { folder: rootFolder }
const noRoot = process.getuid?.() !== 0 || !existsSync(rootFolder)
const host = seeds.both.public.host
const line = (user: string, password: string): string => `${user}:${bcrypt.hashSync(password, 4).replace('$2b$', '$2y$')}\n`

describe.skipIf(noRoot)('nginx (needs root and the lab\'s Debian root in the cache)', () => {
  let folder = ''
  let files: Record<string, string> = {}

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'golden-nginx-'))
    await inRoot(
      root,
      ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/made/key', '-out', '/made/pem', '-subj', '/CN=serena.example.org', '-days', '1'],
      { binds: [{ from: folder, to: '/made', writable: true }] },
    )
    files = contents(readFileSync(join(folder, 'pem'), 'utf8'), readFileSync(join(folder, 'key'), 'utf8'))
    files['htpasswd/serena'] = line('me', 'right')
    files['htpasswd/loki'] = line('promtail', 'push')
  }, 60_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  function ask(seed: Seed, record: ImageRecord, upstreams: Order['upstreams'], calls: readonly Call[], more: Pick<Order, 'untilIdle' | 'silent'> = {}): { answers: Record<string, Answer>; log: string } {
    const place = mkdtempSync(join(folder, 'run-'))
    for (const file of renderFiles(seed, record, files)) {
      if (!file.path.startsWith('/run/golden/nginx/')) continue
      const path = join(place, file.path)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, file.content)
      chownSync(path, file.owner ?? 0, file.owner ?? 0)
      chmodSync(path, file.mode ?? 0o644)
    }
    // As in the container: uid 101 with nothing else, the log on a pipe.
    // The outer shell stays root: who changes its rights is no longer told when its parent dies.
    const start = `setpriv --reuid 101 --regid 101 --clear-groups --bounding-set=-all --no-new-privs sh -c 'nginx -e stderr -c /etc/golden/nginx/nginx.conf -g "daemon off;" 2>&1 | cat'; exit 1`
    const nginx = enterRoot(root, ['sh', '-c', start], { binds: [{ from: join(place, 'run/golden/nginx'), to: '/etc/golden/nginx' }] })
    const [input, output] = [join(place, 'order.json'), join(place, 'answers.json')]
    writeFileSync(input, JSON.stringify({ nginx, upstreams, calls, ...more } satisfies Order))
    const ran = spawnSync('unshare', ['--net', '--', process.execPath, join(import.meta.dirname, 'nginx-calls.ts'), input, output], { encoding: 'utf8', timeout: 60_000 })
    if (ran.status !== 0) throw new Error(ran.stderr + ran.stdout)
    return { answers: JSON.parse(readFileSync(output, 'utf8')) as Record<string, Answer>, log: ran.stdout }
  }

  const https = { https: true, port: 443, host } as const
  const auth = 'me:right'

  test('lets go of an idle connection to Serena before Serena does, after 5 s', () => {
    const upstreams = [{ address: '172.30.0.11', port: 9121 }, { address: '172.30.0.12', port: 9121 }]
    const { answers } = ask(seeds.serena, image, upstreams, [
      { name: 'mcp', ...https, path: '/mcp', method: 'POST', body: '{}', auth },
      { name: 'sse', ...https, path: '/sse', auth },
    ], { untilIdle: true })
    expect(Number(answers['idle']?.body)).toBeGreaterThanOrEqual(2)
    expect(answers['idle']?.statuses[0]).toBeLessThan(4000)
  })

  test('lets in who knows the password, and hands nothing of it on', () => {
    const seed: Seed = { ...seeds.serena, public: { ...seeds.serena.public, httpsPort: 8444 } }
    const upstreams = [{ address: '172.30.0.11', port: 9121 }, { address: '172.30.0.12', port: 9121 }]
    const { answers, log } = ask(seed, image, upstreams, [
      { name: 'no password', ...https, path: '/mcp', method: 'POST', body: '{}' },
      { name: 'wrong password', ...https, path: '/mcp', auth: 'me:wrong' },
      { name: 'sse without password', ...https, path: '/sse' },
      { name: 'messages without password', ...https, path: '/messages/?session_id=secret1' },
      { name: 'mcp', ...https, path: '/mcp', method: 'POST', body: '{}', auth },
      { name: 'sse', ...https, path: '/sse', auth },
      { name: 'messages', ...https, path: '/messages/?session_id=secret2', method: 'POST', body: JSON.stringify('x'.repeat(500_000)), auth },
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
    for (const name of ['no password', 'wrong password', 'sse without password', 'messages without password']) expect(status(name), name).toBe(401)
    for (const name of ['oauth', 'oauth of a resource', 'register']) expect(status(name), name).toBe(404)
    const seen = (name: string): { at: string; url: string; headers: Record<string, string> } => JSON.parse(answers[name]?.body ?? '') as ReturnType<typeof seen>
    expect(seen('mcp')).toMatchObject({ at: '172.30.0.11:9121', url: '/mcp' })
    expect(answers['mcp']?.headers['mcp-session-id']).toBe('s1')
    expect(answers['mcp']?.headers['strict-transport-security']).toMatch(/max-age=\d{8}/)
    expect(seen('mcp').headers).not.toHaveProperty('authorization')
    expect(seen('sse').at).toBe('172.30.0.12:9121')
    expect(seen('messages')).toMatchObject({ at: '172.30.0.12:9121', url: '/messages/?session_id=secret2' })
    expect(['EPIPE', 'ECONNRESET', 413]).toContain(status('too large'))
    expect(status('http')).toBe(301)
    expect(answers['http']?.headers.location).toBe(`https://${host}:8444/mcp?x=1`)
    expect(status('http stranger')).toBe('ECONNRESET')
    expect(status('https stranger')).toMatch(/^E/)
    expect(status('https stranger in disguise')).toBe('ECONNRESET')
    expect(answers['flood']?.statuses).toContain(429)
    const lines = log.split('\n').filter(text => text.startsWith('{')).map(text => JSON.parse(text) as Record<string, unknown>)
    expect(lines.find(entry => entry['path'] === '/mcp' && entry['status'] === 200)).toMatchObject({ user: 'me', method: 'POST', host })
    expect(log).not.toMatch(/secret1|secret2|right|bWU6/)
  }, 90_000)

  test('says 503 and not 404 while Serena is away, and 404 for a transport that the site does not have', () => {
    const { answers } = ask(seeds.both, image, [], [
      { name: 'mcp', ...https, path: '/mcp', method: 'POST', body: '{}', auth },
      { name: 'sse', ...https, path: '/sse', auth },
    ])
    expect(answers['mcp']).toMatchObject({ statuses: [503], headers: { 'retry-after': '2' } })
    expect(answers['sse']?.statuses).toEqual([404])
    const stopped = ask(seeds.both, image, [], [{ name: 'mcp', ...https, path: '/mcp', method: 'POST', body: '{}', auth }], { silent: ['172.30.0.11'] }).answers
    expect(stopped['mcp']).toMatchObject({ statuses: [503], headers: { 'retry-after': '2' } })
  }, 90_000)

  test('offers of Loki the push alone, with a password of its own, and Grafana or the reason why not', () => {
    const logging = { https: true, port: 8443, host: '10.77.0.60' } as const
    const upstreams = [{ address: '172.30.0.21', port: 3100 }, { address: '172.30.0.22', port: 3000 }]
    const calls: Call[] = [
      { name: 'push', ...logging, path: '/loki/api/v1/push', method: 'POST', body: '{}', auth: 'promtail:push' },
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
    expect(statuses).toMatchObject({ push: 200, 'push without password': 401, 'push as a user of Serena': 401, query: 404, labels: 404, 'around the corner': 404, grafana: 200, 'loki at the front': 404 })
    expect(answers['push']?.body).not.toContain('authorization')
    expect(answers['mcp here']?.body).toContain('172.30.0.22:3000') // Grafana's own 404, never Serena
    const without = ask(seeds.both, imageWithoutGrafana, upstreams, calls).answers
    expect(without['grafana']).toMatchObject({ statuses: [503] })
    expect(without['grafana']?.body).toMatch(/no Grafana/)
    expect(without['push']?.statuses).toEqual([200])
  }, 90_000)
})
