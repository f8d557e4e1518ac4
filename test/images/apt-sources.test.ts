/** The sources that a bake gives to apt, read by apt itself: from the state that is locked, checked with the key that is in them. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { aptSources, type Archive } from '../../images/archive/archives.ts'
import { candidateOf } from '../../images/archive/candidate.ts'
import { openFetcher } from '../../images/archive/fetch.ts'
import { keeperIn } from '../../images/archive/kept.ts'
import { readArchives } from '../../images/archive/read.ts'
import type { LockedArchive } from '../../images/lock.ts'
import { makeArchiveKey, writeSuite, type ArchiveKey } from '../../lab/debian/archive.ts'
import { serveFolder, type ArchiveServer } from './archive-server.ts'
import { missingPrograms } from './programs.ts'

const missing = missingPrograms(['apt-get', 'apt-cache', 'dpkg-deb', 'gpg', 'gpgv'])

describe.skipIf(missing.length > 0)(`apt ${missing.length > 0 ? `(not here: ${missing.join(', ')})` : ''}`, () => {
  let key: ArchiveKey
  let work: string
  let server: ArchiveServer
  let archive: Archive
  const locked = (change: Partial<LockedArchive> = {}): LockedArchive => ({
    url: server.url,
    components: ['main'],
    suites: { stable: '2026-11-20T08:00:00Z' },
    ...change,
  })

  beforeAll(async () => {
    key = await makeArchiveKey()
    work = await mkdtemp(join(tmpdir(), 'golden-apt-'))
    await mkdir(join(work, 'web'))
    server = await serveFolder(join(work, 'web'))
    archive = { url: server.url, suites: ['stable'], components: ['main'], snapshots: `${server.url}/snap`, keys: key.publicKey }
    const suite = { suite: 'stable', date: new Date('2026-11-20T08:00:00Z') }
    const old = [{ name: 'golden-tool', version: '1.0-1', files: { 'usr/share/golden-tool': 'old\n' } }]
    const now = [
      { name: 'golden-tool', version: '1.0-2', depends: 'golden-library (>= 2)' },
      { name: 'golden-library', version: '2~rc1' },
      { name: 'golden-library', version: '2.1' },
    ]
    await writeSuite(join(work, 'web'), key, { ...suite, packages: now, index: 'xz' })
    await writeSuite(join(work, 'web/snap/20261101T000000Z'), key, {
      ...suite,
      packages: old,
      validUntil: new Date('2026-11-02T00:00:00Z'),
    })
  })
  afterAll(async () => {
    await server?.close()
    await key?.close()
    await rm(work, { recursive: true, force: true })
  })

  /** dpkg's database. */
  let installed = ''
  /** With folders of its own: nothing of this computer's apt takes part, nor is touched. */
  const apt = async (program: 'apt-get' | 'apt-cache', sources: string, ...words: string[]): Promise<{ code: number; said: string }> => {
    for (const name of ['etc/preferences.d', 'etc/apt.conf.d', 'state/lists/partial', 'cache/archives/partial'])
      await mkdir(join(work, name), { recursive: true })
    await writeFile(join(work, 'archive.sources'), sources)
    await writeFile(join(work, 'status'), installed)
    await writeFile(
      join(work, 'apt.conf'),
      `Dir::Etc "${work}/etc"; Dir::State "${work}/state"; Dir::State::status "${work}/status"; Dir::Cache "${work}/cache"; Dir::Cache::pkgcache ""; APT::Architecture "amd64"; APT::Architectures "amd64"; APT::Sandbox::User ""; Acquire::Languages "none"; APT::Update::Error-Mode "any"; Acquire::http::Proxy "DIRECT";`,
    )
    const where = ['-o', `Dir::Etc::SourceList=${work}/archive.sources`, '-o', 'Dir::Etc::SourceParts=/dev/null']
    return new Promise((resolve) => {
      execFile(
        program,
        [...where, ...words],
        { env: { PATH: process.env.PATH, APT_CONFIG: join(work, 'apt.conf'), LC_ALL: 'C' } },
        (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr }),
      )
    })
  }

  it('installs from the archive what its index has last, and what that needs', async () => {
    const sources = aptSources([locked()], [archive])
    expect(await apt('apt-get', sources, '-qq', 'update')).toEqual({ code: 0, said: '' })
    const { said } = await apt('apt-get', sources, '--simulate', 'install', 'golden-tool')
    expect(said).toMatch(/^Inst golden-library \(2\.1 /m)
    expect(said).toMatch(/^Inst golden-tool \(1\.0-2 /m)
  })

  it('installs from the snapshot what was there, although that was valid for a day only', async () => {
    const sources = aptSources([locked({ snapshot: { service: `${server.url}/snap`, at: '20261101T000000Z' } })], [archive])
    expect(await apt('apt-get', sources, '-qq', 'update')).toEqual({ code: 0, said: '' })
    expect((await apt('apt-get', sources, '--simulate', 'install', 'golden-tool')).said).toMatch(/^Inst golden-tool \(1\.0-1 /m)
  })

  it('refuses an InRelease that was altered, one by another key, and a state that is gone, in words that packages.sh knows', async () => {
    const sources = aptSources([locked()], [archive])
    server.alter = (path, content) => (path.endsWith('InRelease') ? Buffer.from(content.toString().replace('lab', 'me')) : content)
    const altered = await apt('apt-get', sources, '-qq', 'update')
    server.alter = undefined
    const other = await makeArchiveKey()
    const strange = await apt('apt-get', aptSources([locked()], [{ ...archive, keys: other.publicKey }]), '-qq', 'update')
    await other.close()
    for (const { code, said } of [altered, strange]) {
      expect(code).not.toBe(0)
      expect(said).toMatch(/signature|is not signed|NO_PUBKEY|BADSIG/i)
    }
    const gone = await apt(
      'apt-get',
      aptSources([locked({ snapshot: { service: `${server.url}/snap`, at: '20200101T000000Z' } })], [archive]),
      '-qq',
      'update',
    )
    expect(gone.code).not.toBe(0)
    expect(gone.said).toMatch(/[^0-9]404[^0-9]|does not have a Release file/)
    expect(gone.said).not.toMatch(/signature|NO_PUBKEY|BADSIG/i)
  })

  it('takes of several suites what golden lock says, whatever is installed', async () => {
    // Of each suite nothing, an older version or a newer one.
    const stable = [undefined, '1', '3']
    const backports = [undefined, '2', '4']
    const experimental = [undefined, '2', '5']
    const names = stable.flatMap((a) =>
      backports.flatMap((b) => experimental.flatMap((c) => (a ?? b ?? c) && { name: `p${a ?? 0}${b ?? 0}${c ?? 0}`, a, b, c })),
    )
    const packages = names.filter((one) => typeof one === 'object')
    const suite = { date: new Date('2026-11-20T08:00:00Z'), hollow: true }
    const of = (from: 'a' | 'b' | 'c') => packages.flatMap((one) => (one[from] ? { name: one.name, version: one[from] } : []))
    const web = join(work, 'web/several')
    await writeSuite(web, key, { ...suite, suite: 'stable', packages: of('a') })
    await writeSuite(web, key, { ...suite, suite: 'stable-backports', packages: of('b'), notAutomatic: 'upgrades' })
    await writeSuite(web, key, { ...suite, suite: 'experimental', packages: of('c'), notAutomatic: 'at-all' })
    const several: Archive = { ...archive, url: `${server.url}/several`, suites: ['stable', 'stable-backports', 'experimental'] }
    const [fetcher, keeper] = [openFetcher({ keeper: keeperIn(join(work, 'kept')), env: {} }), keeperIn(join(work, 'indexes'))]
    const { archives, offers } = await readArchives({ archives: [several], fetcher, keeper, now: new Date() }).finally(() =>
      fetcher.close(),
    )
    expect(offers.size).toBe(26)
    const sources = aptSources(archives, [several])
    expect(await apt('apt-get', sources, '-qq', 'update')).toEqual({ code: 0, said: '' })
    for (const version of [undefined, '0', '1', '2', '3', '4', '5', '6']) {
      installed = version === undefined ? '' : packages.map(({ name }) => stateOf(name, version)).join('\n')
      const { said } = await apt('apt-cache', sources, 'policy', ...packages.map(({ name }) => name))
      const candidates = [...said.matchAll(/^(p\d+):\n {2}Installed: .*\n {2}Candidate: (.*)$/gm)].map(([, name, candidate]) => [
        name,
        candidate,
      ])
      expect(Object.fromEntries(candidates), `with ${version}`).toEqual(
        Object.fromEntries(packages.map(({ name }) => [name, candidateOf(offers.get(name) ?? [], version)])),
      )
    }
    installed = ''
  })
})

/** What dpkg says of one that is installed. */
const stateOf = (name: string, version: string): string =>
  `Package: ${name}\nStatus: install ok installed\nMaintainer: the lab <lab@example.org>\nArchitecture: all\nVersion: ${version}\nDescription: made by the lab\n`
