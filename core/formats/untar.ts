/** Reads the regular files of a tar archive: ustar, GNU's long names, and paths of POSIX.1-2001 (pax). */
import { gunzipSync } from 'node:zlib'

const block = 512

export interface TarFile {
  /** Without a leading `./`. */
  readonly path: string
  readonly content: Buffer
}

/** @param archive gzipped or not. @throws Error when it ends too early */
export function* readTar(archive: Buffer): Generator<TarFile> {
  const bytes = archive[0] === 0x1f && archive[1] === 0x8b ? gunzipSync(archive) : archive
  let long: string | undefined
  for (let at = 0; at + block <= bytes.length && bytes[at] !== 0; ) {
    const text = (from: number, length: number): string =>
      bytes
        .toString('utf8', at + from, at + from + length)
        .split('\0', 1)
        .join('')
    const size = Number.parseInt(text(124, 12).trim() || '0', 8)
    const type = text(156, 1)
    const prefix = text(257, 6) === 'ustar' ? text(345, 155) : ''
    const content = bytes.subarray(at + block, at + block + size)
    if (!Number.isSafeInteger(size) || content.length < size) throw new Error('the archive ends in the middle of a file')
    const path = long ?? `${prefix === '' ? '' : `${prefix}/`}${text(0, 100)}`
    at += block + Math.ceil(size / block) * block
    if (type === 'L') long = content.toString('utf8').split('\0', 1).join('')
    else if (type === 'x') long = /(?:^|\n)\d+ path=([^\n]*)\n/.exec(content.toString('utf8'))?.[1] ?? long
    else {
      long = undefined
      if (type === '0' || type === '') yield { path: path.replace(/^(\.?\/)+/, ''), content }
    }
  }
}
