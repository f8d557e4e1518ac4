/** `images cve`: versions, ranges, and what is said of what is known and what is not. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { deflateRawSync } from 'node:zlib'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import semver from 'semver'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { judge } from '../../images/cve/affected.ts'
import { compareAlpine } from '../../images/cve/alpine-order.ts'
import { checkSbom, ecosystemsIn, requireSbom } from '../../images/cve/check.ts'
import { downloadOsv } from '../../images/cve/download.ts'
import { orderOf } from '../../images/cve/order.ts'
import { cveLines } from '../../images/cve/report.ts'
import { renderSbom } from '../../images/sbom/bom.ts'
import { readSbom, sbomFile, type Sbom } from '../../images/sbom/record.ts'
import { anImage } from './any-image.ts'
import { hash } from './example.ts'

const now = new Date('2026-11-29T12:00:00Z')
const { signal } = new AbortController()
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-cve-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('orders', () => {
  it.each([
    ['Debian:13', '3.5.1-1', '3.5.1-1+deb13u1'],
    ['Ubuntu:24.04:LTS', '1.0~rc1', '1.0'],
    ['Alpine:v3.22', '1.2.5_rc1-r9', '1.2.5-r0'],
    ['Alpine:v3.22', '1.2.5-r9', '1.2.5-r10'],
    ['Alpine:v3.22', '1.2.5', '1.2.5a'],
    ['Alpine:v3.22', '1.2.5', '1.2.5_p1'],
    ['Alpine:v3.22', '1.9', '1.10'],
    ['Alpine:v3.22', '1.05', '1.1'],
    ['PyPI', '1.0rc1', '1.0'],
    ['PyPI', '1.0', '1.0.post1'],
    ['npm', '1.0.0-alpha.9', '1.0.0-alpha.10'],
    ['Go', 'v1.2.3', '1.10.0'],
  ])('%s: %s is older than %s', (ecosystem, older, newer) => {
    const order = orderOf(ecosystem)
    expect([Math.sign(order?.(older, newer) ?? 0), Math.sign(order?.(newer, older) ?? 0), order?.(newer, newer)]).toEqual([-1, 1, 0])
  })

  it('of what is no version nobody says anything', () => {
    expect([compareAlpine('1.0', 'edge'), orderOf('PyPI')?.('1', 'x y'), orderOf('npm')?.('latest', '1.0.0')]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    expect(orderOf('crates.io')).toBeUndefined()
  })

  it("Alpine's is an order", () => {
    const part = fc.nat(12).map(String)
    const version = fc
      .tuple(
        fc.array(part, { minLength: 1, maxLength: 3 }),
        fc.constantFrom('', 'a', 'b'),
        fc.constantFrom('', '_rc1', '_p2', '_alpha'),
        part,
      )
      .map(([numbers, letter, suffix, revision]) => `${numbers.join('.')}${letter}${suffix}-r${revision}`)
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        const [ab, ba, bc, ac] = [compareAlpine(a, b), compareAlpine(b, a), compareAlpine(b, c), compareAlpine(a, c)] as number[]
        expect(Math.sign(ab ?? NaN)).toBe(-Math.sign(ba ?? NaN) || 0)
        if ((ab ?? 0) <= 0 && (bc ?? 0) <= 0) expect(ac).toBeLessThanOrEqual(0)
      }),
    )
  })
})

describe('ranges', () => {
  const order = orderOf('npm') ?? expect.fail()

  it('hold from where it was introduced to before where it was fixed, or to the last that has it', () => {
    const versions = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3)).map((parts) => parts.join('.'))
    fc.assert(
      fc.property(fc.uniqueArray(versions, { minLength: 1, maxLength: 6 }), versions, fc.boolean(), (bounds, version, isLast) => {
        const sorted = [...bounds].sort(semver.compare)
        const pairs = sorted.flatMap((from, at) => (at % 2 === 0 ? [[from, sorted[at + 1]] as const] : []))
        const events = pairs.flatMap(([introduced, end]) => [
          { introduced },
          ...(end === undefined ? [] : [isLast ? { last_affected: end } : { fixed: end }]),
        ])
        const isIn = pairs.some(
          ([from, end]) =>
            semver.gte(version, from) && (end === undefined || (isLast ? semver.lte(version, end) : semver.lt(version, end))),
        )
        const verdict = judge(version, { ranges: [{ type: 'SEMVER', events: [...events].reverse() }] }, order)
        expect(verdict.kind === 'affected').toBe(isIn)
        if (verdict.kind === 'affected' && !isLast)
          expect(verdict.fixed).toBe(pairs.find(([, end]) => end !== undefined && semver.gt(end, version))?.[1])
      }),
    )
  })

  it.each([
    ['0 is before all', { ranges: [{ type: 'ECOSYSTEM', events: [{ introduced: '0' }] }] }, 'affected'],
    ['versions that are listed', { versions: ['1.0.0', '1.5.0'] }, 'affected'],
    ['commits say nothing', { ranges: [{ type: 'GIT', events: [{ introduced: '0' }] }] }, 'not-affected'],
    ['what is no version', { ranges: [{ type: 'ECOSYSTEM', events: [{ introduced: '0' }, { fixed: 'soon' }] }] }, 'unknown'],
  ])('%s', (_, affected, kind) => {
    expect(judge('1.5.0', affected, order).kind).toBe(kind)
  })
})

const dpkg = `Package: libssl3t64
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.5.1-1

Package: openssl
Status: install ok installed
Architecture: amd64
Version: 3.5.1-1

Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2-1
`
async function sbomOf(): Promise<{ sbom: Sbom; digest: string }> {
  const text = renderSbom(
    {
      name: 'golden-home-1',
      fingerprint: hash('a'),
      built: '2026-11-24T01:02:03.000Z',
      references: { serena: `x.lan/serena@sha256:${hash('b')}` },
      languageServers: [{ type: 'npm', name: 'pyright', version: '1.1.403', licences: [] }],
    },
    {
      machine: new Map([
        ['etc/os-release', 'ID=debian\nVERSION_ID="13"\n'],
        ['var/lib/dpkg/status', dpkg],
      ]),
      containers: new Map([['serena', new Map([['x.dist-info/METADATA', 'Name: Py.YAML\nVersion: 5.3\n']])]]),
    },
  )
  await mkdir(join(folder, 'records'), { recursive: true })
  await writeFile(join(folder, sbomFile('golden-home-1')), text)
  const found = await readSbom(folder, 'golden-home-1')
  return found.ok ? found : expect.fail(found.problem)
}

const inDebian = (id: string, name: string, events: object[], more: object = {}): object => ({
  id,
  modified: '2026-11-28T00:00:00Z',
  affected: [{ package: { ecosystem: 'Debian:13', name }, ranges: [{ type: 'ECOSYSTEM', events }] }],
  ...more,
})
async function put(files: Readonly<Record<string, object>>): Promise<string> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, 'osv', name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, Buffer.isBuffer(content) ? content : JSON.stringify(content))
  }
  return join(folder, 'osv')
}

const debian = {
  'Debian/DEBIAN-CVE-2026-1.json': inDebian('DEBIAN-CVE-2026-1', 'openssl', [{ introduced: '0' }, { fixed: '3.5.1-1+deb13u1' }], {
    upstream: ['CVE-2026-1'],
  }),
  'Debian/DSA-1.json': inDebian('DSA-1-1', 'openssl', [{ introduced: '0' }, { fixed: '3.5.1-1+deb13u1' }], {
    upstream: ['CVE-2026-1'],
    summary: 'openssl - security update',
  }),
  'Debian/old.json': inDebian('CVE-2020-1', 'openssl', [{ introduced: '0' }, { fixed: '1.1.1-1' }]),
  'Debian/withdrawn.json': inDebian('CVE-2026-9', 'bash', [{ introduced: '0' }], { withdrawn: '2026-11-01T00:00:00Z' }),
  'Debian/notes.txt.json': { not: 'one of them' },
}
const python = {
  'PyPI/deep/er/GHSA-x.json': {
    id: 'GHSA-x',
    modified: '2026-11-01T00:00:00Z',
    aliases: ['CVE-2026-2', 'PYSEC-1'],
    summary: 'Anything is run',
    affected: [
      { package: { ecosystem: 'PyPI', name: 'py-yaml' }, ranges: [{ type: 'ECOSYSTEM', events: [{ introduced: '0' }, { fixed: '5.4' }] }] },
    ],
    database_specific: { severity: 'CRITICAL' },
  },
  'PyPI/PYSEC-1.json': {
    id: 'PYSEC-1',
    modified: '2026-11-01T00:00:00Z',
    affected: [{ package: { ecosystem: 'PyPI', name: 'py-yaml' }, versions: ['5.2', '5.3'] }],
  },
}

describe('an SBOM', () => {
  it('is compared by source package, by any name only once, and what is not known is said', async () => {
    const { sbom } = await sbomOf()
    const report = await checkSbom(sbom, await put({ ...debian, ...python }), now, signal)
    expect(report.findings).toEqual([
      {
        place: 'machine',
        ecosystem: 'Debian:13',
        package: 'openssl',
        version: '3.5.1-1',
        components: ['libssl3t64', 'openssl'],
        vulnerabilities: [{ id: 'CVE-2026-1', aliases: [], summary: null, severity: null, fixed: '3.5.1-1+deb13u1' }],
      },
      {
        place: 'serena',
        ecosystem: 'PyPI',
        package: 'py-yaml',
        version: '5.3',
        components: ['py-yaml'],
        vulnerabilities: [
          { id: 'CVE-2026-2', aliases: ['GHSA-x', 'PYSEC-1'], summary: 'Anything is run', severity: 'CRITICAL', fixed: '5.4' },
        ],
      },
    ])
    expect(report).toMatchObject({
      components: 5,
      judged: 4,
      unjudged: [{ ecosystem: 'npm', components: 1, why: 'no-data' }],
      data: [
        { ecosystem: 'Debian:13', records: 4, ageDays: 1, old: false },
        { ecosystem: 'PyPI', records: 2, ageDays: 28, old: true },
      ],
    })
    const lines = cveLines('golden-home-1', report)
    expect(lines).toEqual([
      'golden-home-1: 2 known vulnerabilities; 4 of 5 components could be judged',
      'machine:',
      '  openssl 3.5.1-1 (libssl3t64): CVE-2026-1 [fixed in 3.5.1-1+deb13u1]',
      'serena:',
      '  py-yaml 5.3: CVE-2026-2 [critical, fixed in 5.4]',
      'not judged: 1 component, because there is no data of npm',
      expect.stringMatching(/^not looked into: .*crates of Rust/),
      'data of Debian:13: 4 entries, the newest of 2026-11-28 (1 day old)',
      'data of PyPI: 2 entries, the newest of 2026-11-01 (28 days old): OLD, what came since is not in it',
    ])
  })

  it('without findings: says of how much', async () => {
    const { sbom } = await sbomOf()
    const report = await checkSbom(sbom, await put({ 'a.json': debian['Debian/old.json'] }), now, signal)
    expect(report.findings).toEqual([])
    expect(cveLines('x', report)[0]).toBe('x: none of the known vulnerabilities is in the 3 of 5 components that could be judged')
  })

  it('is compared with archives as osv.dev has them, too', async () => {
    const { sbom } = await sbomOf()
    const osv = await put({ 'Debian/all.zip': zipOf({ 'a.json': JSON.stringify(debian['Debian/DEBIAN-CVE-2026-1.json']) }) })
    expect((await checkSbom(sbom, osv, now, signal)).findings).toHaveLength(1)
  })

  it('is not judged without data', async () => {
    const { sbom } = await sbomOf()
    await expect(checkSbom(sbom, join(folder, 'none'), now, signal)).rejects.toMatchObject({ code: 'osv-missing' })
    await mkdir(join(folder, 'empty'))
    await expect(checkSbom(sbom, join(folder, 'empty'), now, signal)).rejects.toMatchObject({ code: 'osv-missing' })
    const other = await put({
      'a.json': { id: 'X', modified: now.toISOString(), affected: [{ package: { ecosystem: 'Maven', name: 'a' } }] },
    })
    await expect(checkSbom(sbom, other, now, signal)).rejects.toMatchObject({
      code: 'osv-missing',
      hint: expect.stringContaining('Debian:13, PyPI, npm'),
    })
  })

  it("has to be the one that the image's record names", async () => {
    const { digest } = await sbomOf()
    const image = (sbom: string | undefined) =>
      anImage(9001, { name: 'golden-home-1', ...(sbom === undefined ? {} : { record: { sbom } }) })
    expect((await requireSbom(folder, image(digest))).components).toHaveLength(5)
    for (const [sbom, why] of [
      [hash('0'), 'is another one than its record names'],
      [undefined, 'was never made'],
    ] as const)
      await expect(requireSbom(folder, image(sbom))).rejects.toMatchObject({ code: 'sbom-missing', message: expect.stringContaining(why) })
  })
})

describe('data of osv.dev', () => {
  const asked: string[] = []
  let zip: Buffer
  let server: Server
  let from: string
  const changed = 'Sat, 28 Nov 2026 00:00:00 GMT'
  beforeEach(async () => {
    asked.length = 0
    zip = zipOf({ 'a.json': JSON.stringify(debian['Debian/DEBIAN-CVE-2026-1.json']) })
    server = createServer((request, response) => {
      asked.push(`${request.url} ${request.headers['if-modified-since'] ?? ''}`.trim())
      if (request.url !== '/Debian/all.zip') return void response.writeHead(404).end()
      if (request.headers['if-modified-since'] === changed) return void response.writeHead(304).end()
      response.writeHead(200, { 'last-modified': changed, 'content-length': zip.length }).end(zip)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    from = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterEach(() => void server.close())
  const download = (...ecosystems: string[]) =>
    downloadOsv({ folder: join(folder, 'osv'), ecosystems, from, env: {}, signal, note: () => {} })

  it('is brought here once, and again when it has changed', async () => {
    const { sbom } = await sbomOf()
    expect(ecosystemsIn(sbom)).toEqual(['Debian', 'PyPI', 'npm'])
    await download('Debian')
    await download('Debian')
    expect(asked).toEqual(['/Debian/all.zip', `/Debian/all.zip ${changed}`])
    expect((await checkSbom(sbom, join(folder, 'osv'), now, signal)).findings).toHaveLength(1)
  })

  it('is left as it was when it can not be had', async () => {
    await download('Debian')
    await expect(download('PyPI')).rejects.toMatchObject({ code: 'osv-unreachable', message: expect.stringContaining('404') })
    server.close()
    server.closeAllConnections()
    await expect(download('Debian')).rejects.toMatchObject({ code: 'osv-unreachable' })
    expect(await readdir(join(folder, 'osv', 'Debian'))).toEqual(['all.zip'])
  })

  it('that is cut short is no data', async () => {
    const { sbom } = await sbomOf()
    const osv = await put({ 'Debian/all.zip': zip.subarray(0, 40) })
    await expect(checkSbom(sbom, osv, now, signal)).rejects.toMatchObject({
      code: 'osv-missing',
      message: expect.stringContaining('all.zip'),
    })
  })
})

/** As zip(1) packs them, but for what nobody reads. */
function zipOf(files: Readonly<Record<string, string>>): Buffer {
  const [parts, directory]: [Buffer[], Buffer[]] = [[], []]
  let at = 0
  for (const [name, text] of Object.entries(files)) {
    const packed = deflateRawSync(text)
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50)
    local.writeUInt16LE(name.length, 26)
    const entry = Buffer.alloc(46)
    entry.writeUInt32LE(0x02014b50)
    entry.writeUInt16LE(8, 10)
    entry.writeUInt32LE(packed.length, 20)
    entry.writeUInt16LE(name.length, 28)
    entry.writeUInt32LE(at, 42)
    parts.push(local, Buffer.from(name), packed)
    directory.push(entry, Buffer.from(name))
    at += 30 + name.length + packed.length
  }
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50)
  end.writeUInt16LE(Object.keys(files).length, 10)
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...parts, ...directory, end])
}
