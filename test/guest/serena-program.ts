/** Serena of PyPI, in an environment of its own that is kept between runs. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

const version = '2.1.0'
export const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'serena-golden')

/** A Python that can run Serena and make environments. */
export const interpreter: string | undefined = ['python3.14', 'python3.13', 'python3.12', 'python3.11', 'python3'].find(
  (name) => spawnSync(name, ['-c', 'import sys, venv, ensurepip; sys.exit(not ((3, 11) <= sys.version_info < (3, 15)))']).status === 0,
)

/** @returns the path of its program */
export function ensureSerena(): string {
  const folder = join(cache, 'test-serena', version)
  const program = join(folder, 'bin', 'serena')
  if (existsSync(program)) return program
  mkdirSync(dirname(folder), { recursive: true })
  rmSync(folder, { recursive: true, force: true })
  // Scripts of an environment name its path: it can't be made elsewhere and renamed. The program's script comes last.
  execFileSync(interpreter ?? '', ['-m', 'venv', folder])
  execFileSync(join(folder, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', `serena-agent==${version}`], {
    stdio: 'pipe',
  })
  return program
}
