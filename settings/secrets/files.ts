/** Secret files: 0600 in folders 0700, written whole or not at all, never overwritten by accident. */
import { existsSync } from 'node:fs'
import { dirname, relative, sep } from 'node:path'
import { makeFolder } from '../../core/folders.ts'
import { Failure } from '../../core/failure.ts'
import { secretsFolder } from './places.ts'
import { writeWhole } from '../../core/write-whole.ts'

/** Writes a file that only its owner may read; replaces an existing one in one step. */
export async function writeSecret(path: string, content: string): Promise<void> {
  await makeFolder(dirname(path), 0o700)
  await writeWhole(path, content, { mode: 0o600 })
}

/**
 * Of a site folder git ignores `secrets` only (`golden init` sees to it); what lies elsewhere is its owner's affair.
 * @throws Failure when a secret that is to be made would lie beside the site file for everybody to commit
 */
export function requireHidden(folder: string, path: string, setting: string): void {
  const below = relative(folder, path).split(sep)
  if (below[0] === secretsFolder || below[0] === '..' || below[0] === '') return
  throw new Failure(
    'secret-in-the-open',
    `${setting} is to be kept in ${path}, which git would not ignore`,
    "Let it point below secrets/, e.g. fromFile('secrets/…'), or put the secret there yourself.",
  )
}

/** Writes it only if it is not there. @returns whether it was written */
export async function writeSecretOnce(path: string, content: () => string | Promise<string>): Promise<boolean> {
  if (existsSync(path)) return false
  await writeSecret(path, await content())
  return true
}
