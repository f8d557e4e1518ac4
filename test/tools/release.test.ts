import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { access, constants, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { Failure } from '../../core/failure.ts'
import type { ToolEvent } from '../../tools/index.ts'
import { PINS, type Pin } from '../../tools/pins.ts'
import { provideWithoutBuild } from '../../tools/provide.ts'
import { filesBelow, temporaryFolder } from './folder.ts'
import { zip } from './zip.ts'

const program = `#!/bin/sh\necho "OpenTofu v${PINS.tofu.version}"\n# ${'x'.repeat(100_000)}\n`
const archive = zip([
  { name: 'LICENSE', content: 'free', deflate: false },
  { name: 'tofu', content: program, deflate: true },
])

it('a release with the pinned digest is unpacked, kept and not downloaded again', async () => {
  const server = await serve(archive)
  const attempt = await attemptWith({ url: server.url, sha256: sha256(archive), entry: 'tofu' })
  const tool = await attempt.run()
  expect(tool).toMatchObject({ name: 'tofu', version: PINS.tofu.version, origin: 'release' })
  expect(await readFile(tool!.path, 'utf8')).toBe(program)
  await access(tool!.path, constants.X_OK)
  expect(await filesBelow(attempt.cache)).toEqual([
    expect.stringMatching(/^tofu\/\w+\/bin\/tofu$/),
    expect.stringMatching(/^tofu\/\w+\/made\.json$/),
  ])
  expect(await attempt.run()).toEqual(tool)
  expect(server.requests()).toBe(1)
})

it('an entry that is stored uncompressed is unpacked too', async () => {
  const stored = zip([{ name: 'tofu', content: program, deflate: false }])
  const attempt = await attemptWith({ url: (await serve(stored)).url, sha256: sha256(stored), entry: 'tofu' })
  expect(await readFile((await attempt.run())!.path, 'utf8')).toBe(program)
})

it('a release with another digest is refused and leaves nothing', async () => {
  const pinned = sha256(Buffer.from('what was pinned'))
  const attempt = await attemptWith({ url: (await serve(archive)).url, sha256: pinned, entry: 'tofu' })
  expect(await attempt.run()).toBeUndefined()
  expect(attempt.skipped()).toContain(`has SHA-256 ${sha256(archive)}, but ${pinned} is pinned`)
  expect(await filesBelow(attempt.cache)).toEqual([])
})

it.each([
  ['a missing file', 404, archive, 'HTTP 404'],
  ['a zip file without the program', 200, zip([{ name: 'README', content: 'x', deflate: false }]), 'no "tofu" in it, only README'],
  ['something that is no zip file', 200, Buffer.from('<html>sign in</html>'), 'not a zip file'],
  [
    'another version than the name says',
    200,
    zip([{ name: 'tofu', content: '#!/bin/sh\necho "OpenTofu v1.0.0"\n', deflate: true }]),
    'but says 1.0.0',
  ],
])('%s is refused and leaves nothing', async (_what, status, body, why) => {
  const attempt = await attemptWith({ url: (await serve(body, status)).url, sha256: sha256(body), entry: 'tofu' })
  expect(await attempt.run()).toBeUndefined()
  expect(attempt.skipped()).toContain(why)
  expect(await filesBelow(attempt.cache)).toEqual([])
})

it('a download that is stopped is no release to do without', async () => {
  const stop = new AbortController()
  const server = await serve(archive)
  const attempt = await attemptWith({ url: server.url, sha256: sha256(archive), entry: 'tofu' }, stop.signal)
  // As golden does it.
  stop.abort(new Failure('cancelled', 'stopped by you', 'Run the same command again.'))
  await expect(attempt.run()).rejects.toMatchObject({ code: 'cancelled' })
  expect(attempt.skipped()).toBe('')
  expect(await filesBelow(attempt.cache)).toEqual([])
})

it('a release whose digest is not known is not asked for', async () => {
  const attempt = await attemptWith(undefined)
  expect(await attempt.run()).toBeUndefined()
  expect(attempt.skipped()).toContain('no SHA-256 is pinned')
})

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex')

async function serve(body: Buffer, status = 200): Promise<{ url: string; requests(): number }> {
  let requests = 0
  const server = createServer((_request, response) => {
    requests += 1
    response.writeHead(status).end(body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/tofu.zip`, requests: () => requests }
}

async function attemptWith(
  release: Pin['releases']['linux_amd64'],
  signal?: AbortSignal,
): Promise<{ cache: string; run(): ReturnType<typeof provideWithoutBuild>; skipped(): string }> {
  const cache = await temporaryFolder()
  const events: ToolEvent[] = []
  const pin: Pin = { ...PINS.tofu, releases: release === undefined ? {} : { linux_amd64: release } }
  const around = {
    cache,
    path: join(cache, 'nothing'),
    platform: 'linux_amd64',
    report: (event: ToolEvent) => void events.push(event),
    signal,
  } as const
  return {
    cache,
    run: () => provideWithoutBuild('tofu', pin, around),
    skipped: () => events.flatMap((event) => (event.type === 'skipped' ? [event.text] : [])).join('\n'),
  }
}
