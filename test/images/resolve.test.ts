/** `golden lock` against an archive, its snapshots and a folder of cloud images on this computer, with real signatures. */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { silent } from '../../core/progress.ts'
import { offersOf } from '../../images/archive/candidate.ts'
import { openFetcher } from '../../images/archive/fetch.ts'
import { keeperIn } from '../../images/archive/kept.ts'
import { expectedVersions, newerPackages } from '../../images/archive/packages.ts'
import { baseOf, newestBase, withLockedBase } from '../../images/base-image.ts'
import { changeLines } from '../../images/lock-changes.ts'
import { defaultImages, lockDigest, lockFile, readLock, writeLock, type LockedBase } from '../../images/lock.ts'
import { askedOf, readPackages } from '../../images/packages.ts'
import { updateLock, type LockOptions, type LockUpdate } from '../../images/resolve.ts'
import { makeArchiveKey, writeSuite, type ArchiveKey, type SmallPackage, type SmallSuite } from '../../lab/debian/archive.ts'
import { serveFolder, type ArchiveServer } from './archive-server.ts'
import { exampleSite, hash } from './example.ts'
import { missingPrograms } from './programs.ts'

describe('what is newer', () => {
  const offers = offersOf([{ priority: 500, index: new Map(Object.entries({ same: '1-1', newer: '1-2', older: '0.9', unknown: '5' })) }])
  const known = { same: '1-1', newer: '1-1', older: '1-1', ours: '7' }

  it('is what the archives have in a later version; what they have not, or no more, stays', () => {
    expect(newerPackages(known, offers)).toEqual([{ name: 'newer', from: '1-1', to: '1-2' }])
    expect(expectedVersions(known, ['unknown'], offers, true)).toEqual({ same: '1-1', newer: '1-2', older: '1-1', ours: '7', unknown: '5' })
  })

  it('is not asked of what was in another base: there the archives have the word', () => {
    expect(expectedVersions(known, ['unknown'], offers, false)).toEqual({ same: '1-1', newer: '1-2', older: '0.9', unknown: '5' })
  })

  it('is refused by name where no archive has what is to be installed', () => {
    expect(() => expectedVersions(known, ['same', 'docker.io', 'git'], offers, true)).toThrow(
      expect.objectContaining({ code: 'package-unknown', message: expect.stringContaining('docker.io, git') }),
    )
  })
})

describe('of suites that apt takes nothing of by itself', () => {
  const suites = (stable: Record<string, string>, backports: Record<string, string>, experimental: Record<string, string> = {}) =>
    offersOf([
      { priority: 500, index: new Map(Object.entries(stable)) },
      { priority: 100, index: new Map(Object.entries(backports)) },
      { priority: 1, index: new Map(Object.entries(experimental)) },
    ])

  it('what is asked for comes from there only if nobody else has it', () => {
    const offers = suites({ git: '2.47' }, { git: '2.51~bpo', jq: '1.8~bpo' }, { git: '2.52', jq: '1.9', vim: '9' })
    expect(expectedVersions({}, ['git', 'jq', 'vim'], offers, true)).toEqual({ git: '2.47', jq: '1.8~bpo', vim: '9' })
    expect(newerPackages({ git: '2.47' }, offers)).toEqual([])
  })

  it('what is from there is upgraded from there, if it is a suite for that', () => {
    const offers = suites({ linux: '6.12' }, { linux: '6.17~bpo2' }, { linux: '6.18' })
    expect(newerPackages({ linux: '6.16~bpo1' }, offers)).toEqual([{ name: 'linux', from: '6.16~bpo1', to: '6.17~bpo2' }])
    expect(expectedVersions({ linux: '6.16~bpo1' }, [], offers, true)).toEqual({ linux: '6.17~bpo2' })
    expect(newerPackages({ vim: '9' }, suites({}, {}, { vim: '10' }))).toEqual([])
  })

  it('nothing is said where it hangs on what the base has', () => {
    // Another base may have it from the backports, as the image before.
    expect(expectedVersions({ linux: '6.16~bpo1' }, [], suites({ linux: '6.12' }, { linux: '6.17~bpo2' }), false)).toEqual({})
    // In the base it stays, and otherwise it comes from there.
    expect(expectedVersions({ vim: '9' }, [], suites({}, {}, { vim: '10' }), true)).toEqual({})
  })
})

const missing = missingPrograms(['gpg', 'gpgv'])

describe.skipIf(missing.length > 0)(`golden lock ${missing.length > 0 ? `(not here: ${missing.join(', ')})` : ''}`, () => {
  let key: ArchiveKey
  let place: string
  let folder: string
  let server: ArchiveServer
  let asked: readonly SmallPackage[]
  const now = new Date('2026-11-29T12:00:00Z')
  const dayAfter = new Date('2026-11-30T12:00:00Z')

  beforeAll(async () => {
    key = await makeArchiveKey()
    asked = askedOf(await readPackages(), 'debian-13').map((name) => ({ name, version: '1.0-1' }))
  })
  afterAll(() => key?.close())
  beforeEach(async () => {
    place = await mkdtemp(join(tmpdir(), 'golden-resolve-'))
    folder = join(place, 'site')
    await Promise.all([mkdir(folder), mkdir(join(place, 'web'))])
    server = await serveFolder(join(place, 'web'))
    await writeFile(join(folder, 'archive.asc'), key.publicKey)
    await archive()
  })
  afterEach(async () => {
    await server.close()
    await rm(place, { recursive: true, force: true })
  })

  const archive = (packages: readonly SmallPackage[] = asked, at = 'web/debian', change: Partial<SmallSuite> = {}): Promise<void> =>
    writeSuite(join(place, at), key, { suite: 'stable', packages, date: new Date('2026-11-20T08:00:00Z'), hollow: true, ...change })
  const site = (change: (input: any) => void = () => {}) =>
    exampleSite((input) => {
      input.image.archives = [{ url: `${server.url}/debian`, suites: ['stable'], keyFile: 'archive.asc' }]
      change(input)
    })
  /** What tags mean by now, by image. */
  const digests = new Map<string, string>()
  const lookedUp: string[] = []
  const lock = (change: Partial<LockOptions> = {}): Promise<LockUpdate> =>
    updateLock({
      site: site(),
      folder,
      cacheDir: join(place, 'cache'),
      tools: { packer: '1.16.0' },
      progress: silent,
      now,
      registry: {
        resolveDigest: async (image) => {
          lookedUp.push(image)
          return digests.get(image) ?? `sha256:${hash('1')}`
        },
        resolvePlatform: async (_image, digest) => digest.replaceAll('1', '2'),
      },
      ...change,
    })
  const text = (): Promise<string> => readFile(lockFile(folder), 'utf8')
  beforeEach(() => {
    digests.clear()
    lookedUp.length = 0
  })

  it('has lego where the site asks an ACME server, and not where it does not, but for one that somebody has put there', async () => {
    const acme = site((input) => {
      input.public.certificate = { kind: 'acme' }
    })
    await lock()
    expect((await readLock(folder)).services.lego).toBeUndefined()
    await lock({ site: acme })
    expect((await readLock(folder)).services.lego).toMatchObject(defaultImages.lego)
    await lock()
    expect((await readLock(folder)).services.lego).toBeUndefined()
    const own = { image: 'registry.lan/lego', digest: `sha256:${hash('3')}` }
    const { services, ...rest } = await readLock(folder)
    await writeLock(folder, { ...rest, services: { ...services, lego: own } })
    await lock()
    expect((await readLock(folder)).services.lego).toEqual(own)
  })

  it("begins with the project's own images, what is asked of apt, the language servers and the tools", async () => {
    const { changes } = await lock()
    const made = await readLock(folder)
    expect(Object.keys(made.services)).toEqual(['serena', 'nginx', 'otelcol', 'loki', 'grafana'])
    expect(made.services.serena).toEqual({ ...defaultImages.serena, digest: `sha256:${hash('1')}`, platform: `sha256:${hash('2')}` })
    expect(made.packages).toEqual({
      archives: [{ url: `${server.url}/debian`, components: ['main'], suites: { stable: '2026-11-20T08:00:00Z' } }],
      asked: asked.map(({ name }) => name).sort(),
      complete: false,
      versions: Object.fromEntries(asked.map(({ name, version }) => [name, version])),
    })
    expect(made.base).toEqual({ os: 'debian-13', url: 'https://images.example.org/debian-13.qcow2', sha256: hash('a'), vouched: 'site' })
    expect(Object.keys(made.languageServers ?? {})).toContain('pyright')
    expect(made.tools).toEqual({ packer: '1.16.0' })
    expect(new Set(changes.map(({ what }) => what))).toEqual(
      new Set(['base', 'container', 'archive', 'package', 'language server', 'tool']),
    )
    expect(changes.every(({ from }) => from === undefined)).toBe(true)
  })

  it('has the log agent that the site asks for, and not the other one', async () => {
    const agents = async (agent: 'otelcol' | 'promtail'): Promise<string[]> => {
      await lock({ site: site((input) => (input.logging = { agent })) })
      return Object.keys((await readLock(folder)).services).filter((name) => name === 'otelcol' || name === 'promtail')
    }
    expect([await agents('promtail'), await agents('otelcol'), await agents('otelcol')]).toEqual([['promtail'], ['otelcol'], ['otelcol']])
  })

  it('made on another day with nothing new is the same file to the byte, not even written, after one conditional request', async () => {
    await lock()
    const before = await text()
    await utimes(lockFile(folder), 1, 1)
    server.asked.length = 0
    for (const at of [now, dayAfter]) expect(await lock({ now: at })).toMatchObject({ changes: [], different: false, notYet: [] })
    expect(server.asked).toEqual(['GET /debian/dists/stable/InRelease 304', 'GET /debian/dists/stable/InRelease 304'])
    // Nor with an archive that was renewed without anything that the image has.
    await archive([...asked, { name: 'elsewhere', version: '2' }], 'web/debian', { date: dayAfter })
    expect(await lock({ now: dayAfter })).toMatchObject({ changes: [] })
    expect([await text(), (await stat(lockFile(folder))).mtimeMs]).toEqual([before, 1000])
  })

  it('names exactly the package that is newer, of those that a bake has found in the image, and its state of the archive', async () => {
    await lock()
    const made = await readLock(folder)
    await writeLock(folder, {
      ...made,
      packages: { ...made.packages!, complete: true, versions: { ...made.packages!.versions, openssl: '3.5.1-1', 'not-in-archive': '9' } },
    })
    expect((await lock()).changes).toEqual([])
    const openssl = { name: 'openssl', version: '3.5.1-1+deb13u1' }
    await archive([...asked, openssl], 'web/debian', { date: new Date('2026-11-28T08:00:00Z') })
    const digest = lockDigest(await readLock(folder))
    const { changes } = await lock()
    expect(changeLines(changes)).toEqual([
      `archive ${server.url}/debian stable main: 2026-11-20T08:00:00Z → 2026-11-28T08:00:00Z`,
      'package openssl: 3.5.1-1 → 3.5.1-1+deb13u1',
    ])
    const after = await readLock(folder)
    expect(after.packages).toMatchObject({ complete: false, versions: { openssl: openssl.version, 'not-in-archive': '9' } })
    expect(lockDigest(after)).not.toBe(digest)
  })

  it('names the digest that a tag has by now, leaves entries without a tag alone, and asks nothing of those', async () => {
    await lock()
    const made = await readLock(folder)
    const { tag: _, ...untagged } = made.services.nginx
    await writeLock(folder, { ...made, services: { serena: made.services.serena, nginx: untagged } })
    lookedUp.length = 0
    expect((await lock()).changes).toEqual([])
    expect(lookedUp).toEqual(['ghcr.io/oraios/serena'])
    digests.set('ghcr.io/oraios/serena', `sha256:${hash('9')}`)
    expect((await lock()).changes).toEqual([
      {
        what: 'container',
        name: 'serena',
        from: `ghcr.io/oraios/serena:2.1.0@sha256:${hash('1')}`,
        to: `ghcr.io/oraios/serena:2.1.0@sha256:${hash('9')}`,
      },
    ])
    expect((await readLock(folder)).services.serena).toMatchObject({ digest: `sha256:${hash('9')}`, platform: `sha256:${hash('9')}` })
  })

  it('--check says the same and writes nothing', async () => {
    expect((await lock({ check: true })).changes.length).toBeGreaterThan(20)
    await expect(text()).rejects.toMatchObject({ code: 'ENOENT' })
    await lock()
    const before = await text()
    digests.set('ghcr.io/oraios/serena', `sha256:${hash('9')}`)
    expect((await lock({ check: true })).changes).toHaveLength(1)
    expect(await text()).toBe(before)
    expect((await lock({ check: true, now: dayAfter })).changes).toHaveLength(1)
  })

  it('writes nothing when one of them fails, and the failure names it', async () => {
    await lock()
    const before = await text()
    digests.set('ghcr.io/oraios/serena', `sha256:${hash('9')}`)
    server.alter = (path, content) => (path.endsWith('InRelease') ? Buffer.from(content.toString().replace('lab', 'me')) : content)
    await expect(lock()).rejects.toMatchObject({
      code: 'archive-signature',
      message: expect.stringContaining(`${server.url}/debian/dists/stable/InRelease`),
    })
    expect(await text()).toBe(before)
  })

  it('lets the next bake say anew what there is when it is told to, and when base, archives or what is asked for are others', async () => {
    const reopened = async (change: Partial<LockOptions>): Promise<boolean> => {
      const made = await readLock(folder)
      await writeLock(folder, { ...made, packages: { ...made.packages!, complete: true } })
      await lock(change)
      return (await readLock(folder)).packages?.complete === false
    }
    await lock()
    expect(await reopened({})).toBe(false)
    expect(await reopened({ again: true })).toBe(true)
    expect(await lock({ again: true })).toMatchObject({ changes: [], different: false })
    expect(await reopened({ site: site((input) => (input.image.base.sha256 = hash('b'))) })).toBe(true)
    await archive(asked, 'web/debian', { suite: 'updates' })
    const two = site((input) => input.image.archives[0].suites.push('updates'))
    expect(await reopened({ site: two })).toBe(true)
    const made = await readLock(folder)
    await writeLock(folder, { ...made, packages: { ...made.packages!, asked: ['git'] } })
    expect(await reopened({ site: two })).toBe(true)
  })

  it('locks what apt takes beside backports, and with --packages takes back what an earlier version has locked of them', async () => {
    await archive(
      asked.map(({ name }) => ({ name, version: '2.0-1~bpo1' })),
      'web/debian',
      { suite: 'backports', notAutomatic: 'upgrades' },
    )
    const two = site((input) => input.image.archives[0].suites.push('backports'))
    await lock({ site: two })
    const stable = Object.fromEntries(asked.map(({ name, version }) => [name, version]))
    const made = await readLock(folder)
    expect(made.packages).toMatchObject({ complete: false, versions: stable })
    const wrong = Object.fromEntries(asked.map(({ name }) => [name, '2.0-1~bpo1']))
    await writeLock(folder, { ...made, packages: { ...made.packages!, versions: wrong } })
    await lock({ site: two, again: true })
    expect((await readLock(folder)).packages?.versions).toEqual(stable)
  })

  it('takes the state of the snapshot service, and says what that does not have yet', async () => {
    const withSnapshots = site((input) => (input.image.archives[0].snapshots = `${server.url}/snap`))
    const newer = asked.map((one, index) => (index === 0 ? { ...one, version: '1.0-2' } : one))
    await archive(asked, 'web/snap/20261129T120000Z')
    await lock({ site: withSnapshots })
    const first = await readLock(folder)
    expect(first.packages?.archives[0]?.snapshot).toEqual({ service: `${server.url}/snap`, at: '20261129T120000Z' })
    // News in the archive, none in what the service has on the next day.
    await archive(newer, 'web/debian', { date: new Date('2026-11-30T08:00:00Z') })
    await archive(asked, 'web/snap/20261130T120000Z')
    expect(await lock({ site: withSnapshots, now: dayAfter })).toMatchObject({
      changes: [],
      notYet: [{ name: asked[0]?.name, from: '1.0-1', to: '1.0-2' }],
    })
    expect(await readLock(folder)).toEqual(first)
    await archive(newer, 'web/snap/20261130T120000Z', { date: new Date('2026-11-30T08:00:00Z') })
    const { changes, notYet } = await lock({ site: withSnapshots, now: dayAfter })
    expect([changes.map(({ what }) => what), notYet]).toEqual([['archive', 'package'], []])
    expect((await readLock(folder)).packages?.archives[0]?.snapshot?.at).toBe('20261130T120000Z')
  })

  describe('the base image', () => {
    const image = Buffer.from('a cloud image')
    const sum = (algorithm: string): string => createHash(algorithm).update(image).digest('hex')
    /** Builds of Ubuntu's, with a signed list. */
    const ubuntu = async (...serials: readonly string[]): Promise<void> => {
      for (const serial of serials) {
        const at = join(place, 'web/noble', `release-${serial}`)
        await mkdir(at, { recursive: true })
        const sums = `${hash('0')} *ubuntu-24.04-server-cloudimg-arm64.img\n${sum('sha256')} *ubuntu-24.04-server-cloudimg-amd64.img\n`
        await writeFile(join(at, 'SHA256SUMS'), sums)
        await writeFile(join(at, 'SHA256SUMS.gpg'), await key.detach(sums))
      }
      const links = ['release', ...serials.map((serial) => `release-${serial}`)].map((name) => `<a href="${name}/">${name}/</a>`)
      await mkdir(join(place, 'web/noble'), { recursive: true })
      await writeFile(join(place, 'web/noble/index.html'), links.join('\n'))
    }
    const left = (os: string) => exampleSite((input) => (input.image.base = { os, builds: `${server.url}/noble` }))
    const find = async (os: string, known?: LockedBase): Promise<LockedBase> => {
      const fetcher = openFetcher({ keeper: keeperIn(join(place, 'kept')), env: {} })
      try {
        return await newestBase({ site: left(os), fetcher, note: () => {}, keys: key.publicKey }, known)
      } finally {
        await fetcher.close()
      }
    }
    it("is the newest build, with its checksum out of the distribution's signed list", async () => {
      await ubuntu('20260814', '20261110', '20261109.1')
      const found = await find('ubuntu-24.04')
      const url = `${server.url}/noble/release-20261110/ubuntu-24.04-server-cloudimg-amd64.img`
      expect(found).toEqual({ os: 'ubuntu-24.04', serial: '20261110', url, sha256: sum('sha256'), vouched: 'signature' })
      // Never an older one than what is locked, whatever the list says.
      const known: LockedBase = { ...found, serial: '20261120' }
      expect(await find('ubuntu-24.04', known)).toEqual(known)
    })

    it('is refused by name where the list was altered, or has not got it', async () => {
      await ubuntu('20260814')
      server.alter = (path, content) =>
        path.endsWith('SUMS') ? Buffer.from(content.toString().replace(sum('sha256'), hash('f'))) : content
      await expect(find('ubuntu-24.04')).rejects.toMatchObject({ code: 'base-signature', message: expect.stringContaining('SHA256SUMS') })
      server.alter = (path, content) => (path.endsWith('/') ? Buffer.from('<p>nothing</p>') : content)
      await expect(find('ubuntu-24.04')).rejects.toMatchObject({ code: 'base-unknown' })
    })

    it("of Debian, who signs none and lists SHA-512 alone, is read for its SHA-256, and the server's certificate has to do", async () => {
      const name = 'debian-13-genericcloud-amd64-20261117-2299.qcow2'
      const file = join(place, 'web/noble/20261117-2299', name)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, image)
      await writeFile(join(dirname(file), 'SHA512SUMS'), `${sum('sha512')}  ${name}\n`)
      await writeFile(
        join(place, 'web/noble/index.html'),
        '<a href="20261117-2299/">20261117-2299/</a> <a href="20261002-2250/">20261002-2250/</a> <a href="latest/">',
      )
      expect(await find('debian-13')).toEqual({
        os: 'debian-13',
        serial: '20261117-2299',
        url: `${server.url}/noble/20261117-2299/${name}`,
        sha256: sum('sha256'),
        vouched: 'tls',
      })
      server.alter = (path, content) => (path.endsWith('.qcow2') ? Buffer.from('another image') : content)
      await expect(find('debian-13')).rejects.toMatchObject({ code: 'base-checksum', message: expect.stringContaining(name) })
    })

    it('stays the locked one until another is asked for, and the site has it from the lock', async () => {
      const open = exampleSite((input) => {
        input.image.base = { os: 'debian-13', builds: `${server.url}/noble` }
        input.image.archives = [{ url: `${server.url}/debian`, suites: ['stable'], keyFile: 'archive.asc' }]
      })
      expect(() => baseOf(open)).toThrow(expect.objectContaining({ code: 'base-not-locked' }))
      const build = async (serial: string, content: string): Promise<void> => {
        const name = `debian-13-genericcloud-amd64-${serial}.qcow2`
        await mkdir(join(place, 'web/noble', serial), { recursive: true })
        await writeFile(join(place, 'web/noble', serial, name), content)
        await writeFile(join(place, 'web/noble', serial, 'SHA512SUMS'), `${createHash('sha512').update(content).digest('hex')}  ${name}\n`)
        await writeFile(join(place, 'web/noble/index.html'), `<a href="${serial}/">${serial}/</a>`)
      }
      await build('20261002-2250', 'old')
      await lock({ site: open })
      const first = await readLock(folder)
      expect(baseOf(withLockedBase(open, first))).toMatchObject({ os: 'debian-13', sha256: first.base?.sha256, url: first.base?.url })
      await build('20261117-2299', 'new')
      server.asked.length = 0
      expect((await lock({ site: open })).changes).toEqual([])
      expect(server.asked.filter((line) => line.includes('noble'))).toEqual([])
      const { changes } = await lock({ site: open, newBase: true })
      server.asked.length = 0
      expect((await lock({ site: open, newBase: true })).changes).toEqual([])
      expect(server.asked.filter((line) => line.includes('noble'))).toEqual(['GET /noble/ 304'])
      expect(changes.map(({ what, name }) => `${what} ${name}`)).toEqual(['base debian-13'])
      expect((await readLock(folder)).base).toMatchObject({
        serial: '20261117-2299',
        sha256: createHash('sha256').update('new').digest('hex'),
      })
    })
  })
})
