/**
 * Serena of PyPI, in an environment of its own that is kept between runs. What it depends on is in there with it: `mcp`,
 * the official Python SDK.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { cacheFolder, makeFolder } from '../core/folders.ts'

const version = '2.1.0'

/** A Python that can run Serena and make environments. */
export function findInterpreter(): string | undefined {
  return ['python3.14', 'python3.13', 'python3.12', 'python3.11', 'python3'].find(
    (name) => spawnSync(name, ['-c', 'import sys, venv, ensurepip; sys.exit(not ((3, 11) <= sys.version_info < (3, 15)))']).status === 0,
  )
}

export interface SerenaProgram {
  readonly serena: string
  readonly python: string
}

/** @throws ChildFailure when the environment can't be made */
export async function ensureSerena(interpreter: string, env: NodeJS.ProcessEnv): Promise<SerenaProgram> {
  const folder = join(cacheFolder(env), 'test-serena', version)
  const program = { serena: join(folder, 'bin', 'serena'), python: join(folder, 'bin', 'python') }
  if (existsSync(program.serena)) return program
  await makeFolder(dirname(folder))
  await rm(folder, { recursive: true, force: true })
  // pip's own variables say where packages come from.
  const options = { env: childEnvironment(env, (name) => name.startsWith('PIP_')) }
  // Scripts of an environment name its path: it can't be made elsewhere and renamed. The program's script comes last.
  await run(interpreter, ['-m', 'venv', folder], options)
  await run(join(folder, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', `serena-agent==${version}`], options)
  return program
}
