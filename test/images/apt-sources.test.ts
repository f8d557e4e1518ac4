/** The sources that a bake gives to apt, read by apt itself: from the state that is locked, checked with the key that is in them. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { aptSources, type Archive } from '../../images/archive/archives.ts'
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

  /** With folders of its own: nothing of this computer's apt takes part, nor is touched. */
  const apt = async (program: 'apt-get' | 'apt-cache', sources: string, ...words: string[]): Promise<{ code: number; said: string }> => {
    for (const name of ['etc/preferences.d', 'etc/apt.conf.d', 'state/lists/partial', 'cache/archives/partial'])
      await mkdir(join(work, name), { recursive: true })
    await writeFile(join(work, 'archive.sources'), sources)
    await writeFile(join(work, 'status'), '')
    await writeFile(
      join(work, 'apt.conf'),
      `Dir::Etc "${work}/etc"; Dir::State "${work}/state"; Dir::State::status "${work}/status"; Dir::Cache "${work}/cache"; APT::Architecture "amd64"; APT::Architectures "amd64"; APT::Sandbox::User ""; Acquire::Languages "none"; APT::Update::Error-Mode "any"; Acquire::http::Proxy "DIRECT";`,
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
})
