/** Writes a tar archive (POSIX.1-1988 ustar): the same entries give the same bytes. */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'

export interface TarEntry {
  /** Relative to the root, without a leading slash. */
  readonly path: string
  readonly mode: number
  readonly content: Buffer | { readonly file: string; readonly size: number }
}

/** 2020-01-01 00:00:00 UTC. */
const time = 1_577_836_800
const block = 512

/** A header for a file of root's. @throws Error for a path that ustar can't hold (255 characters, split at a slash) */
function header(path: string, mode: number, size: number): Buffer {
  const { prefix, name } = split(path)
  const bytes = Buffer.alloc(block)
  const octal = (value: number, at: number, length: number): void =>
    void bytes.write(value.toString(8).padStart(length - 1, '0') + '\0', at, 'ascii')
  bytes.write(name, 0)
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(time, 136, 12)
  bytes.fill(' ', 148, 156)
  bytes.write('0', 156)
  bytes.write('ustar\u000000', 257)
  bytes.write('root', 265)
  bytes.write('root', 297)
  bytes.write(prefix, 345)
  const sum = bytes.reduce((total, byte) => total + byte, 0)
  bytes.write(sum.toString(8).padStart(6, '0') + '\0 ', 148, 'ascii')
  return bytes
}

function split(path: string): { prefix: string; name: string } {
  if (Buffer.byteLength(path) <= 100) return { prefix: '', name: path }
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
    const prefix = path.slice(0, slash)
    const name = path.slice(slash + 1)
    if (Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(name) <= 100) return { prefix, name }
  }
  throw new Error(`the path is too long for a tar archive: ${path}`)
}

async function* chunks(entries: readonly TarEntry[]): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    const size = Buffer.isBuffer(entry.content) ? entry.content.length : entry.content.size
    yield header(entry.path, entry.mode, size)
    if (Buffer.isBuffer(entry.content)) yield entry.content
    else for await (const chunk of createReadStream(entry.content.file)) yield chunk as Buffer
    const rest = size % block
    if (rest !== 0) yield Buffer.alloc(block - rest)
  }
  yield Buffer.alloc(2 * block)
}

/** Writes `file`, gzipped; returns the SHA-256 of the archive before compression, which no version of zlib changes. */
export async function writeTar(file: string, entries: readonly TarEntry[]): Promise<string> {
  const hash = createHash('sha256')
  const hashed = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      hash.update(chunk)
      yield chunk
    }
  }
  await pipeline(Readable.from(hashed(chunks(entries))), createGzip({ level: 6 }), createWriteStream(file))
  return hash.digest('hex')
}
