/** Where this program keeps things (XDG base directory specification), and how folders come about. */
import { mkdir, stat } from 'node:fs/promises'
import { homedir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'

/** Everything that costs minutes, by content. */
export const cacheFolder = (env: NodeJS.ProcessEnv): string => join(base(env, 'XDG_CACHE_HOME', '.cache'), 'serena-golden')

/** What a lab and a demo are made of. */
export const stateFolder = (env: NodeJS.ProcessEnv): string => join(base(env, 'XDG_STATE_HOME', '.local/state'), 'serena-golden')

/** A relative path is ignored, as the specification says; so is an empty one. */
function base(env: NodeJS.ProcessEnv, name: string, below: string): string {
  const given = env[name]
  return given?.startsWith('/') ? given : join(home(env), below)
}

/** HOME, else what the system says of the user. Who has no home at all is told so when something is to be kept there. */
function home(env: NodeJS.ProcessEnv): string {
  if (env.HOME?.startsWith('/')) return env.HOME
  try {
    const own = env.HOME === undefined ? homedir() : userInfo().homedir
    return own.startsWith('/') ? own : '/nonexistent'
  } catch {
    return '/nonexistent'
  }
}

/**
 * Makes a folder and those above it. Node's own recursive mkdir never ends where the system says of each part that it
 * does not exist, as /proc and automounters do.
 * @param mode of the folders that are made
 * @throws the system's error, with the path that could not be made
 */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  const made = async (): Promise<boolean> => {
    try {
      await mkdir(path, { mode })
      return true
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return false
      // On a file system that is read-only the folder may be there all the same.
      if (
        (code === 'EEXIST' || code === 'EROFS' || code === 'EACCES') &&
        (await stat(path).then(
          (found) => found.isDirectory(),
          () => false,
        ))
      )
        return true
      throw error
    }
  }
  if (await made()) return
  if (dirname(path) !== path) await makeFolder(dirname(path), mode)
  if (!(await made()))
    throw Object.assign(new Error(`ENOENT: no such file or directory, mkdir '${path}'`), { code: 'ENOENT', syscall: 'mkdir', path })
}
