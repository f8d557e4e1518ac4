import { randomUUID } from 'node:crypto'
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeFolder } from '../core/folders.ts'
import { identityOf, isRunning, type ProcessIdentity } from '../core/process-identity.ts'

/** Whoever holds a lock touches it this often. */
const BEAT_MS = 20_000
/** Of another computer, or of a container that is gone, no process can be looked up: untouched for so long it counts as left behind. */
const FOREIGN_LOCK_MS = 2 * 60 * 1000

export interface LockOptions {
  /** Called when somebody else holds the lock, then about twice a second. */
  readonly onWait?: (holderPid: number) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * Runs `work` while this process holds the lock file `path`. A lock whose process is dead is taken over.
 *
 * The lock saves work, it does not guard correctness: what is made under it is renamed into place as a whole. So the
 * one race left, two processes that find the same dead holder at the same time, costs at worst a second build.
 */
export async function withLock<T>(path: string, work: () => Promise<T>, options: LockOptions = {}): Promise<T> {
  await makeFolder(dirname(path))
  while (!(await acquire(path))) {
    options.signal?.throwIfAborted()
    const holder = await read(path)
    if (holder !== undefined && (await isAlive(path, holder))) {
      options.onWait?.(holder.pid)
      await delay(500, undefined, { signal: options.signal })
    } else {
      await discard(path)
    }
  }
  const beat = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => undefined)
  }, BEAT_MS)
  beat.unref()
  try {
    return await work()
  } finally {
    clearInterval(beat)
    await rm(path, { force: true })
  }
}

/** `link` makes the file appear with its content, so nobody reads half a lock. */
async function acquire(path: string): Promise<boolean> {
  const own = `${path}.${process.pid}.${randomUUID()}`
  await writeFile(own, JSON.stringify(await identityOf(process.pid)))
  try {
    await link(own, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(own, { force: true })
  }
}

async function read(path: string): Promise<ProcessIdentity | undefined> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as Partial<ProcessIdentity>
    if (typeof value.pid === 'number' && typeof value.host === 'string' && typeof value.started === 'string')
      return value as ProcessIdentity
  } catch {
    // Gone, or not a lock of ours: the caller tries again.
  }
  return undefined
}

async function isAlive(path: string, holder: ProcessIdentity): Promise<boolean> {
  if (holder.host !== hostname()) {
    const age = await stat(path).then(
      (file) => Date.now() - file.mtimeMs,
      () => Infinity,
    )
    return age < FOREIGN_LOCK_MS
  }
  return isRunning(holder)
}

/** Renaming first means that only one of several waiters removes a given file. */
async function discard(path: string): Promise<void> {
  const aside = `${path}.dead.${randomUUID()}`
  await rename(path, aside).catch(() => undefined)
  await rm(aside, { force: true })
}
