/** Two slots' nginx, real, without rights, in a network namespace each: one takes over from the other while clients go on. */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { peerName } from '../../images/contract/files.ts'
import type { Seed } from '../../images/contract/seed.ts'
import { owner } from '../../images/guest/places.ts'
import { renderFiles } from '../../images/guest/render.ts'
import { projectSettings, projectSettingsFile, serenaConfiguration } from '../../images/guest/serena.ts'
import { enterRoot, inRoot, rootPath, type Root } from '../../lab/debian/root.ts'
import { makeSelfSigned } from '../../settings/secrets/certificates.ts'
import { selfSigned } from './certificate.ts'
import { cheapHash } from './golden-auth.ts'
import type { Order, SlotOrder } from './handover-calls.ts'
import { keeperBind, writeSessionKey } from './keeper-files.ts'
import { contents, image, seeds } from './seed.ts'
import { ensureSerena, findInterpreter } from '../../demo/serena-program.ts'

const rootFolder = await rootPath()
const root: Root = { folder: rootFolder }
const interpreter = findInterpreter()
const noRoot = process.getuid?.() !== 0 || !existsSync(rootFolder)
const host = seeds.serena.public.host
const both: Seed = { ...seeds.both, serena: seeds.serena.serena! }
/** The new slot's containers are reached through the old one's network. */
const elsewhere = '10.200.0.0/22'
const tight = { calls: 5, mebibytes: 1, seconds: 2 }

describe.skipIf(noRoot)("a handover between two slots (needs root and the lab's Debian root in the cache)", () => {
  let folder = ''
  let files: Record<string, string> = {}
  let peer = { certificate: '', key: '' }
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'golden-handover-'))
    await inRoot(root, ['openssl', ...selfSigned('/made', host)], { binds: [{ from: folder, to: '/made', writable: true }] })
    peer = await makeSelfSigned(peerName, new Date())
    files = {
      ...contents(readFileSync(join(folder, 'pem'), 'utf8'), readFileSync(join(folder, 'key'), 'utf8')),
      'tls/peer.pem': peer.certificate,
      'tls/peer.key': peer.key,
      'htpasswd/serena': cheapHash('me', 'right') + cheapHash('other', 'right'),
      'htpasswd/loki': cheapHash('promtail', 'right'),
    }
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  /** With seconds where it has minutes. */
  const soon = (content: string): string => content.replace('set $golden_stays 300;', 'set $golden_stays 3;')

  /** A slot as its seed makes it. */
  function lay(seed: Seed): SlotOrder {
    const place = mkdtempSync(join(folder, 'slot-'))
    const put = (path: string, content: string, of: number, mode: number): void => {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, content)
      chownSync(path, of, of)
      chmodSync(path, mode)
    }
    for (const { path, content, owner: of = 0, mode = 0o644 } of renderFiles(seed, image, files))
      if (/^\/run\/golden\/(nginx|auth)\//.test(path)) put(join(place, path), soon(content), of, mode)
    const golden = join(place, 'run/golden')
    writeSessionKey(golden, peer.key)
    writeFileSync(join(golden, 'auth/probe'), 'right')
    const start = `setpriv --reuid ${owner.nginx} --regid ${owner.nginx} --clear-groups --bounding-set=-all --no-new-privs sh -c 'nginx -e stderr -c /etc/golden/nginx/nginx.conf -g "daemon off;" 2>&1 | cat'; exit 1`
    const nginx = enterRoot(root, ['sh', '-c', start], {
      binds: [{ from: join(golden, 'nginx'), to: '/etc/golden/nginx' }, keeperBind(join(place, 'keeper'))],
    })
    return { address: seed.address, nginx, golden, ...(seed.containers === undefined ? {} : { containers: seed.containers }) }
  }

  function run(scenario: Order['scenario'], seed: Seed, serena?: Order['serena']): any {
    const place = mkdtempSync(join(folder, 'run-'))
    const [input, output] = [join(place, 'order.json'), join(place, 'answers.json')]
    const order: Order = {
      scenario,
      host,
      seed,
      old: lay(seed),
      new: lay({ ...seed, slot: 'green', address: seed.peer, peer: seed.address, containers: elsewhere }),
      peer: { cert: peer.certificate, key: peer.key },
      ...(serena === undefined ? {} : { serena }),
    }
    writeFileSync(input, JSON.stringify(order))
    const ran = spawnSync('unshare', ['--net', '--', process.execPath, join(import.meta.dirname, 'handover-calls.ts'), input, output], {
      encoding: 'utf8',
      timeout: 280_000,
    })
    if (ran.status !== 0) throw new Error(ran.stderr + ran.stdout)
    return JSON.parse(readFileSync(output, 'utf8'))
  }

  const again = { status: 503, retryAfter: '2' }

  it('calls wait, are answered by the other slot under the same session, and come back; none fails', () => {
    const said = run('moves', both)
    expect(said.steady).toMatchObject({ failed: [], keptOpen: 0 })
    expect(said.steady.byNew).toBeGreaterThan(3)
    expect(said).toMatchObject({
      sameId: true,
      forwarded: { status: 200, connection: 'close' },
      back: { status: 200, connection: 'keep-alive' },
      pushed: 204,
    })
    // The call whose client had left was Serena's until she had done it.
    expect(said.before).toMatchObject({ state: 'open', parked: 0, refused: 0, sse: 1, sessions: 4 })
    expect(said.before.busy).toBeGreaterThanOrEqual(2)
    expect(said.parked).toMatchObject({ state: 'park', busy: 2, parked: 3, sse: 1 })
    expect(said.parked.parkedBytes).toBeGreaterThan(200)
    expect(said.parked.oldestMs).toBeGreaterThan(0)
    expect(said.meanwhile).toMatchObject({
      health: 200,
      noPassword: { status: 401, body: expect.stringContaining('not accepted') },
      elsewhere: { status: 404 },
      foreign: { status: 404, body: expect.stringContaining('Session not found'), connection: 'close' },
      get: { status: 405, allow: 'POST, DELETE', connection: 'close' },
      sse: again,
      message: again,
      push: again,
      grafana: again,
      probe: again,
    })
    // The test's certificate has no name that clients look at.
    expect(said.meanwhile.front.filter((problem: string) => !problem.includes('the certificate is not for'))).toEqual([])
    // The project that was active goes with the session.
    expect(said.carried).toEqual({ schema: 1, project: { project: 'one' } })
    expect(said.carriedTo).toEqual(said.carried)
    // Each of the four sessions is opened there once.
    for (const what of [/^initialize -$/, /^notifications\/initialized new/, /^activate_project new/])
      expect(said.heardThere.filter((line: string) => what.test(line))).toHaveLength(4)
    // To Serena and in the log it is as if the client had come itself.
    expect(said.reached).toEqual({ host, for: '127.0.0.1' })
    expect(said.line).toMatchObject({ user: 'me', host, remote: expect.stringMatching(/^127\.0\.0\./) })
    expect(said.others).toMatchObject({
      stateless: { status: 200, connection: 'close' },
      opened: { status: 200, connection: 'close' },
      foreignThere: { status: 404 },
      unknownThere: { status: 405, connection: 'close' },
    })
    // What asks for nothing that is forwarded stays on its connection, but not until that breaks.
    expect(said.staying).toMatchObject({ first: { status: 404, connection: 'keep-alive' }, last: { status: 404, connection: 'close' } })
    expect(said.meanwhile.elsewhere).toMatchObject({ connection: 'keep-alive' })
    expect(said.hidden).toMatchObject({ status: 404, connection: 'keep-alive' })
    expect(said.newest).toMatchObject({ status: 200, session: said.others.opened.session })
    expect(said.after).toMatchObject({ state: 'open', busy: 0, forwarding: 0, parked: 0, parkedBytes: 0, refused: 0 })
  })

  it('what waits is bounded in number, size and time; the others are told to come again, and counted', () => {
    const said = run('bounds', { ...seeds.serena, serena: { ...seeds.serena.serena!, parking: tight } })
    for (const one of said.many) expect(one).toMatchObject({ ...again, connection: 'close' })
    expect(said.many.filter(({ ms }: { ms: number }) => ms < 1900)).toHaveLength(3)
    expect(said.after).toMatchObject({ parked: 0, parkedBytes: 0, refused: 8 })
    expect(said.parkedBytes).toBeGreaterThan(600_000)
    expect(said.second).toMatchObject(again)
    expect(said.second.ms).toBeLessThan(1900)
    expect(said.first.status).toBe(200)
    expect(said.end).toMatchObject({ state: 'open', parked: 0, refused: 9 })
    expect(said.refused).toEqual([400, 400, 400, 405])
  })

  it('calls wait for a peer that is away, and none that it may have got is repeated', () => {
    const said = run('unreachable', { ...seeds.serena, serena: { ...seeds.serena.serena!, parking: { ...tight, seconds: 4 } } })
    expect(said.owner).toBe(502)
    expect(said.inVain).toMatchObject({ ...again, connection: 'close' })
    expect(said.inVain.ms).toBeGreaterThan(3900)
    expect(said.answered).toMatchObject({ status: 200, connection: 'close' })
    expect(said.broken.status).toBe(503)
    expect(said.times).toBe(1)
  })

  it('only the peer slot speaks for its users', () => {
    const said = run('forged', seeds.serena)
    expect(said.asOther.status).toBe(200)
    expect(said.seen).toEqual({ host, for: '127.0.0.1' })
    expect(said.withoutPassword).toBe(401)
    expect(said.line).toMatchObject({ user: 'me', remote: '127.0.0.1', host })
    expect(said.refusals).toEqual({
      'from the peer, without its certificate': 400,
      'with the certificate, from elsewhere': 'ECONNRESET',
      'without either': 'ECONNRESET',
      "by the public server's name": 421,
      'by no name': 400,
      'at the old slot, which is not its own peer': 'ECONNRESET',
      'the owner, from elsewhere': 'ECONNRESET',
      'the owner, at the public server': 404,
    })
    expect(said.heardThere).toEqual(['stateless -'])
    expect(said.asPeer.status).toBe(200)
  })

  it.each(['serena', 'logging'] as const)('a slot with the role %s asks the other one whose data disk it is', (role) => {
    expect(run('owner', seeds[role])).toEqual({ nobody: {}, green: { owner: 'green' }, again: {} })
  })

  it.skipIf(interpreter === undefined)(
    'an official client goes on where it was, with Serena herself in both slots (needs Python 3.11 to 3.14 with venv)',
    async () => {
      const { serena: program } = await ensureSerena(interpreter ?? '', process.env)
      const home = mkdtempSync(join(folder, 'home-'))
      const projects = join(folder, 'projects')
      const project = join(projects, 'website')
      mkdirSync(join(project, dirname(projectSettingsFile)), { recursive: true })
      writeFileSync(join(project, projectSettingsFile), projectSettings('website'))
      writeFileSync(join(project, 'index.html'), '<p>')
      writeFileSync(
        join(home, 'serena_config.yml'),
        serenaConfiguration({ ...seeds.serena.serena!, projects: [] }, ['website'], { projects, languageServers: join(folder, 'none') }),
      )
      const said = run('serena', seeds.serena, { program, home, project: 'website' })
      expect(said.activated).toMatchObject({ isError: false })
      for (const one of [said.before, said.parked, said.after])
        expect(one).toMatchObject({ isError: false, text: expect.stringContaining('index.html') })
      expect(said).toMatchObject({ sameId: true })
    },
    300_000,
  )
})
