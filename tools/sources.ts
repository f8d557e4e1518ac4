/** Where the files of releases are fetched from: their own servers, a mirror of them, or a folder that was brought along. */
import { access } from 'node:fs/promises'
import { isAbsolute, join, posix } from 'node:path'
import { Failure } from '../core/failure.ts'

export interface Sources {
  /** Instead of every server of releases. A file's address there: this, its own server's name, its path. */
  readonly mirror?: string | undefined
  /** Looked into before anything is asked: files by their names alone. */
  readonly folder?: string | undefined
}

/**
 * What GOLDEN_TOOLS_MIRROR and GOLDEN_TOOLS_FOLDER say. They are a matter of this computer's network, not of a site.
 * @throws Failure `tools-source-unusable`
 */
export function sourcesOf(env: NodeJS.ProcessEnv): Sources {
  const { GOLDEN_TOOLS_MIRROR: mirror = '', GOLDEN_TOOLS_FOLDER: folder = '' } = env
  const wrong = (name: string, what: string, hint: string): Failure => new Failure('tools-source-unusable', `${name} is ${what}`, hint)
  if (mirror !== '' && !(URL.canParse(mirror) && /^https?:$/.test(new URL(mirror).protocol)))
    throw wrong('GOLDEN_TOOLS_MIRROR', 'no https:// address', 'Name the address below which the mirror has the servers (tools/README.md).')
  if (folder !== '' && !isAbsolute(folder))
    throw wrong('GOLDEN_TOOLS_FOLDER', 'no absolute path', 'Name the folder from the root on: it must not depend on where a verb is run.')
  return { ...(mirror === '' ? {} : { mirror }), ...(folder === '' ? {} : { folder }) }
}

/** `https://example.org/a/b.zip` → `MIRROR/example.org/a/b.zip`: as "wget --force-directories" lays files out. */
export function addressOf(url: string, { mirror }: Sources): string {
  if (mirror === undefined) return url
  const { host, pathname } = new URL(url)
  return `${mirror.replace(/\/+$/, '')}/${host}${pathname}`
}

export const fileNameOf = (url: string): string => posix.basename(new URL(url).pathname)

/** The file in the folder, if it is there. */
export async function inFolder(name: string, { folder }: Sources): Promise<string | undefined> {
  if (folder === undefined) return undefined
  const file = join(folder, name)
  return access(file).then(
    () => file,
    () => undefined,
  )
}
