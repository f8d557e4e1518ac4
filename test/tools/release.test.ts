/** Releases from servers on this computer that answer to the real names, with real signatures. */
import { once } from 'node:events'
import { access, constants, readFile, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { dearmor } from '../../core/openpgp.ts'
import { Failure } from '../../core/failure.ts'
import { makeArchiveKey, type ArchiveKey } from '../../lab/debian/archive.ts'
import type { ToolEvent } from '../../tools/index.ts'
import { PINS, type Pin, type Release } from '../../tools/pins.ts'
import { provideWithoutBuild } from '../../tools/provide.ts'
import { download } from '../../tools/download.ts'
import { vouch } from '../../tools/release.ts'
import { fingerprints, ownKeys } from '../../tools/signed-sums.ts'
import { addressOf, sourcesOf, type Sources } from '../../tools/sources.ts'
import { missingPrograms } from '../images/programs.ts'
import { fingerprintOf } from './fingerprint.ts'
import { filesBelow, temporaryFolder } from './folder.ts'
import { internet, type Internet } from './internet.ts'
import { publish, sha256, sumsOf, withRelease } from './signing.ts'
import { zip } from './zip.ts'

const program = `#!/bin/sh\necho "OpenTofu v${PINS.tofu.version}"\n# ${'x'.repeat(100_000)}\n`
const archive = zip([
  { name: 'LICENSE', content: 'free', deflate: false },
  { name: 'tofu', content: program, deflate: true },
])
const release = PINS.tofu.releases.linux_amd64!
const host = 'github.com'

const missing = missingPrograms(['gpg', 'gpgv'])
let key: ArchiveKey
let stranger: ArchiveKey
let net: Internet
beforeAll(async () => {
  if (missing.length === 0) [key, stranger] = await Promise.all([makeArchiveKey(), makeArchiveKey()])
})
afterAll(async () => {
  if (missing.length === 0) await Promise.all([key.close(), stranger.close()])
})

describe.skipIf(missing.length > 0)(`a release ${missing.length > 0 ? `(not here: ${missing.join(', ')})` : ''}`, () => {
  beforeEach(async () => {
    net = await internet()
    await publish(net, release, archive, key)
  })
  const pinned: Pin = withRelease(PINS.tofu, { sha256: sha256(archive) })
  const onlySigned: Pin = withRelease(PINS.tofu, {})

  it('that is pinned and signed is unpacked, kept and not downloaded again', async () => {
    const attempt = await attemptWith(pinned)
    const tool = await attempt.run()
    expect(tool).toMatchObject({ name: 'tofu', version: PINS.tofu.version, origin: 'release' })
    expect(await readFile(tool!.path, 'utf8')).toBe(program)
    await access(tool!.path, constants.X_OK)
    expect(await filesBelow(attempt.cache)).toEqual([
      expect.stringMatching(/^tofu\/\w+\/bin\/tofu$/),
      expect.stringMatching(/^tofu\/\w+\/made\.json$/),
    ])
    expect(await attempt.accepted(tool!.path)).toMatchObject({ sha256: sha256(archive), vouched: 'pinned and signed by opentofu' })
    const { length } = net.asked
    expect(await attempt.run()).toEqual(tool)
    expect(net.asked).toHaveLength(length)
  })

  it('whose digest nobody has pinned is accepted by its signature', async () => {
    const attempt = await attemptWith(onlySigned)
    expect(await attempt.accepted((await attempt.run())!.path)).toMatchObject({ sha256: sha256(archive), vouched: 'signed by opentofu' })
  })

  it('may be newer than what is built, and is called by its own version', async () => {
    const newer = zip([{ name: 'tofu', content: '#!/bin/sh\necho "OpenTofu v1.13.1"\n', deflate: true }])
    await publish(net, release, newer, key)
    const attempt = await attemptWith(withRelease(PINS.tofu, { version: '1.13.1' }))
    expect(await attempt.run()).toMatchObject({ version: '1.13.1' })
    expect(await attempt.run()).toMatchObject({ version: '1.13.1' })
  })

  it('that is stored uncompressed is unpacked too', async () => {
    const stored = zip([{ name: 'tofu', content: program, deflate: false }])
    await publish(net, release, stored, key)
    expect(await readFile((await (await attemptWith(onlySigned)).run())!.path, 'utf8')).toBe(program)
  })

  it('with another digest than is pinned is refused and leaves nothing, whoever signed it', async () => {
    const other = sha256('what was pinned')
    const attempt = await attemptWith(withRelease(PINS.tofu, { sha256: other }))
    expect(await attempt.run()).toBeUndefined()
    expect(attempt.skipped()).toContain(`has SHA-256 ${sha256(archive)}, but ${other} is pinned`)
    expect(await filesBelow(attempt.cache)).toEqual([])
  })

  it('with another digest than its publisher has signed is refused, whatever is pinned', async () => {
    const sums = sumsOf({ 'tofu_1.12.6_linux_amd64.zip': Buffer.from('another') })
    await net.put(release.signed!.sums, sums)
    await net.put(release.signed!.signature, await key.detach(sums))
    for (const pin of [pinned, onlySigned]) {
      const attempt = await attemptWith(pin)
      expect(await attempt.run()).toBeUndefined()
      expect(attempt.skipped()).toContain('opentofu has signed')
      expect(await filesBelow(attempt.cache)).toEqual([])
    }
  })

  it.each([
    ['by another key', async () => stranger.detach(sumsOf({ 'tofu_1.12.6_linux_amd64.zip': archive })), 'is not signed by opentofu'],
    ['of something else', async () => key.detach('something else'), 'the content is not what was signed'],
    ['that is none', async () => '<html>sign in</html>', 'is not signed by opentofu'],
  ])('whose list has a signature %s is refused, whatever is pinned', async (_what, signature, why) => {
    const sums = sumsOf({ 'tofu_1.12.6_linux_amd64.zip': archive })
    await net.put(release.signed!.sums, sums)
    await net.put(release.signed!.signature, await signature())
    for (const pin of [pinned, onlySigned]) {
      const attempt = await attemptWith(pin)
      expect(await attempt.run()).toBeUndefined()
      expect(attempt.skipped()).toContain(why)
      expect(await filesBelow(attempt.cache)).toEqual([])
    }
  })

  it('that its signed list does not have is refused', async () => {
    const sums = sumsOf({ 'tofu_1.12.6_linux_amd64.zip.old': archive, 'not-tofu_1.12.6_linux_amd64.zip': archive })
    await net.put(release.signed!.sums, sums)
    await net.put(release.signed!.signature, await key.detach(sums))
    const attempt = await attemptWith(pinned)
    expect(await attempt.run()).toBeUndefined()
    expect(attempt.skipped()).toContain('has no SHA-256 of tofu_1.12.6_linux_amd64.zip')
  })

  it('without its list needs a pinned digest', async () => {
    const bare = await internet()
    await bare.put(release.url, archive)
    const attempt = await attemptWith(pinned)
    expect(await attempt.accepted((await attempt.run())!.path)).toMatchObject({ vouched: 'pinned' })
    const other = await attemptWith(onlySigned)
    expect(await other.run()).toBeUndefined()
    expect(other.skipped()).toMatch(/nothing vouches for tofu_1\.12\.6_linux_amd64\.zip: .*_SHA256SUMS.*: HTTP 404/)
    expect(await filesBelow(other.cache)).toEqual([])
  })

  it('needs a pinned digest where no program checks signatures', async () => {
    vi.stubEnv('PATH', await temporaryFolder())
    const attempt = await attemptWith(pinned)
    expect(await attempt.accepted((await attempt.run())!.path)).toMatchObject({ vouched: 'pinned' })
    const other = await attemptWith(onlySigned)
    expect(await other.run()).toBeUndefined()
    expect(other.skipped()).toContain('neither gpgv nor sqv')
  })

  it.each([
    ['a missing file', undefined, 'HTTP 404'],
    ['a zip file without the program', zip([{ name: 'README', content: 'x', deflate: false }]), 'no "tofu" in it, only README'],
    ['something that is no zip file', Buffer.from('<html>sign in</html>'), 'not a zip file'],
    [
      'another version than the name says',
      zip([{ name: 'tofu', content: '#!/bin/sh\necho "OpenTofu v1.0.0"\n', deflate: true }]),
      'but says 1.0.0',
    ],
  ])('that is %s is refused and leaves nothing', async (_what, body, why) => {
    if (body === undefined) net = await internet()
    else await publish(net, release, body, key)
    const attempt = await attemptWith(onlySigned)
    expect(await attempt.run()).toBeUndefined()
    expect(attempt.skipped()).toContain(why)
    expect(await filesBelow(attempt.cache)).toEqual([])
  })

  it('is given up at once where nobody answers', async () => {
    vi.stubEnv('HTTPS_PROXY', 'http://127.0.0.1:1')
    const attempt = await attemptWith(pinned)
    const began = performance.now()
    expect(await attempt.run()).toBeUndefined()
    expect(performance.now() - began).toBeLessThan(5000)
    expect(attempt.skipped()).toContain('ECONNREFUSED')
  })

  it('is given up where a server, or a proxy, takes the connection and says nothing', async () => {
    const mute = createServer().listen(0, '127.0.0.1')
    await once(mute, 'listening')
    onTestFinished(() => void mute.close())
    const silent = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`
    const target = join(await temporaryFolder(), 'x')
    const given = { code: 'release-unreachable', message: expect.stringContaining('no answer in 0.2 s') }
    await expect(download(release.url, target, { sources: { mirror: silent }, patienceMs: 200 })).rejects.toMatchObject(given)
    vi.stubEnv('HTTPS_PROXY', silent)
    await expect(download(release.url, target, { patienceMs: 200 })).rejects.toMatchObject(given)
  })

  it('that is stopped while it comes is no release to do without', async () => {
    const stop = new AbortController()
    const attempt = await attemptWith(pinned, {}, stop.signal)
    // As golden does it.
    stop.abort(new Failure('cancelled', 'stopped by you', 'Run the same command again.'))
    await expect(attempt.run()).rejects.toMatchObject({ code: 'cancelled' })
    expect(attempt.skipped()).toBe('')
    expect(await filesBelow(attempt.cache)).toEqual([])
  })

  it('comes from a mirror alone if there is one', async () => {
    const attempt = await attemptWith(pinned, { mirror: `${net.mirror}/` })
    expect(await attempt.run()).toMatchObject({ origin: 'release' })
    const files = ['tofu_1.12.6_SHA256SUMS', 'tofu_1.12.6_SHA256SUMS.gpgsig', 'tofu_1.12.6_linux_amd64.zip']
    expect([...net.asked].sort()).toEqual(files.map((file) => `mirror/${host}/opentofu/opentofu/releases/download/v1.12.6/${file}`))
  })

  it('is checked all the same when a mirror has it', async () => {
    const attempt = await attemptWith(withRelease(PINS.tofu, { sha256: sha256('another') }), { mirror: net.mirror })
    expect(await attempt.run()).toBeUndefined()
    expect(attempt.skipped()).toContain('is pinned: the download is refused')
  })

  it('comes out of a folder without asking anybody, and is checked', async () => {
    const folder = await temporaryFolder()
    const sums = sumsOf({ 'tofu_1.12.6_linux_amd64.zip': archive })
    for (const [name, content] of [
      ['tofu_1.12.6_linux_amd64.zip', archive],
      ['tofu_1.12.6_SHA256SUMS', sums],
      ['tofu_1.12.6_SHA256SUMS.gpgsig', await key.detach(sums)],
    ] as const)
      await writeFile(join(folder, name), content)
    const attempt = await attemptWith(onlySigned, { folder })
    expect(await attempt.accepted((await attempt.run())!.path)).toMatchObject({ vouched: 'signed by opentofu' })
    expect(net.asked).toEqual([])
    await writeFile(join(folder, 'tofu_1.12.6_linux_amd64.zip'), 'another')
    const other = await attemptWith(onlySigned, { folder })
    expect(await other.run()).toBeUndefined()
    expect(other.skipped()).toContain('opentofu has signed')
  })
})

it('a release for which nothing can vouch is not asked for', async () => {
  const attempt = await attemptWith({ ...PINS.tofu, releases: {} })
  expect(await attempt.run()).toBeUndefined()
  expect(attempt.skipped()).toContain('neither a SHA-256 nor a signing key is pinned')
})

it('one word is enough, and no word contradicts', () => {
  const one: Release = { url: 'https://example.org/a.zip', entry: 'a', sha256: 'a' }
  const { sha256: _, ...unpinned } = one
  const signed = { sums: 's', signature: 'g', by: 'hashicorp' } as const
  const unknown = { unknown: 'gone' }
  expect(vouch(one, 'a', unknown)).toEqual({ sha256: 'a', by: 'pinned' })
  expect(vouch({ ...unpinned, signed }, 'a', { sha256: 'a' })).toEqual({ sha256: 'a', by: 'signed by hashicorp' })
  expect(() => vouch(unpinned, 'a', unknown)).toThrow(expect.objectContaining({ code: 'release-unverified' }))
  expect(() => vouch({ ...one, signed }, 'b', { sha256: 'b' })).toThrow(expect.objectContaining({ code: 'release-digest-mismatch' }))
  expect(() => vouch({ ...one, signed }, 'a', { sha256: 'b' })).toThrow(expect.objectContaining({ code: 'release-digest-mismatch' }))
})

it.each(Object.entries(fingerprints))('the key of %s in tools/keys is the one with the fingerprint that is said', async (signer, said) => {
  const keys = await ownKeys(signer as keyof typeof fingerprints)
  expect(fingerprintOf(dearmor(keys)!)).toBe(said)
  expect(keys).not.toContain('PRIVATE')
})

it('where releases come from is said by two variables, which have to make sense', () => {
  expect(sourcesOf({})).toEqual({})
  const both = { GOLDEN_TOOLS_MIRROR: 'https://mirror.example.org/files', GOLDEN_TOOLS_FOLDER: '/mnt/usb' }
  expect(sourcesOf(both)).toEqual({ mirror: 'https://mirror.example.org/files', folder: '/mnt/usb' })
  expect(addressOf(release.url, sourcesOf(both))).toBe(`https://mirror.example.org/files/${host}${new URL(release.url).pathname}`)
  expect(addressOf(release.url, {})).toBe(release.url)
  for (const env of [{ GOLDEN_TOOLS_MIRROR: 'mirror' }, { GOLDEN_TOOLS_MIRROR: 'file:///mnt' }, { GOLDEN_TOOLS_FOLDER: 'usb' }])
    expect(() => sourcesOf(env)).toThrow(expect.objectContaining({ code: 'tools-source-unusable' }))
})

async function attemptWith(
  pin: Pin,
  sources: Sources = {},
  signal?: AbortSignal,
): Promise<{ cache: string; run(): ReturnType<typeof provideWithoutBuild>; skipped(): string; accepted(path: string): Promise<unknown> }> {
  const cache = await temporaryFolder()
  const events: ToolEvent[] = []
  const around = {
    cache,
    path: join(cache, 'nothing'),
    platform: 'linux_amd64',
    sources,
    keys: async () => key.publicKey,
    engineName: 'tofu',
    engine: () => Promise.reject(new Error('no engine is needed')),
    report: (event: ToolEvent) => void events.push(event),
    signal,
  } as const
  return {
    cache,
    run: () => provideWithoutBuild('tofu', pin, around),
    skipped: () => events.flatMap((event) => (event.type === 'skipped' ? [event.text] : [])).join('\n'),
    accepted: async (path) => JSON.parse(await readFile(join(path, '../../made.json'), 'utf8')) as unknown,
  }
}
