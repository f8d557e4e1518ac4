import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Pin } from './pins.ts'
import { askVersion, suits } from './version.ts'

export interface FoundOnPath {
  readonly path: string
  readonly version: string
}

export interface PathSearch {
  readonly found?: FoundOnPath
  /** Programs of that name which were passed over, and why. */
  readonly refused: readonly string[]
}

/** Looks for the first suitable program on `path` (a PATH variable). */
export async function searchPath(pin: Pin, path: string, ownCache: string): Promise<PathSearch> {
  const refused: string[] = []
  if (pin.path === undefined) return { refused }
  for (const file of await executables(pin.path.command, path, ownCache)) {
    const version = pin.ask === undefined ? pin.version : await askVersion(file, pin.ask)
    if (version === undefined) refused.push(`${file} does not tell its version`)
    else if (suits(pin.version, version, pin.path.accept)) return { found: { path: file, version }, refused }
    else refused.push(`${file} is ${version}, not ${wanted(pin.version, pin.path.accept)}`)
  }
  return { refused }
}

/**
 * All executable files of that name, in the order of the PATH variable. Relative entries are ignored, and so are folders
 * below `ownCache`: after `eval "$(golden env)"` they are on PATH, and what is chosen must not depend on that.
 */
export async function executables(command: string, path: string, ownCache: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const folder of new Set(path.split(':').filter((entry) => entry.startsWith('/')))) {
    if (`${folder}/`.startsWith(`${ownCache}/`)) continue
    const file = join(folder, command)
    const usable = await access(file, constants.X_OK)
      .then(() => stat(file))
      .then(
        (info) => info.isFile(),
        () => false,
      )
    if (usable) found.push(file)
  }
  return found
}

/** In words: which versions suit. */
export function wanted(version: string, accept: 'minor' | 'major' | 'name'): string {
  const [major, minor] = version.split('.')
  if (accept === 'minor') return `${version} or a later ${major}.${minor}`
  return accept === 'major' ? `${version} or a later ${major}` : version
}
