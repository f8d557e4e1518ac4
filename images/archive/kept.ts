import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256 } from '../../core/canonical.ts'
import { writeWhole } from '../../core/write-whole.ts'

export interface Kept {
  readonly etag: string
  readonly lastModified: string
  readonly body: Buffer
}

export interface Keeper {
  find(url: string): Promise<Kept | undefined>
  keep(url: string, what: Kept): Promise<void>
}

/** @param folder made when something is kept */
export function keeperIn(folder: string): Keeper {
  const fileOf = (url: string): string => join(folder, sha256(url).slice(0, 32))
  return {
    find: async (url) => {
      const bytes = await readFile(fileOf(url)).catch(() => undefined)
      const end = bytes?.indexOf('\n') ?? -1
      if (bytes === undefined || end < 0) return undefined
      try {
        const head = JSON.parse(bytes.subarray(0, end).toString('utf8')) as Record<string, unknown>
        const body = bytes.subarray(end + 1)
        // One that was cut short, by a full disk say, is none.
        if (head.url !== url || head.sha256 !== sha256(body)) return undefined
        return { etag: String(head.etag), lastModified: String(head.lastModified), body }
      } catch {
        return undefined
      }
    },
    keep: async (url, { etag, lastModified, body }) => {
      await mkdir(folder, { recursive: true })
      const file = fileOf(url)
      const head = JSON.stringify({ url, etag, lastModified, sha256: sha256(body) })
      // Two parts of an archive may be read from one list at the same time.
      await writeWhole(file, Buffer.concat([Buffer.from(`${head}\n`), body]))
    },
  }
}
