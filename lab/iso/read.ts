/**
 * Reads ISO 9660 images: names by Rock Ridge (IEEE P1282) if the image has them, else by Joliet, else the plain
 * upper-case names of ISO 9660 in lower case, as Linux shows them. Enough for seeds and cloud-init drives:
 * folders, files, extents of several records; symbolic links and relocated folders are left out.
 */
import { readFile } from 'node:fs/promises'

const SECTOR = 2048

export interface IsoImage {
  /** The volume label, trailing blanks removed, e.g. `cidata`. */
  readonly label: string
  readonly names: 'rock-ridge' | 'joliet' | 'plain'
  /** Content by path without a leading slash, e.g. `user-data`. */
  readonly files: ReadonlyMap<string, Buffer>
  /** Every folder, without a leading slash; parents come before children. */
  readonly folders: readonly string[]
}

interface Volume {
  readonly label: string
  readonly root: Buffer
}

interface DirectoryRecord {
  readonly raw: Buffer
  readonly extent: number
  readonly bytes: number
  readonly folder: boolean
  /** More records of the same file follow (files over 4 GiB). */
  readonly more: boolean
  readonly name: Buffer
  readonly system: Buffer
}

/** Reads the image at `path`. Rejects with a plain message if it is not ISO 9660. */
export async function readIsoFile(path: string): Promise<IsoImage> {
  return readIso(await readFile(path))
}

/** Throws a plain Error if `image` is not ISO 9660 or is cut short. */
export function readIso(image: Buffer): IsoImage {
  let primary: Volume | undefined
  let joliet: Volume | undefined
  for (let sector = 16; ; sector++) {
    const descriptor = slice(image, sector * SECTOR, SECTOR)
    if (descriptor.toString('latin1', 1, 6) !== 'CD001') throw new Error('not an ISO 9660 image: no volume descriptor')
    const type = descriptor[0]
    if (type === 255) break
    const root = descriptor.subarray(156, 190)
    if (type === 1) primary = { label: descriptor.toString('latin1', 40, 72).trimEnd(), root }
    if (type === 2 && /^%\/[@CE]/.test(descriptor.toString('latin1', 88, 91))) {
      joliet = { label: utf16be(descriptor.subarray(40, 72)).replace(/[\0 ]+$/, ''), root }
    }
  }
  if (!primary) throw new Error('not an ISO 9660 image: no primary volume descriptor')

  const skip = suspSkip(image, primary.root)
  const names = skip !== undefined ? 'rock-ridge' : joliet ? 'joliet' : 'plain'
  const nameOf = (entry: DirectoryRecord): string => {
    if (names === 'rock-ridge') return rockRidgeName(image, entry, skip ?? 0) ?? plainName(entry.name)
    if (names === 'joliet') return utf16be(entry.name).replace(/;1$/, '')
    return plainName(entry.name)
  }

  const files = new Map<string, Buffer>()
  const folders: string[] = []
  const seen = new Set<number>()
  const walk = (folder: DirectoryRecord, path: string): void => {
    if (seen.has(folder.extent)) return
    seen.add(folder.extent)
    let pending: Buffer[] = []
    for (const entry of records(image, folder)) {
      if (entry.name.length === 1 && (entry.name[0] === 0 || entry.name[0] === 1)) continue
      const name = path + nameOf(entry)
      if (entry.folder) {
        folders.push(name)
        walk(entry, `${name}/`)
        continue
      }
      pending.push(slice(image, entry.extent * SECTOR, entry.bytes))
      if (entry.more) continue
      files.set(name, pending.length === 1 && pending[0] ? pending[0] : Buffer.concat(pending))
      pending = []
    }
  }
  walk(record((names === 'joliet' && joliet ? joliet : primary).root), '')
  return { label: primary.label, names, files, folders }
}

function slice(image: Buffer, start: number, length: number): Buffer {
  if (start + length > image.length) throw new Error(`not a whole ISO 9660 image: ${start + length} bytes expected, ${image.length} there`)
  return image.subarray(start, start + length)
}

function record(raw: Buffer): DirectoryRecord {
  const flags = raw[25] ?? 0
  const nameBytes = raw[32] ?? 0
  const nameEnd = 33 + nameBytes
  return {
    raw,
    extent: raw.readUInt32LE(2),
    bytes: raw.readUInt32LE(10),
    folder: (flags & 2) !== 0,
    more: (flags & 128) !== 0,
    name: raw.subarray(33, nameEnd),
    system: raw.subarray(nameEnd + (nameBytes % 2 === 0 ? 1 : 0)),
  }
}

/** Records never cross a sector's end: a zero length means "go on in the next sector" (ECMA-119, 6.8.1.1). */
function* records(image: Buffer, folder: DirectoryRecord): Generator<DirectoryRecord> {
  const content = slice(image, folder.extent * SECTOR, folder.bytes)
  for (let at = 0; at < content.length; ) {
    const length = content[at] ?? 0
    if (length === 0) {
      at = (Math.floor(at / SECTOR) + 1) * SECTOR
      continue
    }
    yield record(content.subarray(at, at + length))
    at += length
  }
}

/** The bytes to skip in each system use field if the image has Rock Ridge names, as the root's first record says. */
function suspSkip(image: Buffer, root: Buffer): number | undefined {
  const first = records(image, record(root)).next()
  if (first.done) return undefined
  const { system } = first.value
  if (system.length < 7 || system.toString('latin1', 0, 2) !== 'SP' || system[4] !== 0xbe || system[5] !== 0xef) return undefined
  for (const entry of records(image, record(root))) if (rockRidgeName(image, entry, system[6] ?? 0) !== undefined) return system[6]
  return undefined
}

function rockRidgeName(image: Buffer, entry: DirectoryRecord, skip: number): string | undefined {
  const parts: Buffer[] = []
  const areas: Buffer[] = [entry.system.subarray(skip)]
  for (let area = areas.shift(); area; area = areas.shift()) {
    for (let at = 0; at + 4 <= area.length; ) {
      const signature = area.toString('latin1', at, at + 2)
      const length = area[at + 2] ?? 0
      if (length < 4 || signature === 'ST') break
      if (signature === 'NM') parts.push(area.subarray(at + 5, at + length))
      if (signature === 'CE')
        areas.push(slice(image, area.readUInt32LE(at + 4) * SECTOR + area.readUInt32LE(at + 12), area.readUInt32LE(at + 20)))
      at += length
    }
  }
  return parts.length > 0 ? Buffer.concat(parts).toString('utf8') : undefined
}

function plainName(name: Buffer): string {
  return name.toString('latin1').replace(/;\d+$/, '').replace(/\.$/, '').toLowerCase()
}

function utf16be(bytes: Buffer): string {
  return Buffer.from(bytes.subarray(0, bytes.length & ~1))
    .swap16()
    .toString('utf16le')
}
