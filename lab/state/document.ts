/** One JSON file, written atomically: a reader and a crash see the old or the new content, never a part. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** Writes `text` to `path` by way of a neighbour; the parent folder is made when missing. `mode` defaults to 0600. */
export function writeAtomically(path: string, text: string, mode = 0o600): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.new`
  writeFileSync(temporary, text, { mode })
  renameSync(temporary, path)
}

export interface Document<T> {
  value: T
  save(): void
  remove(): void
}

/** The document at `path`, or `initial` when there is none yet (not written before the first `save`). */
export function openDocument<T>(path: string, initial: T): Document<T> {
  const value = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as T) : initial
  return {
    value,
    save() {
      writeAtomically(path, `${JSON.stringify(this.value, null, 1)}\n`)
    },
    remove() {
      rmSync(path, { force: true })
    },
  }
}
