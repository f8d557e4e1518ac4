import { spawnSync } from 'node:child_process'
import { cpSync, chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ensureHostPackages, missingPackages, type HostPackagesResult } from '../../lab/debian/packages.ts'

const hasDpkg = spawnSync('dpkg', ['--version'], { stdio: 'ignore' }).status === 0
const isRoot = process.getuid?.() === 0

it.skipIf(!hasDpkg)('nothing is done or said when the packages are there (needs dpkg)', async () => {
  const said: string[] = []
  expect(missingPackages(['dpkg', 'no-such-package-of-ours'])).toEqual(['no-such-package-of-ours'])
  expect(await ensureHostPackages({ packages: ['dpkg'], log: (line) => void said.push(line) })).toEqual({ ok: true, installed: [] })
  expect(said).toEqual([])
})

it.skipIf(!hasDpkg || !isRoot)('an ordinary user gets the command to type (needs dpkg, root to become one)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sgl-test-'))
  chmodSync(folder, 0o755)
  cpSync(new URL('../../lab/debian/packages.ts', import.meta.url).pathname, join(folder, 'packages.mts'))
  const program = `import('${folder}/packages.mts').then(async m => console.log(JSON.stringify(await m.ensureHostPackages({ packages: ['dpkg', 'no-such-package-of-ours'], log: () => {} }))))`
  // The pinned Node may lie where only root can read it.
  const node = join(folder, 'node')
  cpSync(process.execPath, node)
  const child = spawnSync(node, ['--eval', program], {
    uid: 65534,
    gid: 65534,
    cwd: '/',
    env: { PATH: process.env.PATH ?? '' },
    encoding: 'utf8',
  })
  rmSync(folder, { recursive: true })
  expect(JSON.parse(child.stdout) as HostPackagesResult).toEqual({
    ok: false,
    code: 'host-packages-missing',
    cause: 'the lab needs these packages: no-such-package-of-ours',
    next: 'sudo apt-get update && sudo apt-get install --no-install-recommends no-such-package-of-ours',
  })
})
