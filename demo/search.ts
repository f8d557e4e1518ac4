/** Looks for secrets, and for canaries put there on purpose, in files and streams. */
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * The forms in which a text may lie in a file: as it is; in hexadecimal; percent-encoded, as in a form or a URL; and in
 * base64, which looks different for each of the three places at which the text may begin. Only what depends on nothing
 * but the text itself is kept of those.
 */
export function formsOf(text: string): string[] {
  const bytes = Buffer.from(text)
  const base64 = [0, 1, 2].map((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replaceAll('=', '')
    // 6 bits a character: those that share bits with what stands before or after the text are left out.
    return whole.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6))
  })
  const urlBase64 = base64.map((form) => form.replaceAll('+', '-').replaceAll('/', '_'))
  return [...new Set([text, encodeURIComponent(text), bytes.toString('hex'), bytes.toString('hex').toUpperCase(), ...base64, ...urlBase64])]
}

/** Which of these texts occur in a stream, in any form. */
export async function occurring(stream: AsyncIterable<Uint8Array>, texts: readonly string[]): Promise<Set<string>> {
  const found = new Set<string>()
  const wanted = texts.flatMap((text) => formsOf(text).map((form) => ({ text, bytes: Buffer.from(form) })))
  const overlap = Math.max(...wanted.map(({ bytes }) => bytes.length), 1) - 1
  let tail = Buffer.alloc(0)
  for await (const part of stream) {
    const chunk = tail.length === 0 ? Buffer.from(part) : Buffer.concat([tail, part])
    // Most of a disk was never written.
    if (!isBlank(chunk)) for (const { text, bytes } of wanted) if (!found.has(text) && chunk.includes(bytes)) found.add(text)
    tail = chunk.subarray(Math.max(0, chunk.length - overlap))
  }
  return found
}

/** Zeros only: the first byte is one, and each is like the one before it. */
const isBlank = (chunk: Buffer): boolean => chunk[0] === 0 && chunk.subarray(1).equals(chunk.subarray(0, -1))

/** Which texts occur in which files below a folder. @returns `file: beginning of the text…` */
export async function searchFolder(
  folder: string,
  texts: readonly string[],
  skip: (path: string) => boolean = () => false,
): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return searchFiles(
    files.filter((path) => !skip(path)),
    texts,
  )
}

export async function searchFiles(files: readonly string[], texts: readonly string[]): Promise<string[]> {
  const hits: string[] = []
  for (const path of files) {
    for (const text of await occurring(createReadStream(path, { highWaterMark: 1 << 20 }), texts))
      hits.push(`${path}: ${text.slice(0, 4)}…`)
  }
  return hits
}
