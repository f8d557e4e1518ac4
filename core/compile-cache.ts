/** Where Node keeps what it has compiled (node:module, enableCompileCache): a verb begins in half the time with it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from './folders.ts'

/** @returns a folder, which Node makes; undefined where nothing of ours is kept yet, or can't be */
export function compileCacheFolder(env: NodeJS.ProcessEnv): string | undefined {
  const folder = cacheFolder(env)
  return existsSync(folder) ? join(folder, 'compiled') : undefined
}
