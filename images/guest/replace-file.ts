import type { Files } from './machine.ts'

/** Whoever reads it meanwhile gets the old content or the new one, never a part. @param mode of the file */
export function replaceFile(files: Files, path: string, content: string, mode = 0o644): void {
  files.write(`${path}.new`, content, mode)
  files.rename(`${path}.new`, path)
}
