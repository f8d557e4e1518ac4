/** A small ISO 9660 image with Joliet names (ECMA-119 and its Joliet supplement): files in the root folder only, all of them small. */

const sector = 2048
const firstFile = 25
const at = {
  primary: 16,
  joliet: 17,
  end: 18,
  tableL: 19,
  tableM: 20,
  jolietTableL: 21,
  jolietTableM: 22,
  root: 23,
  jolietRoot: 24,
} as const

const both16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt16LE(value, 0)
  bytes.writeUInt16BE(value, 2)
  return bytes
}
const both32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(value, 0)
  bytes.writeUInt32BE(value, 4)
  return bytes
}
const utf16be = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16()
/** Plain ISO 9660 names: upper case, eight characters. */
const plainName = (name: string): Buffer =>
  Buffer.from(
    `${name
      .toUpperCase()
      .replace(/[^A-Z0-9]/g, '')
      .slice(0, 8)}.;1`,
  )

function directoryRecord(name: Buffer, extent: number, bytes: number, folder: boolean): Buffer {
  const length = 33 + name.length + (name.length % 2 === 0 ? 1 : 0)
  const record = Buffer.alloc(length)
  record[0] = length
  both32(extent).copy(record, 2)
  both32(bytes).copy(record, 10)
  Buffer.from([126, 1, 1, 0, 0, 0, 0]).copy(record, 18) // 2026-01-01: the same content makes the same image
  record[25] = folder ? 2 : 0
  both16(1).copy(record, 28)
  record[32] = name.length
  name.copy(record, 33)
  return record
}

function pathTable(extent: number, bigEndian: boolean): Buffer {
  const table = Buffer.alloc(10)
  table[0] = 1
  if (bigEndian) {
    table.writeUInt32BE(extent, 2)
    table.writeUInt16BE(1, 6)
  } else {
    table.writeUInt32LE(extent, 2)
    table.writeUInt16LE(1, 6)
  }
  return table
}

function descriptor(type: 1 | 2, label: string, sectors: number): Buffer {
  const joliet = type === 2
  const buffer = Buffer.alloc(sector)
  buffer[0] = type
  buffer.write('CD001\x01', 1, 'latin1')
  const put = (offset: number, length: number, text: string): void => {
    if (joliet) {
      const encoded = utf16be(text.padEnd(Math.floor(length / 2)))
      encoded.copy(buffer, offset, 0, length)
    } else buffer.write(text.padEnd(length), offset, length, 'latin1')
  }
  put(8, 32, '')
  put(40, 32, label)
  both32(sectors).copy(buffer, 80)
  if (joliet) buffer.write('%/E', 88, 'latin1') // UCS-2 level 3
  both16(1).copy(buffer, 120)
  both16(1).copy(buffer, 124)
  both16(sector).copy(buffer, 128)
  both32(10).copy(buffer, 132)
  buffer.writeUInt32LE(joliet ? at.jolietTableL : at.tableL, 140)
  buffer.writeUInt32BE(joliet ? at.jolietTableM : at.tableM, 148)
  directoryRecord(Buffer.from([0]), joliet ? at.jolietRoot : at.root, sector, true).copy(buffer, 156)
  for (const [offset, length] of [
    [190, 128],
    [318, 128],
    [446, 128],
    [574, 128],
    [702, 37],
    [739, 37],
    [776, 37],
  ] as const)
    put(offset, length, '')
  for (const offset of [813, 830, 847, 864]) buffer.write('0000000000000000', offset, 'latin1')
  buffer[881] = 1
  return buffer
}

/**
 * @param label volume label, e.g. `cidata`
 * @param bytes size of the image, padded with zeros
 * @returns the image; the same input gives the same bytes
 */
export function smallIso(label: string, files: Readonly<Record<string, string>>, bytes: number): Buffer {
  const image = Buffer.alloc(bytes)
  let next = firstFile
  const placed = Object.entries(files)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]) => {
      const data = Buffer.from(text, 'utf8')
      const extent = next
      next += Math.max(1, Math.ceil(data.length / sector))
      if (next * sector > bytes) throw new Error(`cloud-init data does not fit into ${bytes} bytes`)
      data.copy(image, extent * sector)
      return { name, extent, size: data.length }
    })
  const folder = (extent: number, nameOf: (name: string) => Buffer): Buffer =>
    Buffer.concat([
      directoryRecord(Buffer.from([0]), extent, sector, true),
      directoryRecord(Buffer.from([1]), extent, sector, true),
      ...placed.map(({ name, extent: start, size }) => directoryRecord(nameOf(name), start, size, false)),
    ])
  const sectors = Math.floor(bytes / sector)
  const put = (where: number, data: Buffer): void => void data.copy(image, where * sector)
  put(at.primary, descriptor(1, label, sectors))
  put(at.joliet, descriptor(2, label, sectors))
  image.write('\xffCD001\x01', at.end * sector, 'latin1')
  put(at.tableL, pathTable(at.root, false))
  put(at.tableM, pathTable(at.root, true))
  put(at.jolietTableL, pathTable(at.jolietRoot, false))
  put(at.jolietTableM, pathTable(at.jolietRoot, true))
  put(at.root, folder(at.root, plainName))
  put(at.jolietRoot, folder(at.jolietRoot, utf16be))
  return image
}
