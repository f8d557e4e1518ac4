import { crc32, deflateRawSync } from 'node:zlib'

/** A zip file with these entries, all of them executable, as PKWARE's APPNOTE.TXT has it; enough for the tests (no dates). */
export function zip(entries: readonly { name: string; content: string | Buffer; deflate: boolean }[]): Buffer {
  const locals: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const { name, content, deflate } of entries) {
    const plain = Buffer.from(content)
    const data = deflate ? deflateRawSync(plain, { level: 1 }) : plain
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(deflate ? 8 : 0, 8)
    local.writeUInt32LE(crc32(plain), 14)
    local.writeUInt32LE(data.length, 18)
    local.writeUInt32LE(plain.length, 22)
    local.writeUInt16LE(name.length, 26)
    // An extra field that only the local header has: Info-ZIP writes such ones.
    local.writeUInt16LE(4, 28)
    const extra = Buffer.from([0xfe, 0xca, 0, 0])
    const central = Buffer.alloc(46)
    central.writeUInt32LE(0x02014b50, 0)
    // Made on Unix, so that the upper half of the external attributes is a file's mode.
    central.writeUInt16LE(3 << 8, 4)
    central.writeUInt32LE(crc32(plain), 16)
    central.writeUInt32LE(0o100755 * 0x10000, 38)
    central.writeUInt16LE(deflate ? 8 : 0, 10)
    central.writeUInt32LE(data.length, 20)
    central.writeUInt32LE(plain.length, 24)
    central.writeUInt16LE(name.length, 28)
    central.writeUInt32LE(offset, 42)
    locals.push(local, Buffer.from(name), extra, data)
    directory.push(central, Buffer.from(name))
    offset += 30 + name.length + 4 + data.length
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(entries.length, 8)
  end.writeUInt16LE(entries.length, 10)
  end.writeUInt32LE(size, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...locals, ...directory, end])
}
