/** What makes a folder on the data disk a project: how its git takes a push, and Serena's settings for it. */
import { spawnSync } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectSettingsFile } from './serena.ts'

/** @returns what it prints. @throws Error with git's own words */
export function git(cwd: string, args: readonly string[], timeoutMs?: number): string {
  const env = {
    PATH: process.env.PATH,
    HOME: '/nonexistent',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
  }
  const result = spawnSync('git', args, {
    cwd,
    encoding: 'utf8',
    env,
    maxBuffer: 1 << 28,
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
  })
  if (result.status !== 0) throw new Error(result.error?.message ?? result.stderr.trim().split('\n').at(-1) ?? '')
  return result.stdout
}

/** @param folder the one that `.git` is in */
export function prepareRepository(folder: string): void {
  // A push updates the files that Serena works on; what nobody has committed is kept (git-hooks/push-to-checkout).
  git(folder, ['config', 'receive.denyCurrentBranch', 'updateInstead'])
  // Ignored here, so that a clone or a push that brings its own replaces it.
  appendFileSync(join(folder, '.git', 'info', 'exclude'), `${projectSettingsFile}\n`)
}
