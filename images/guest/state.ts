/**
 * What the services keep on the data disk as their own, and a newer image may change for good: Serena's home, Grafana's
 * database, Loki's index. Not the projects, which are people's; nor Loki's chunks, which are never changed once written.
 */
import { dirname, join } from 'node:path'
import type { Files } from './machine.ts'

interface Part {
  /** On the data disk. */
  readonly folder: string
  /** All that is in the folder, or what of it. */
  readonly paths: { readonly only: readonly string[] } | { readonly without: readonly string[] }
  /** Made from the rest, and wrong once that is another's. */
  readonly derived?: readonly string[]
}

const parts: readonly Part[] = [
  // What is fetched or written anew, and large.
  { folder: 'serena', paths: { without: ['language_servers', 'logs', '.cache', '.npm'] } },
  // With what SQLite has beside a database after a power cut: of another database it would destroy this one.
  { folder: 'grafana', paths: { only: ['grafana.db', 'grafana.db-journal', 'grafana.db-wal', 'grafana.db-shm'] } },
  // Where Loki's file store and its TSDB index have it (loki.ts: path_prefix, chunks_directory).
  { folder: 'loki', paths: { only: ['chunks/index', 'tsdb-shipper-active'] }, derived: ['tsdb-shipper-cache'] },
]

/** What it is itself, links not followed; undefined: it is not there. */
export function kindOf(files: Files, path: string): 'file' | 'folder' | 'other' | undefined {
  try {
    return files.look(path).kind
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Whether it is there, and what leads to it from that folder are folders: their owners can turn them into links to anywhere. */
function isThere(files: Files, folder: string, path: string): boolean {
  const above = dirname(path)
  return (
    (above === '.' ? kindOf(files, folder) === 'folder' : isFolder(files, folder, above)) && kindOf(files, join(folder, path)) !== undefined
  )
}

const isFolder = (files: Files, folder: string, path: string): boolean =>
  isThere(files, folder, path) && kindOf(files, join(folder, path)) === 'folder'

/**
 * All of it that is there, as paths from that folder, which is the data disk's or a restore point's. To be asked, and
 * used, only while none of the services runs: then nobody can put a link where a folder was.
 */
export const statePaths = (files: Files, base: string): string[] =>
  parts.flatMap(({ folder, paths }) => {
    const at = join(base, folder)
    if (kindOf(files, at) !== 'folder') return []
    const names =
      'only' in paths
        ? paths.only.filter((path) => isThere(files, at, path))
        : files
            .list(at)
            .filter((name) => !paths.without.includes(name))
            .sort()
    return names.map((name) => join(folder, name))
  })

/** The same for what is made from it. */
export const derivedPaths = (files: Files, base: string): string[] =>
  parts.flatMap(({ folder, derived = [] }) =>
    derived.filter((path) => isThere(files, join(base, folder), path)).map((path) => join(folder, path)),
  )
