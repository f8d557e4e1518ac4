import { spawnSync } from 'node:child_process'
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { buildArguments, buildKey, followBuild, MODULES } from '../../tools/build.ts'
import { ensureTool, ensureTools, haveTools, PINS, type ToolEvent } from '../../tools/index.ts'
import { executable, filesBelow, temporaryFolder } from './folder.ts'

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

it.each(Object.entries(PINS))('%s: each release has a SHA-256 and names the version', (_name, pin) => {
  for (const release of Object.values(pin.releases)) {
    expect(release.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(release.url).toMatch(/^https:/)
    expect(release.url).toContain(pin.version)
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
    const tool = await ensureTool('terraform-provider-proxmox', { cacheDir: cache, report: (event) => events.push(event) })
    expect(tool).toMatchObject({ version: PINS['terraform-provider-proxmox'].version, origin: 'built' })
    expect(await readFile(tool.path, 'utf8')).toBe('provider\n')
    expect(events.map((event) => event.type)).toEqual(['skipped', 'began', 'ready'])
    expect(await ensureTool('terraform-provider-proxmox', { cacheDir: cache })).toEqual(tool)
    expect(await readFile(join(bin, 'builds'), 'utf8')).toMatch(/^0 off build .*\n$/)
  })

  it('what was built before needs no Go, nor the same one', async () => {
    await fakeGo('echo provider')
    const tool = await ensureTool('terraform-provider-proxmox', { cacheDir: cache })
    await rm(join(bin, 'go'))
    expect(await ensureTool('terraform-provider-proxmox', { cacheDir: cache })).toEqual(tool)
    expect(await haveTools(['terraform-provider-proxmox'], { cacheDir: cache })).toBe(true)
    await executable(bin, 'go', `printf 'go1.31.0\\ngcc\\n'; exit 1`)
    expect(await ensureTool('terraform-provider-proxmox', { cacheDir: cache })).toEqual(tool)
  })

  it('what was built of other inputs is not taken for it', async () => {
    await fakeGo('echo provider')
    const { path } = await ensureTool('terraform-provider-proxmox', { cacheDir: cache })
    const entry = dirname(dirname(path))
    await rename(entry, join(dirname(entry), '0'.repeat(24)))
    expect(await haveTools(['terraform-provider-proxmox'], { cacheDir: cache })).toBe(false)
  })

  it('a build that makes another version than the pinned one is refused', async () => {
    await fakeGo(`echo '#!/bin/sh
echo "{\\"version\\": \\"9.9.9\\"}"'`)
    await expect(ensureTool('packer-plugin-proxmox', { cacheDir: cache })).rejects.toMatchObject({
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
    const failing = ensureTools(['packer-plugin-proxmox', 'terraform-provider-proxmox'], { cacheDir: cache })
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
      cacheDir: cache,
      signal: stop.signal,
      report: (event) => event.type === 'progress' && event.text.includes('example.org/begun') && stop.abort(),
    })
    await expect(stopped).rejects.toThrow(/abort/i)
    expect(await filesBelow(cache)).toEqual([])
    const pid = Number(await readFile(join(bin, 'pids'), 'utf8'))
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false))
  })

  it('without Go the error says what is missing and what to do', async () => {
    await expect(ensureTool('terraform-provider-proxmox', { cacheDir: cache })).rejects.toMatchObject({
      code: 'go-missing',
      message: expect.stringContaining('terraform-provider-proxmox 0.112.0 has to be built here, but Go is not installed'),
      hint: expect.stringContaining('Install Go'),
    })
  })

  it('with a Go that is too old the error repeats what that said', async () => {
    await executable(bin, 'go', `echo 'go: go.mod requires go >= 1.26.0 (running go 1.22.1; GOTOOLCHAIN=local)' >&2; exit 1`)
    await expect(ensureTool('terraform-provider-proxmox', { cacheDir: cache })).rejects.toMatchObject({
      code: 'go-too-old',
      message: expect.stringContaining('running go 1.22.1'),
    })
  })

  it('Promtail without the header of systemd is not built, and the package is named', async () => {
    await fakeGo('echo promtail')
    await executable(bin, 'gcc', 'exit 1')
    await expect(ensureTool('promtail', { cacheDir: cache })).rejects.toMatchObject({
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
