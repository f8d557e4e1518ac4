/** Files with a JSON document a line, the newest last: what has been, for people and for plots. */
import { readFile } from 'node:fs/promises'
import { writeWhole } from './write-whole.ts'

/** As a schema of Zod has it. */
interface Schema<Entry> {
  safeParse(data: unknown): { readonly success: true; readonly data: Entry } | { readonly success: false }
}

/** All that can be read: a line that somebody has cut is left out, and a file that is not there has none. */
export async function readJsonLines<Entry>(file: string, schema: Schema<Entry>): Promise<Entry[]> {
  const content = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  return content.split('\n').flatMap((line) => {
    try {
      const parsed = schema.safeParse(JSON.parse(line))
      return parsed.success ? [parsed.data] : []
    } catch {
      return []
    }
  })
}

/** Replaces the file as a whole. One process at a time: whoever calls holds a claim. */
export const writeJsonLines = (file: string, entries: readonly unknown[]): Promise<void> =>
  writeWhole(file, entries.map((one) => `${JSON.stringify(one)}\n`).join(''))
