import { homedir } from 'node:os'
import { join } from 'node:path'

/** Where everything that costs minutes is kept, by content (XDG base directory specification). */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  const base = env['XDG_CACHE_HOME']
  return join(base?.startsWith('/') ? base : join(env['HOME'] ?? homedir(), '.cache'), 'serena-golden')
}
