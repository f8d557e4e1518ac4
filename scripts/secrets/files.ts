/** Secret files: 0600 in folders 0700, written whole or not at all, never overwritten by accident. */
import { existsSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes a file that only its owner may read; replaces an existing one in one step. */
export async function writeSecret(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.${process.pid}.tmp`
  await writeFile(temporary, content, { mode: 0o600, flag: 'wx' })
  await rename(temporary, path)
}

/** Writes it only if it is not there. @returns whether it was written */
export async function writeSecretOnce(path: string, content: () => string | Promise<string>): Promise<boolean> {
  if (existsSync(path)) return false
  await writeSecret(path, await content())
  return true
}
