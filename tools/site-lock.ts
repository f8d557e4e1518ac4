/** The lock of providers that a site keeps, in its folder beside site.ts. */
import { randomUUID } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lockedProvider, lockFileName, withLocked } from './provider-lock.ts'

/** @returns undefined when there is none. @throws the system's error when it can't be read */
export async function readLock(site: string): Promise<string | undefined> {
  return readFile(join(site, lockFileName), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
}

const head = `# Which provider "golden" has got from the engine's registry. Every run holds it to that: keep it with site.ts.\n\n`

/** Writes down what is used now, if it is not in there. @param lock the engine's own of it */
export async function keepLock(site: string, before: string | undefined, lock: string, address: string): Promise<void> {
  const now = lockedProvider(lock, address)
  if (now === undefined) return
  const text = withLocked(before ?? head, address, now)
  if (text === before) return
  const aside = join(site, `${lockFileName}.${randomUUID()}`)
  try {
    await writeFile(aside, text)
    await rename(aside, join(site, lockFileName))
  } finally {
    await rm(aside, { force: true })
  }
}
