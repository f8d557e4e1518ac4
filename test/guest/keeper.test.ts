/** The session keeper in real nginx, without rights, in a network namespace; Serena is a stand-in, and once herself. */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ensureSerena, findInterpreter } from '../../demo/serena-program.ts'
import { owner } from '../../images/guest/places.ts'
import { renderFiles } from '../../images/guest/render.ts'
import { projectSettings, projectSettingsFile, serenaConfiguration } from '../../images/guest/serena.ts'
import { enterRoot, rootPath, type Root } from '../../lab/debian/root.ts'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'
import { cheapHash } from './golden-auth.ts'
import type { Order } from './keeper-calls.ts'
import { keeperBind, writeSessionKey } from './keeper-files.ts'
import { contents, image, seeds } from './seed.ts'

const rootFolder = await rootPath()
const root: Root = { folder: rootFolder }
const noRoot = process.getuid?.() !== 0 || !existsSync(rootFolder)
const interpreter = findInterpreter()
const host = seeds.serena.public.host

describe.skipIf(noRoot)("the session keeper (needs root and the lab's Debian root in the cache)", () => {
  let folder = ''
  let files: Record<string, string> = {}
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'golden-keeper-'))
    const authority = await makeAuthority('test', new Date(), [host])
    const { certificate, key } = await makeServerCertificate(authority, [host], new Date())
    writeFileSync(caFile(), authority.certificate)
    files = contents(certificate, key)
    files['htpasswd/serena'] = cheapHash('me', 'right') + cheapHash('other', 'right')
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const caFile = (): string => join(folder, 'ca.pem')

  /** Serena's home, with a project that has a page. */
  function serenaHome(): string {
    const home = mkdtempSync(join(folder, 'home-'))
    const projects = join(folder, 'projects')
    const project = join(projects, 'website')
    mkdirSync(join(project, dirname(projectSettingsFile)), { recursive: true })
    writeFileSync(join(project, projectSettingsFile), projectSettings('website'))
    writeFileSync(join(project, 'index.html'), '<p>')
    const settings = { transports: ['streamable-http' as const], interface: 'tools' as const, shell: false, memoryMiB: 1024, projects: [] }
    writeFileSync(
      join(home, 'serena_config.yml'),
      serenaConfiguration(settings, ['website'], { projects, languageServers: join(folder, 'none') }),
    )
    return home
  }

  function run(order: Pick<Order, 'scenario' | 'serena' | 'clients'>): any {
    const place = mkdtempSync(join(folder, 'run-'))
    const put = (path: string, content: string, of: number, mode: number): void => {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, content)
      chownSync(path, of, of)
      chmodSync(path, mode)
    }
    for (const { path, content, owner: of = 0, mode = 0o644 } of renderFiles(seeds.serena, image, files))
      if (/^\/run\/golden\/(nginx|auth)\//.test(path)) put(join(place, path), content, of, mode)
    writeSessionKey(join(place, 'run/golden'))
    const start = `setpriv --reuid ${owner.nginx} --regid ${owner.nginx} --clear-groups --bounding-set=-all --no-new-privs sh -c 'nginx -e stderr -c /etc/golden/nginx/nginx.conf -g "daemon off;" 2>&1 | cat'; exit 1`
    const nginx = enterRoot(root, ['sh', '-c', start], {
      binds: [{ from: join(place, 'run/golden/nginx'), to: '/etc/golden/nginx' }, keeperBind(join(place, 'keeper'))],
    })
    const [input, output] = [join(place, 'order.json'), join(place, 'answers.json')]
    writeFileSync(input, JSON.stringify({ nginx, golden: join(place, 'run/golden'), host, ...order } satisfies Order))
    const ran = spawnSync(
      'unshare',
      ['--net', '--mount', '--', process.execPath, join(import.meta.dirname, 'keeper-calls.ts'), input, output],
      { encoding: 'utf8', timeout: 280_000 },
    )
    if (ran.status !== 0) throw new Error(ran.stderr + ran.stdout)
    return JSON.parse(readFileSync(output, 'utf8'))
  }

  it("opens a client's session again when Serena has forgotten it, once, with its project; nobody else's", () => {
    const said = run({ scenario: 'forgets' })
    expect(said.opened).toMatchObject({ status: 200, session: expect.stringMatching(/^[\w-]{80,}\.[\w-]{43}$/) })
    const id = said.opened.session
    expect(said.before).toMatchObject({ status: 200, session: id })
    expect(said.get).toMatchObject({ status: 405, allow: 'POST, DELETE' })
    for (const one of [said.foreign, ...said.forged])
      expect(one).toMatchObject({ status: 404, body: expect.stringContaining('Session not found') })
    expect(said.after).toMatchObject({ status: 200, session: id, body: expect.stringContaining('"result":"look"') })
    expect(said.heard).toEqual(['look s1', 'initialize -', 'notifications/initialized s2', 'activate_project s2', 'look s2'])
    expect(new Set(said.together.map(({ status }: { status: number }) => status))).toEqual(new Set([200]))
    expect(said.openings).toBe(1)
    expect(said.ended.status).toBe(200)
    expect(said.afterEnd.status).toBe(404)
    // Who has no session relies on the project that was active: it is so again before anything else is asked of a new Serena.
    expect(new Set(said.withoutSession.map(({ status }: { status: number }) => status))).toEqual(new Set([200]))
    const told = said.told.filter((line: string) => !line.startsWith('ping'))
    expect(told.slice(0, 3)).toEqual([
      expect.stringMatching(/^initialize -/),
      expect.stringMatching(/^notifications/),
      expect.stringMatching(/^activate_project/),
    ])
    expect(told.slice(3)).toEqual(Array.from({ length: 5 }, () => 'stateless -'))
  })

  it('lets calls wait for a Serena that is away, within bounds, and repeats none that may have arrived', () => {
    const said = run({ scenario: 'away' })
    expect(said.broken.status).toBe(503)
    // Not nginx's 500 about too many redirects.
    expect([200, 503]).toContain(said.flickering.status)
    expect(said.times).toBe(1)
    for (const one of said.waited) {
      expect(one.status).toBe(200)
      expect(one.ms).toBeGreaterThan(2900)
    }
    expect(said.waited[1].session).toMatch(/\./)
    // 200 wait for half a minute; the others are told at once.
    expect(said.crowd).toMatchObject({ statuses: [503], early: 60 })
    expect(said.crowd.last).toBeGreaterThan(29_000)
  })

  it.skipIf(interpreter === undefined)(
    'an official client goes on where it was after Serena was killed (needs Python 3.11 to 3.14 with venv)',
    async () => {
      const { serena } = await ensureSerena(interpreter ?? '', process.env)
      const said = run({ scenario: 'serena', serena: { program: serena, home: serenaHome(), project: 'website' } })
      expect(said.activated).toMatchObject({ isError: false })
      for (const one of [said.first, said.second, said.third])
        expect(one).toMatchObject({ isError: false, text: expect.stringContaining('index.html') })
      expect(said).toMatchObject({ sameId: true })
    },
    300_000,
  )

  it.skipIf(interpreter === undefined)(
    "the demo's clients, one of each kind, call Serena without a failure, also when she was started again meanwhile (needs Python 3.11 to 3.14 with venv)",
    async () => {
      const { serena: program, python } = await ensureSerena(interpreter ?? '', process.env)
      const said = run({
        scenario: 'clients',
        serena: { program, home: serenaHome(), project: 'website' },
        clients: { python, caFile: caFile() },
      })
      expect(said.failures).toEqual([])
      expect(said.clients).toHaveLength(5)
      for (const { calls } of said.clients) expect(calls).toBeGreaterThan(2)
      // Those of revision 2026-07-28 have none, and the connection speaks no MCP.
      const sessions = said.clients.map(({ client, sessions: count }: { client: string; sessions: number }) => [client, count])
      expect(Object.fromEntries(sessions)).toEqual({
        'TypeScript SDK': 1,
        'TypeScript SDK, idle for 1 s between calls': 1,
        'Python SDK': 1,
        'TypeScript client of 2026-07-28, without sessions': 0,
        'one TLS connection, a request every 0.2 s': 0,
      })
      expect(said.connection).toMatchObject({ opened: 1, closedByAnswer: 0, closedIdle: 0 })
      expect(said.connection.logged).toEqual(said.connection.answered)
    },
    300_000,
  )
})
