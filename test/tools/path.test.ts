import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { searchPath } from '../../tools/path.ts'
import { PINS } from '../../tools/pins.ts'
import { askVersion, suits } from '../../tools/version.ts'
import { executable, temporaryFolder } from './folder.ts'

describe('a version on PATH', () => {
  it.each([
    ['1.12.6', 'minor', true],
    ['1.12.9', 'minor', true],
    ['1.12.5', 'minor', false],
    ['1.13.0', 'minor', false],
    ['2.12.6', 'minor', false],
    ['1.12.7-rc1', 'minor', false],
    ['not a version', 'minor', false],
    ['1.13.0', 'major', true],
    ['1.12.6', 'major', true],
    ['1.11.9', 'major', false],
    ['2.0.0', 'major', false],
    ['1.12.6', 'name', true],
    ['1.12.7', 'name', false],
  ] as const)('%s for a pinned 1.12.6 with rule %s: %s', (found, rule, expected) => {
    expect(suits('1.12.6', found, rule)).toBe(expected)
  })
})

describe('searching PATH', () => {
  it('passes over another version and says so, then takes the suitable one', async () => {
    const folder = await folderWith('newer', 'right')
    const [newer, right] = [join(folder, 'newer'), join(folder, 'right')]
    await executable(newer, 'tofu', 'echo "OpenTofu v1.13.0"')
    const wanted = await executable(right, 'tofu', '[ "$1" = version ] && echo "OpenTofu v1.12.8" && echo "on linux_amd64"')
    const search = await searchPath(PINS.tofu, `${newer}:${right}`, join(folder, 'cache'))
    expect(search.found).toEqual({ path: wanted, version: '1.12.8' })
    expect(search.refused).toEqual([`${newer}/tofu is 1.13.0, not 1.12.6 or a later 1.12`])
  })

  it('a program of that name which is something else is refused', async () => {
    const folder = await folderWith('bin')
    const bin = join(folder, 'bin')
    await executable(bin, 'packer', 'echo "cracklib-packer: usage" >&2; exit 1')
    const search = await searchPath(PINS.packer, bin, join(folder, 'cache'))
    expect(search.found).toBeUndefined()
    expect(search.refused).toEqual([`${bin}/packer does not tell its version`])
  })

  it('a program of that name that wants to read gets no input to wait for', async () => {
    const folder = await folderWith('bin')
    const bin = join(folder, 'bin')
    await executable(bin, 'packer', 'cat >/dev/null; echo "Packer v1.16.0"')
    expect((await searchPath(PINS.packer, bin, join(folder, 'cache'))).found?.version).toBe('1.16.0')
  }, 5000)

  it('what a shell has set for such programs does not keep them from telling', async () => {
    const folder = await folderWith('bin')
    const file = await executable(join(folder, 'bin'), 'tofu', 'test -z "$TF_CLI_ARGS" && echo v1.12.6')
    vi.stubEnv('TF_CLI_ARGS', '-lock=false')
    try {
      expect(await askVersion(file, { args: ['version'], pattern: /v(.*)/ })).toBe('1.12.6')
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it('a program of that name that goes on for ever, whatever it is told, is given up', async () => {
    const folder = await folderWith('bin')
    const file = await executable(join(folder, 'bin'), 'packer', 'trap "" TERM; while :; do sleep 1; done')
    expect(await askVersion(file, { args: ['version'], pattern: /v(.*)/ }, 200)).toBeUndefined()
  }, 5000)

  it('what this project itself put into its cache does not count', async () => {
    const folder = await temporaryFolder()
    const bin = join(folder, 'cache', 'environment', 'bin')
    await mkdir(bin, { recursive: true })
    await executable(bin, 'tofu', 'echo "OpenTofu v1.12.6"')
    expect(await searchPath(PINS.tofu, bin, join(folder, 'cache'))).toEqual({ refused: [] })
  })

  it('programs for container images are never taken from PATH', async () => {
    const folder = await folderWith('bin')
    const bin = join(folder, 'bin')
    await executable(bin, 'loki', `echo "loki, version ${PINS.loki.version} (branch: , revision: )"`)
    expect(await searchPath(PINS.loki, bin, join(folder, 'cache'))).toEqual({ refused: [] })
  })

  it('relative entries, missing folders and files that are not executable are ignored', async () => {
    const folder = await folderWith('bin')
    const bin = join(folder, 'bin')
    await mkdir(join(bin, 'tofu'))
    expect(await searchPath(PINS.tofu, `.:${folder}/missing:${bin}:`, join(folder, 'cache'))).toEqual({ refused: [] })
  })
})

async function folderWith(...names: string[]): Promise<string> {
  const folder = await temporaryFolder()
  for (const name of names) await mkdir(join(folder, name))
  return folder
}
