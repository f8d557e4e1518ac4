import { spawnSync } from 'node:child_process'
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
  // It becomes one once everything is loaded: the project may lie where only root can read it.
  const file = new URL('../../lab/debian/packages.ts', import.meta.url).href
  const program = `const { ensureHostPackages } = await import('${file}')
    process.setgroups([]); process.setgid(65534); process.setuid(65534)
    console.log(JSON.stringify(await ensureHostPackages({ packages: ['dpkg', 'no-such-package-of-ours'], log: () => {} })))`
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: '/',
    env: { PATH: process.env.PATH ?? '' },
    encoding: 'utf8',
  })
  expect(JSON.parse(child.stdout) as HostPackagesResult).toEqual({
    ok: false,
    code: 'host-packages-missing',
    cause: 'the lab needs these packages: no-such-package-of-ours',
    next: 'sudo apt-get update && sudo apt-get install --no-install-recommends no-such-package-of-ours',
  })
})
