/** Results that cost minutes, each in a folder named after everything that went into it. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface CacheEntry {
  /** The cache's root, as in BuildOptions. */
  readonly cacheDir: string
  readonly name: string
  /** Any change of any of them is another entry. */
  readonly inputs: unknown
}

/** An entry that nobody asked for in this time goes when a newer one of its name is built. */
const UNUSED_MS = 14 * 24 * 3600 * 1000

/** Where the entry is, or would be. */
export function cachePath({ cacheDir, name, inputs }: CacheEntry): string {
  const key = createHash('sha256').update(JSON.stringify(inputs)).digest('hex').slice(0, 16)
  return join(cacheDir, 'debian', `${name}-${key}`)
}

/**
 * Returns the entry's folder. If it is missing, `build` fills a folder beside it, which gets its name when it is
 * complete and is removed when `build` fails; what killed processes left is removed first. Of two processes that
 * want the same entry one builds, the other waits.
 */
export async function cached(
  entry: CacheEntry,
  build: (folder: string) => Promise<void>,
  log: (line: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const final = cachePath(entry)
  if (existsSync(final)) {
    await utimes(final, new Date(), new Date()).catch(() => {}) // it may be somebody else's: then they say when it was used
    return final
  }
  await mkdir(join(entry.cacheDir, 'debian'), { recursive: true })
  const unlock = await lock(`${final}.lock`, () => log(`waiting for another process that builds ${entry.name}`), signal)
  const partial = `${final}.${process.pid}.part`
  try {
    if (existsSync(final)) return final
    await sweep(join(entry.cacheDir, 'debian'))
    await mkdir(partial)
    const start = Date.now()
    log(`building ${entry.name}`)
    await build(partial)
    await rename(partial, final)
    await prune(join(entry.cacheDir, 'debian'), entry.name)
    log(`built ${entry.name} in ${Math.round((Date.now() - start) / 1000)} s`)
    return final
  } finally {
    await rm(partial, { recursive: true, force: true })
    await unlock()
  }
}

/** A folder is made by one process only; one whose maker is dead is taken over. */
async function lock(path: string, onWait: () => void, signal?: AbortSignal): Promise<() => Promise<void>> {
  for (let round = 0; ; round++) {
    try {
      await mkdir(path)
      await writeFile(join(path, 'pid'), String(process.pid))
      return () => rm(path, { recursive: true, force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = Number(await readFile(join(path, 'pid'), 'utf8').catch(() => '0'))
    const age =
      Date.now() -
      (await stat(path).then(
        (made) => made.mtimeMs,
        () => Date.now(),
      ))
    // Without a pid it may have been made just now.
    if (holder ? !isRunning(holder) : age > 5000) await rm(path, { recursive: true, force: true })
    else {
      if (round === 0) onWait()
      await delay(500, undefined, { signal })
    }
  }
}

/** Half-built folders of dead processes. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = Number(/\.(\d+)\.part$/.exec(name)?.[1] ?? 0)
    if (pid && !isRunning(pid)) await rm(join(folder, name), { recursive: true, force: true })
  }
}

/** Entries of this name that were replaced long ago. */
async function prune(folder: string, name: string): Promise<void> {
  for (const other of await readdir(folder)) {
    if (other.slice(0, -17) !== name || !/-[0-9a-f]{16}$/.test(other)) continue
    const path = join(folder, other)
    const unused =
      Date.now() -
      (await stat(path).then(
        (entry) => entry.mtimeMs,
        () => Date.now(),
      ))
    if (unused > UNUSED_MS) await rm(path, { recursive: true, force: true })
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
