/** Reading archives, and what of them is refused, with real signatures: a small archive on this computer, signed by gpg. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, symlink, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Archive } from '../../images/archive/archives.ts'
import { candidateOf } from '../../images/archive/candidate.ts'
import { openFetcher } from '../../images/archive/fetch.ts'
import { keeperIn } from '../../images/archive/kept.ts'
import { readArchives, type ArchiveState } from '../../images/archive/read.ts'
import { parseRelease } from '../../images/archive/release.ts'
import { splitCleartext } from '../../images/archive/cleartext.ts'
import { dearmor, signatureProblem } from '../../core/openpgp.ts'
import { distributionKeys, readKeys } from '../../images/archive/archives.ts'
import { makeArchiveKey, writeSuite, type ArchiveKey, type SmallSuite } from '../../lab/debian/archive.ts'
import { serveFolder, type ArchiveServer } from './archive-server.ts'
import { missingPrograms } from './programs.ts'

/** What apt would take of each package. */
const newest = ({ offers }: ArchiveState): Record<string, string | undefined> =>
  Object.fromEntries([...offers].map(([name, some]) => [name, candidateOf(some)]))

describe('a signed file', () => {
  const whole =
    '-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nSuite: x\n- -dashed \nlast\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n'

  it('is taken apart into what was signed and the signature', () => {
    expect(splitCleartext(whole)).toEqual({
      text: 'Suite: x\n-dashed\nlast',
      signature: '-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n',
    })
  })

  it.each([
    ['before it', `Suite: y\n${whole}`],
    ['after it', `${whole}Suite: y\n`],
    ['between its head and its text', whole.replace('SHA512\n\n', 'SHA512\nSuite: y\n\n')],
    ['behind the signature within its frame', whole.replace('abc\n', 'abc\n-----END PGP SIGNATURE-----\nSuite: y\n')],
    ['as a frame of its own in its text', whole.replace('last', '-----BEGIN PGP SIGNED MESSAGE-----')],
    ['instead of it', 'Suite: y\n'],
  ])('with something %s is none', (_where, text) => expect(splitCleartext(text)).toBeUndefined())
})

it('what an archive says of a suite is read, whatever blanks it uses, and is nothing without a date or SHA-256', () => {
  const sum = 'a'.repeat(64)
  const text = `Origin: Ubuntu\nSuite: noble-updates\nCodename: noble\nDate: Sat, 28 Nov 2026  2:51:42 UTC\nAcquire-By-Hash: yes\nMD5Sum:\n ${'b'.repeat(32)} 5 main/binary-amd64/Packages\nSHA256:\n ${sum}         12 main/binary-amd64/Packages\n ${sum} 7 main/binary-amd64/Packages.xz\n`
  expect(parseRelease(text)).toEqual({
    names: ['noble', 'noble-updates'],
    date: '2026-11-28T02:51:42Z',
    validUntil: undefined,
    byHash: true,
    priority: 500,
    files: new Map([
      ['main/binary-amd64/Packages', { sha256: sum, size: 12 }],
      ['main/binary-amd64/Packages.xz', { sha256: sum, size: 7 }],
    ]),
  })
  expect(parseRelease(`NotAutomatic: yes\n${text}`)?.priority).toBe(1)
  expect(parseRelease(`NotAutomatic: yes\nButAutomaticUpgrades: yes\n${text}`)?.priority).toBe(100)
  expect(parseRelease(`ButAutomaticUpgrades: yes\n${text}`)?.priority).toBe(500)
  expect(parseRelease(text.replace(/^Date.*$/m, ''))).toBeUndefined()
  expect(parseRelease(text.replace('SHA256', 'SHA512'))).toBeUndefined()
})

it('the keys of the distributions are there, and none of them is a secret', async () => {
  for (const keys of [
    await distributionKeys('debian-13'),
    await distributionKeys('ubuntu-24.04'),
    await readKeys('ubuntu-cloud-images.asc'),
  ]) {
    expect(dearmor(keys)?.length).toBeGreaterThan(500)
    // The first octet of a public key packet, in the old form or the new (RFC 9580, 4.2).
    expect([0x98, 0x99, 0xc6]).toContain(dearmor(keys)?.[0])
    expect(keys).not.toContain('PRIVATE')
  }
})

const missing = missingPrograms(['gpg', 'gpgv', 'xz'])

describe.skipIf(missing.length > 0)(`an archive ${missing.length > 0 ? `(not here: ${missing.join(', ')})` : ''}`, () => {
  let key: ArchiveKey
  let stranger: ArchiveKey
  let folder: string
  let server: ArchiveServer
  const now = new Date('2026-11-29T12:00:00Z')
  const day = (date: number): Date => new Date(`2026-11-${date}T08:00:00Z`)
  const suite = (change: Partial<SmallSuite> = {}): SmallSuite => ({
    suite: 'stable',
    date: day(20),
    packages: [
      { name: 'one', version: '1.0-1' },
      { name: 'two', version: '2:1.0' },
    ],
    hollow: true,
    ...change,
  })
  const archive = (change: Partial<Archive> = {}): Archive => ({
    url: server.url,
    suites: ['stable'],
    components: ['main'],
    keys: key.publicKey,
    ...change,
  })
  const read = async (archives: readonly Archive[], at?: string): Promise<ArchiveState> => {
    const fetcher = openFetcher({ keeper: keeperIn(join(folder, 'kept')), env: {} })
    try {
      return await readArchives({ archives, fetcher, keeper: keeperIn(join(folder, 'indexes')), now, ...(at === undefined ? {} : { at }) })
    } finally {
      await fetcher.close()
    }
  }

  beforeAll(async () => {
    ;[key, stranger] = await Promise.all([makeArchiveKey(), makeArchiveKey()])
  })
  afterAll(() => Promise.all([key?.close(), stranger?.close()]))
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'golden-archive-'))
    await mkdir(join(folder, 'web'))
    server = await serveFolder(join(folder, 'web'))
  })
  afterEach(async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  })
  const write = (change: Partial<SmallSuite> = {}, by = key): Promise<void> => writeSuite(join(folder, 'web'), by, suite(change))

  it('has the newest version of each package, of all suites together, however its index is compressed', async () => {
    await write({ index: 'xz' })
    await write({
      suite: 'updates',
      index: 'plain',
      packages: [
        { name: 'one', version: '1.0-1+u1' },
        { name: 'two', version: '9' },
        { name: 'three', version: '3~rc' },
      ],
    })
    const state = await read([archive({ suites: ['stable', 'updates'] })])
    expect(newest(state)).toEqual({ one: '1.0-1+u1', two: '2:1.0', three: '3~rc' })
    expect(state.archives).toEqual([
      { url: server.url, components: ['main'], suites: { stable: '2026-11-20T08:00:00Z', updates: '2026-11-20T08:00:00Z' } },
    ])
  })

  it('is asked for nothing but whether it has changed, the second time', async () => {
    await write()
    const first = await read([archive()])
    server.asked.length = 0
    expect(await read([archive()])).toEqual(first)
    expect(server.asked).toEqual(['GET /dists/stable/InRelease 304'])
    await write({ date: day(21), packages: [{ name: 'one', version: '1.0-2' }] })
    server.asked.length = 0
    expect(newest(await read([archive()]))).toEqual({ one: '1.0-2' })
    expect(server.asked).toEqual(['GET /dists/stable/InRelease 200', expect.stringMatching(/by-hash\/SHA256\/[0-9a-f]{64} 200$/)])
  })

  it('that does not know of conditions is read once more, and its index is not', async () => {
    await server.close()
    server = await serveFolder(join(folder, 'web'), { conditional: false })
    await write()
    const first = await read([archive()])
    server.asked.length = 0
    expect(await read([archive()])).toEqual(first)
    expect(server.asked).toEqual(['GET /dists/stable/InRelease 200'])
  })

  it('what is kept of it and damaged is fetched again', async () => {
    await write()
    const first = await read([archive()])
    for (const name of ['kept', 'indexes'])
      for (const file of await readdir(join(folder, name))) await truncate(join(folder, name, file), 150)
    expect(await read([archive()])).toEqual(first)
  })

  it.each<[string, (text: string) => string, RegExp]>([
    [
      'one digit of a checksum',
      (text) => text.replace(/^ ([0-9a-f])/m, (_, digit: string) => ` ${digit === '0' ? '1' : '0'}`),
      /not what was signed/,
    ],
    ['a line', (text) => text.replace('Origin: lab', 'Origin: me'), /not what was signed/],
    ['something in front', (text) => `Date: Sun, 29 Nov 2026 00:00:00 UTC\n${text}`, /no signed file, or there is something beside/],
    ['the signature away', (text) => text.replace(/-----BEGIN PGP SIGNATURE[\s\S]*/, ''), /no signed file/],
  ])('whose InRelease was altered is refused by name: %s', async (_what, alter, problem) => {
    await write()
    server.alter = (path, content) => (path.endsWith('InRelease') ? Buffer.from(alter(content.toString())) : content)
    await expect(read([archive()])).rejects.toMatchObject({ code: 'archive-signature', message: expect.stringMatching(problem) })
    expect(server.asked).toEqual(['GET /dists/stable/InRelease 200'])
  })

  it('signed by somebody else, or another suite of its own, is refused by name', async () => {
    await write({}, stranger)
    await expect(read([archive()])).rejects.toMatchObject({
      code: 'archive-signature',
      message: expect.stringContaining('/dists/stable/InRelease'),
    })
    expect((await read([archive({ keys: `${key.publicKey}\n${stranger.publicKey}` })])).offers.size).toBe(2)
    await write({ codename: 'old' })
    server.redirect = (path) => (path.startsWith('/dists/newer/') ? path.replace('newer', 'stable') : undefined)
    await expect(read([archive({ suites: ['newer'] })])).rejects.toMatchObject({
      code: 'archive-signature',
      message: expect.stringMatching(/of old or stable, not of newer/),
    })
  })

  it('whose index is not the one of its signed list is refused by name, after one more look', async () => {
    await write({ byHash: false })
    server.alter = (path, content) => (path.includes('Packages') ? Buffer.concat([content, Buffer.from('x')]) : content)
    await expect(read([archive()])).rejects.toMatchObject({ code: 'archive-refused' })
    server.alter = (path, content) => (path.includes('Packages') ? Buffer.from(content.map((byte) => byte ^ 1)) : content)
    await expect(read([archive()])).rejects.toMatchObject({ code: 'archive-refused', message: expect.stringContaining('signed list') })
    expect(server.asked.filter((line) => line.includes('InRelease'))).toHaveLength(4)
  })

  it('that is out of date by its own words, has no such component, is not there, or does not answer says so', async () => {
    await write({ validUntil: day(28) })
    await expect(read([archive()])).rejects.toMatchObject({ code: 'archive-expired' })
    await write({ validUntil: day(30) })
    expect((await read([archive()])).offers.size).toBe(2)
    await expect(read([archive({ components: ['main', 'contrib'] })])).rejects.toMatchObject({
      code: 'archive-refused',
      message: expect.stringContaining('contrib/binary-amd64'),
    })
    await expect(read([archive({ suites: ['testing'] })])).rejects.toMatchObject({
      code: 'archive-refused',
      message: expect.stringMatching(/testing.*404/),
    })
    await server.close()
    await expect(read([archive()])).rejects.toMatchObject({ code: 'archive-unreachable', message: expect.stringContaining('127.0.0.1') })
  })

  it('is read in the state that a snapshot service has, valid for as long as one likes, and its time is the one that was sent', async () => {
    await writeSuite(join(folder, 'web/snap/20261120T120000Z'), key, suite({ validUntil: day(21) }))
    await write({ date: day(29), packages: [{ name: 'one', version: '5' }] })
    server.redirect = (path) => (path.startsWith('/snap/20261129T120000Z/') ? path.replace('20261129', '20261120') : undefined)
    const state = await read([archive({ snapshots: `${server.url}/snap` })], '20261129T120000Z')
    expect(newest(state).one).toBe('1.0-1')
    expect(state.archives[0]?.snapshot).toEqual({ service: `${server.url}/snap`, at: '20261120T120000Z' })
  })

  it('is checked by whichever program there is, and refused if there is none', async () => {
    const signed = splitCleartext(await key.clearsign('text\n'))
    // Other files' tests check signatures at the same time.
    const temporary = join(folder, 'tmp')
    await mkdir(temporary)
    vi.stubEnv('TMPDIR', temporary)
    onTestFinished(() => void vi.unstubAllEnvs())
    const what = { data: signed?.text ?? '', signature: signed?.signature ?? '' }
    expect(await signatureProblem(what, key.publicKey)).toBeUndefined()
    expect(await signatureProblem({ ...what, data: 'texT' }, key.publicKey)).toMatch(/not what was signed/)
    expect(await signatureProblem(what, stranger.publicKey)).toBeTruthy()
    await expect(signatureProblem(what, 'no key')).rejects.toMatchObject({ code: 'archive-key-unusable' })
    await write({ index: 'xz' })
    // gpgv alone, and nothing at all.
    const [gpgv = ''] = (process.env.PATH ?? '')
      .split(':')
      .map((at) => join(at, 'gpgv'))
      .filter((file) => existsSync(file))
    await mkdir(join(folder, 'bin'))
    await symlink(gpgv, join(folder, 'bin/gpgv'))
    vi.stubEnv('PATH', join(folder, 'bin'))
    await expect(read([archive()])).rejects.toMatchObject({ code: 'archive-program-missing', hint: expect.stringContaining('xz-utils') })
    vi.stubEnv('PATH', join(folder, 'nothing'))
    await expect(signatureProblem(what, key.publicKey)).rejects.toMatchObject({
      code: 'archive-program-missing',
      hint: expect.stringContaining('gpgv'),
    })
    expect(await readdir(temporary)).toEqual([])
  })
})
