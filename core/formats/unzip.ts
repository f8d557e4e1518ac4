import { createWriteStream } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createInflateRaw } from 'node:zlib'

// Names and offsets of the parts of a zip file are those of PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.
const END_OF_DIRECTORY = 0x06054b50
const DIRECTORY_ENTRY = 0x02014b50
const STORED = 0
const DEFLATED = 8

/**
 * Takes one file out of a zip file, without needing `unzip`. The archive's digest has been checked before, so this only
 * guards against a wrong file, not against a hostile one. Zip64 and encryption are not supported; releases use neither.
 * @throws Error when the archive can't be read or has no such entry.
 */
export async function unzipOne(archive: string, name: string, target: string): Promise<void> {
  const file = await open(archive)
  try {
    const found = await find(file, name)
    // The local header repeats name and extra field, and their lengths may differ from the directory's.
    const local = await readAt(file, found.offset, 30)
    const start = found.offset + 30 + local.readUInt16LE(26) + local.readUInt16LE(28)
    const source = file.createReadStream({ start, end: start + found.compressed - 1, autoClose: false })
    await pipeline(source, found.method === DEFLATED ? createInflateRaw() : new PassThrough(), createWriteStream(target, { mode: 0o755 }))
  } finally {
    await file.close()
  }
}

async function find(file: FileHandle, name: string): Promise<{ offset: number; compressed: number; method: number }> {
  const { size } = await file.stat()
  const tail = await readAt(file, Math.max(0, size - 65_557), Math.min(size, 65_557))
  let end = tail.length - 22
  while (end >= 0 && tail.readUInt32LE(end) !== END_OF_DIRECTORY) end -= 1
  if (end < 0) throw new Error('not a zip file')
  const directory = await readAt(file, tail.readUInt32LE(end + 16), tail.readUInt32LE(end + 12))
  const names: string[] = []
  for (let at = 0; at + 46 <= directory.length && directory.readUInt32LE(at) === DIRECTORY_ENTRY; ) {
    const nameLength = directory.readUInt16LE(at + 28)
    const entry = directory.toString('utf8', at + 46, at + 46 + nameLength)
    if (entry === name) {
      const method = directory.readUInt16LE(at + 10)
      if (method !== STORED && method !== DEFLATED) throw new Error(`"${name}" is packed with method ${method}, which is not supported`)
      return { offset: directory.readUInt32LE(at + 42), compressed: directory.readUInt32LE(at + 20), method }
    }
    names.push(entry)
    at += 46 + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
  }
  throw new Error(`no "${name}" in it, only ${names.slice(0, 10).join(', ') || 'nothing'}`)
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  const { bytesRead } = await file.read(buffer, 0, length, position)
  if (bytesRead !== length) throw new Error('the zip file is cut short')
  return buffer
}
