/** Reads all files of a zip file in memory, also of one with more than 65535 (Zip64). Names as in PKWARE's APPNOTE.TXT, 4.3. */
import { inflateRawSync } from 'node:zlib'

const END = 0x06054b50
const END_64 = 0x06064b50
const LOCATOR_64 = 0x07064b50
const ENTRY = 0x02014b50

export interface ZipFile {
  readonly name: string
  readonly content: Buffer
}

/** @throws Error when it is none, is cut short, or needs what is not supported: files of 4 GiB, encryption */
export function* readZip(archive: Buffer): Generator<ZipFile> {
  let end = archive.length - 22
  while (end >= 0 && archive.readUInt32LE(end) !== END) end--
  if (end < 0) throw new Error('not a zip file')
  let count = archive.readUInt16LE(end + 10)
  let at = archive.readUInt32LE(end + 16)
  if (end >= 20 && archive.readUInt32LE(end - 20) === LOCATOR_64) {
    const end64 = Number(archive.readBigUInt64LE(end - 12))
    if (archive.readUInt32LE(end64) !== END_64) throw new Error('the zip file is cut short')
    count = Number(archive.readBigUInt64LE(end64 + 32))
    at = Number(archive.readBigUInt64LE(end64 + 48))
  }
  for (let left = count; left > 0; left--) {
    if (archive.readUInt32LE(at) !== ENTRY) throw new Error('the zip file is cut short')
    const method = archive.readUInt16LE(at + 10)
    const size = archive.readUInt32LE(at + 20)
    const nameLength = archive.readUInt16LE(at + 28)
    const local = archive.readUInt32LE(at + 42)
    const name = archive.toString('utf8', at + 46, at + 46 + nameLength)
    if ((method !== 0 && method !== 8) || local === 0xffffffff) throw new Error(`"${name}" is packed in a way that is not supported`)
    // The local header has lengths of its own.
    const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28)
    const packed = archive.subarray(start, start + size)
    yield { name, content: method === 8 ? inflateRawSync(packed) : packed }
    at += 46 + nameLength + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32)
  }
}
