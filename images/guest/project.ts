/** What makes a folder on the data disk a project: how its git takes a push, and Serena's settings for it. */
import { join } from 'node:path'
import type { Machine } from './machine.ts'
import { projectSettingsFile } from './serena.ts'

/** @returns what it prints. @throws Error with git's own words */
export async function git(machine: Machine, cwd: string, args: readonly string[], timeoutMs?: number): Promise<string> {
  const env = { HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', GIT_TERMINAL_PROMPT: '0' }
  const result = await machine.run('git', args, { cwd, env, ...(timeoutMs === undefined ? {} : { timeoutMs }) })
  if (result.status !== 0) throw new Error(result.error ?? result.stderr.trim().split('\n').at(-1) ?? '')
  return result.stdout
}

/** @param folder the one that `.git` is in */
export async function prepareRepository(machine: Machine, folder: string): Promise<void> {
  // A push updates the files that Serena works on; what nobody has committed is kept (git-hooks/push-to-checkout).
  await git(machine, folder, ['config', 'receive.denyCurrentBranch', 'updateInstead'])
  // Ignored here, so that a clone or a push that brings its own replaces it.
  machine.files.append(join(folder, '.git', 'info', 'exclude'), `${projectSettingsFile}\n`)
}
