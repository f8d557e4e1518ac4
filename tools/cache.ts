import { createHash, randomUUID } from 'node:crypto'
import { readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder, makeFolder } from '../core/folders.ts'
import { isTaken } from '../core/process-identity.ts'
import { withLock, type LockOptions } from './lock.ts'

/** Written last into an entry; an entry without it does not count. */
const MARK = 'made.json'

/** `${XDG_CACHE_HOME:-~/.cache}/serena-golden/tools`. A relative XDG_CACHE_HOME is ignored, as the XDG specification says. */
export function toolCache(environment: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder(environment), 'tools')
}

/** A short, stable name for a set of inputs: any change of any of them gives another one. */
export function keyOf(inputs: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(inputs).sort(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 24)
}

/** One folder `<root>/<name>/<key>`, which exists complete or not at all. */
export interface Entry {
  readonly root: string
  readonly name: string
  readonly key: string
}

export const entryFolder = (entry: Entry): string => join(entry.root, entry.name, entry.key)

/** What was noted about an entry when it was made, or undefined if there is no such entry. */
export async function lookUp(entry: Entry): Promise<Readonly<Record<string, string>> | undefined> {
  try {
    return JSON.parse(await readFile(join(entryFolder(entry), MARK), 'utf8')) as Record<string, string>
  } catch {
    return undefined
  }
}

/** All entries of that name which are complete, with what was noted about each. */
export async function entriesOf(
  root: string,
  name: string,
): Promise<readonly { readonly entry: Entry; readonly notes: Readonly<Record<string, string>> }[]> {
  const keys = await readdir(join(root, name)).catch(() => [])
  const found = await Promise.all(
    keys.sort().map(async (key) => {
      const entry = { root, name, key }
      return { entry, notes: await lookUp(entry) }
    }),
  )
  return found.flatMap(({ entry, notes }) => (notes === undefined ? [] : [{ entry, notes }]))
}

/**
 * Returns the entry's notes; makes it first if it is missing. `make` fills the folder it is given, which is renamed
 * into place when it is complete and removed when `make` fails. Of two processes one makes it, the other waits.
 */
export async function obtain(
  entry: Entry,
  make: (folder: string) => Promise<Readonly<Record<string, string>>>,
  options: LockOptions = {},
): Promise<Readonly<Record<string, string>>> {
  const present = await lookUp(entry)
  if (present !== undefined) return present
  return withLock(
    `${entryFolder(entry)}.lock`,
    async () => {
      const meanwhile = await lookUp(entry)
      if (meanwhile !== undefined) return meanwhile
      await sweep(entry.root)
      const partial = join(entry.root, '.partial', `${process.pid}-${randomUUID()}`)
      await makeFolder(partial)
      try {
        const notes = await make(partial)
        await writeFile(join(partial, MARK), `${JSON.stringify(notes, null, 2)}\n`)
        // A folder without the mark is a leftover that nobody can use.
        await rm(entryFolder(entry), { recursive: true, force: true })
        await rename(partial, entryFolder(entry))
        return notes
      } finally {
        await rm(partial, { recursive: true, force: true })
      }
    },
    options,
  )
}

/** Removes what killed processes left half made. */
async function sweep(root: string): Promise<void> {
  const folder = join(root, '.partial')
  for (const name of await readdir(folder).catch(() => [])) {
    const pid = Number.parseInt(name, 10)
    const path = join(folder, name)
    const age = await stat(path).then(
      (file) => Date.now() - file.mtimeMs,
      () => 0,
    )
    if ((Number.isNaN(pid) || !(await isTaken(pid))) && age > 60_000) await rm(path, { recursive: true, force: true })
  }
}
