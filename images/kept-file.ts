/** Files that a bake leaves in `records/` of the site folder, each of which an image's record has the digest. */
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { z } from 'zod'
import { sha256 } from '../core/canonical.ts'
import { makeFolder } from '../core/folders.ts'
import { writeWhole } from '../core/write-whole.ts'

/** All of it or nothing. @param name below the site folder */
export async function keepFile(folder: string, name: string, content: string | Buffer): Promise<void> {
  const file = join(folder, name)
  await makeFolder(dirname(file))
  await writeWhole(file, content)
}

export interface NotKept {
  readonly ok: false
  /** In words that follow "its manifest", or whatever it is. */
  readonly problem: string
}

export type KeptFile<T> = { readonly ok: true; readonly content: T; readonly digest: string } | NotKept

/** Never throws for what is in the file. @param digest what the image's record says; undefined: whatever is there */
export async function readKept<T>(folder: string, name: string, schema: z.ZodType<T>, digest: string | undefined): Promise<KeptFile<T>> {
  let text: string
  try {
    text = await readFile(join(folder, name), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { ok: false, problem: `is not in the site folder (${name}): take it from the computer that baked it, or from git` }
  }
  // git on Windows may have changed the ends of its lines.
  text = text.replaceAll('\r\n', '\n')
  const found = sha256(text)
  if (digest !== undefined && found !== digest) return { ok: false, problem: `${name} is another one than its record names` }
  try {
    return { ok: true, content: schema.parse(JSON.parse(text)), digest: found }
  } catch {
    return { ok: false, problem: `${name} is not as golden writes it` }
  }
}
