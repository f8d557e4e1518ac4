import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { buildArguments, buildKey, followBuild, MODULES } from '../../tools/build.ts'
import { ensureTool, ensureTools, haveTools, PINS, type ToolEvent } from '../../tools/index.ts'
import { currentPlatform } from '../../tools/platform.ts'
import { executable, filesBelow, temporaryFolder } from './folder.ts'

/** Programs that have no releases, and are in no registry. */
const unreleased = Object.fromEntries(
  Object.entries(PINS).map(([name, { registry: _, ...pin }]) => [name, { ...pin, releases: {} }]),
) as unknown as typeof PINS

const compiler = { family: 'go1.26', compiler: 'gcc' }

describe('the key of a build', () => {
  const go = PINS.tofu.go

  it('is the same for the same inputs', async () => {
    expect(await buildKey(go, 'linux_amd64', compiler)).toBe(await buildKey({ ...go }, 'linux_amd64', { ...compiler }))
  })

  it('changes with every input', async () => {
    const modules = await temporaryFolder()
    const changed = async (file: string): Promise<string> => {
      await cp(join(MODULES, go.module), join(modules, file, go.module), { recursive: true })
      const path = join(modules, file, go.module, file)
      await writeFile(path, `${await readFile(path, 'utf8')}\n`)
      return buildKey(go, 'linux_amd64', compiler, join(modules, file))
    }
    const keys = [
      await buildKey(go, 'linux_amd64', compiler),
      await buildKey(go, 'linux_arm64', compiler),
      await buildKey(go, 'linux_amd64', { ...compiler, family: 'go1.27' }),
      await buildKey({ ...go, variables: {} }, 'linux_amd64', compiler),
      await buildKey({ ...go, tags: ['other'] }, 'linux_amd64', compiler),
      await buildKey({ ...go, package: `${go.package}2` }, 'linux_amd64', compiler),
      await buildKey({ ...go, cgoHeader: { header: 'a.h', packages: 'a' } }, 'linux_amd64', compiler),
      await changed('go.mod'),
      await changed('go.sum'),
    ]
    expect(new Set(keys).size).toBe(keys.length)
  })

  it('changes with a program of our own', async () => {
    const modules = await temporaryFolder()
    const own = PINS.otelcol.go
    await cp(join(MODULES, own.module), join(modules, own.module), { recursive: true })
    await writeFile(join(modules, own.module, 'main.go'), 'package main\n')
    expect(await buildKey(own, 'linux_amd64', compiler, modules)).not.toBe(await buildKey(own, 'linux_amd64', compiler))
  })

  it('does not change with a patch release of Go or the name of the C compiler', async () => {
    const other = { ...compiler, compiler: 'clang' }
    expect(await buildKey(go, 'linux_amd64', other)).toBe(await buildKey(go, 'linux_amd64', compiler))
  })
})

it('a build takes exactly the pinned modules and nothing of this clone', () => {
  const argv = buildArguments(PINS.promtail.go, '/out/promtail')
  expect(argv).toEqual(
    expect.arrayContaining(['-mod=readonly', '-trimpath', '-buildvcs=false', '-tags=promtail_journal_enabled', '/out/promtail']),
  )
  expect(argv.at(-1)).toBe('github.com/grafana/loki/v3/clients/cmd/promtail')
})

it.each(Object.entries(PINS))('%s is pinned to the same version here and in its Go module', async (_name, pin) => {
  const module = await readFile(join(MODULES, pin.go.module, 'go.mod'), 'utf8')
  const root = module.match(/^\s*(?:require )?(\S+) v(\S+)(?: \/\/ indirect)?$/gm)?.map((line) => line.trim().split(' ')) ?? []
  const from = pin.go.main ?? pin.go.package
  const owner = root.find(([path = '']) => from === path || from.startsWith(`${path}/`))
  expect(owner?.[1]).toBe(`v${pin.version}`)
  if (pin.go.main === undefined) expect(module).toMatch(new RegExp(`^(tool |\\t)${pin.go.package.replaceAll('.', '\\.')}$`, 'm'))
})

it.each(Object.entries(PINS))('%s: each release has a SHA-256 or a signature, and names version and platform', (_name, pin) => {
  for (const [platform, release] of Object.entries(pin.releases)) {
    if (release.sha256 === undefined) expect(release.signed).toBeDefined()
    else expect(release.sha256).toMatch(/^[0-9a-f]{64}$/)
    for (const url of [release.url, ...(release.signed === undefined ? [] : [release.signed.sums, release.signed.signature])]) {
      expect(url).toMatch(/^https:/)
      expect(url).toContain(release.version ?? pin.version)
    }
    expect(release.url).toMatch(new RegExp(platform.replace('_', '[_-]')))
  }
})

it('what "go build" prints becomes a short account of what is going on', () => {
  const steps: string[] = []
  const follow = followBuild((text) => steps.push(text))
  for (const line of [
    'go: downloading example.org/a v1.0.0',
    'internal/abi',
    'example.org/a/b-c',
    '# example.org/a',
    'a.go:1:2: undefined: x',
  ])
    follow.line(line)
  expect(steps).toEqual([
    'fetching Go modules, 1 so far, now example.org/a v1.0.0',
    '1 packages compiled, last internal/abi',
    '2 packages compiled, last example.org/a/b-c',
  ])
  expect(follow.complaints()).toEqual(['# example.org/a', 'a.go:1:2: undefined: x'])
})

describe('building with a Go made for the test', () => {
  let cache: string
  let bin: string

  beforeEach(async () => {
    const folder = await temporaryFolder()
    cache = join(folder, 'cache')
    bin = join(folder, 'bin')
    await mkdir(bin)
    vi.stubEnv('PATH', bin)
    return () => vi.unstubAllEnvs()
  })

  /** Of programs that have no releases: nobody is asked for anything. */
  const from = () => ({ cacheDir: cache, pins: unreleased, sources: {} })

  /** A `go` whose `build` puts `binary` to the place named by -o. */
  const fakeGo = (binary: string): Promise<string> =>
    executable(
      bin,
      'go',
      `if [ "$1" = env ]; then printf 'go1.26.8\\ngcc\\n'; exit; fi
echo "$CGO_ENABLED $GOWORK $*" >>'${bin}/builds'
while [ "$1" != -o ]; do shift; done
${binary} >"$2"; /bin/chmod 755 "$2"`,
    )

  it('a tool is built once, then taken from the cache', async () => {
    await fakeGo('echo provider')
    const events: ToolEvent[] = []
    const tool = await ensureTool('terraform-provider-proxmox', { ...from(), report: (event) => events.push(event) })
    expect(tool).toMatchObject({ version: PINS['terraform-provider-proxmox'].version, origin: 'built' })
    expect(await readFile(tool.path, 'utf8')).toBe('provider\n')
    expect(events.map((event) => event.type)).toEqual(['skipped', 'began', 'ready'])
    expect(await ensureTool('terraform-provider-proxmox', from())).toEqual(tool)
    expect(await readFile(join(bin, 'builds'), 'utf8')).toMatch(/^0 off build .*\n$/)
  })

  it('what was built before needs no Go, nor the same one', async () => {
    await fakeGo('echo provider')
    const tool = await ensureTool('terraform-provider-proxmox', from())
    await rm(join(bin, 'go'))
    expect(await ensureTool('terraform-provider-proxmox', from())).toEqual(tool)
    expect(await haveTools(['terraform-provider-proxmox'], from())).toBe(true)
    await executable(bin, 'go', `printf 'go1.31.0\\ngcc\\n'; exit 1`)
    expect(await ensureTool('terraform-provider-proxmox', from())).toEqual(tool)
  })

  it('what was built of other inputs is not taken for it', async () => {
    await fakeGo('echo provider')
    const { path } = await ensureTool('terraform-provider-proxmox', from())
    const entry = dirname(dirname(path))
    await rename(entry, join(dirname(entry), '0'.repeat(24)))
    expect(await haveTools(['terraform-provider-proxmox'], from())).toBe(false)
  })

  it('a build that makes another version than the pinned one is refused', async () => {
    await fakeGo(`echo '#!/bin/sh
echo "{\\"version\\": \\"9.9.9\\"}"'`)
    await expect(ensureTool('packer-plugin-proxmox', from())).rejects.toMatchObject({
      code: 'wrong-version',
      message: expect.stringContaining('says 9.9.9'),
    })
    expect(await filesBelow(cache)).toEqual([])
  })

  it('a failing build says what Go said, ends the others, and leaves nothing', async () => {
    await executable(
      bin,
      'go',
      `if [ "$1" = env ]; then printf 'go1.26.8\\ngcc\\n'; exit; fi
echo one >>'${bin}/builds'; echo 'a/b' >&2; echo 'write x: no space left on device' >&2; exit 1`,
    )
    const failing = ensureTools(['packer-plugin-proxmox', 'terraform-provider-proxmox'], from())
    await expect(failing).rejects.toMatchObject({
      code: 'build-failed',
      message: expect.stringMatching(/ended with 1:\nwrite x: no space left/),
      hint: expect.stringContaining('Make room'),
    })
    expect(await filesBelow(cache)).toEqual([])
    expect(await readFile(join(bin, 'builds'), 'utf8')).toBe('one\n')
  })

  it('told to stop, Go ends with all that it started, and nothing stays', async () => {
    await executable(
      bin,
      'go',
      `if [ "$1" = env ]; then printf 'go1.26.8\\ngcc\\n'; exit; fi
/bin/sleep 600 & echo $! >>'${bin}/pids'
echo half >"$GOTMPDIR/half"
echo example.org/begun >&2
wait`,
    )
    const stop = new AbortController()
    const stopped = ensureTool('terraform-provider-proxmox', {
      ...from(),
      signal: stop.signal,
      report: (event) => event.type === 'progress' && event.text.includes('example.org/begun') && stop.abort(),
    })
    await expect(stopped).rejects.toThrow(/abort/i)
    expect(await filesBelow(cache)).toEqual([])
    const pid = Number(await readFile(join(bin, 'pids'), 'utf8'))
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 60_000 })
  })

  it('without Go the error says what is missing and what to do', async () => {
    await expect(ensureTool('terraform-provider-proxmox', from())).rejects.toMatchObject({
      code: 'go-missing',
      message: `terraform-provider-proxmox 0.112.0 can't be had, nor is it in the cache:
  not from PATH: there is no terraform-provider-proxmox_v0.112.0
  not the release: neither a SHA-256 nor a signing key is pinned for an official release of 0.112.0 for ${currentPlatform()}
  not built: Go is not installed (no "go" on PATH)`,
      hint: expect.stringMatching(/^Any one of these will do: put terraform-provider-proxmox_v0\.112\.0 on PATH; install Go \d/),
    })
  })

  it('the error has each way, why it was passed over, and what would open it', async () => {
    await executable(bin, 'tofu', 'echo "OpenTofu v1.9.0"')
    const pins = { ...PINS, tofu: { ...PINS.tofu, releases: { [currentPlatform()]: PINS.tofu.releases.linux_amd64 } } }
    const closed = createServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port } = closed.address() as AddressInfo
    await new Promise((resolve) => closed.close(resolve))
    const sources = { mirror: `http://127.0.0.1:${port}/files` }
    await expect(ensureTool('tofu', { cacheDir: cache, pins, sources })).rejects.toMatchObject({
      code: 'go-missing',
      message: expect.stringMatching(
        /^tofu 1\.12\.6 can't be had.*\n {2}not from PATH: .*tofu is 1\.9\.0.*\n {2}not the release: http:\/\/127\.0\.0\.1:\d+\/files\/github\.com\/.*ECONNREFUSED.*\n {2}not built: Go is not installed/,
      ),
      hint: expect.stringMatching(
        /put tofu 1\.12\.6 or a later 1\.12 on PATH; let .* reach https:\/\/github\.com, .*GOLDEN_TOOLS_MIRROR.*; put tofu_1\.12\.6_linux_amd64\.zip .*GOLDEN_TOOLS_FOLDER.*; install Go/,
      ),
    })
  })

  it('with a Go that is too old the error repeats what that said', async () => {
    await executable(bin, 'go', `echo 'go: go.mod requires go >= 1.26.0 (running go 1.22.1; GOTOOLCHAIN=local)' >&2; exit 1`)
    await expect(ensureTool('terraform-provider-proxmox', from())).rejects.toMatchObject({
      code: 'go-too-old',
      message: expect.stringContaining('running go 1.22.1'),
    })
  })

  it('Promtail without the header of systemd is not built, and the package is named', async () => {
    await fakeGo('echo promtail')
    await executable(bin, 'gcc', 'exit 1')
    await expect(ensureTool('promtail', from())).rejects.toMatchObject({
      code: 'build-needs-package',
      message: 'the C header <systemd/sd-journal.h> is missing',
      hint: expect.stringContaining('libsystemd-dev'),
    })
  })
})

/** A zombie that nobody has collected yet has ended, too. */
function isAlive(pid: number): boolean {
  const state = spawnSync('/bin/ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim()
  return state !== '' && !state.startsWith('Z')
}
