/**
 * Writes an ISO 9660 image (ECMA-119) with Rock Ridge and Joliet names, without any system program: seeds are
 * made on Linux and macOS alike. The same files give the same bytes.
 *
 * Rock Ridge (IEEE P1282, in SUSP) is what Linux reads: long names, and modes that let only root in. Joliet is
 * for people who look into a seed on another system.
 */

const sector = 2048
/** A fixed time, so that a seed tells nothing but its files: 2020-01-01 00:00:00 UTC. */
const time = { year: 2020, month: 1, day: 1 }
/** S_IFREG 0400 and S_IFDIR 0500: a seed holds secrets. */
const fileMode = 0o100400
const folderMode = 0o040500

interface File {
  readonly kind: 'file'
  readonly name: string
  readonly content: Buffer
  extent: number
}

interface Folder {
  readonly kind: 'folder'
  readonly name: string
  readonly parent: Folder | undefined
  readonly entries: (File | Folder)[]
  /** Where its records lie, in sectors, and how many bytes they take: for the plain tree and for Joliet's. */
  readonly place: Record<Tree, { extent: number; bytes: number; number: number }>
}

type Tree = 'plain' | 'joliet'

/**
 * @param label volume label of at most 16 letters, digits, `_` or `-`, e.g. `cidata`
 * @param files content by path: `/` separates folders, names are letters, digits, `.`, `_` and `-`
 * @throws Error (a bug of the caller) for a name or label that can't be written
 */
export function renderIso(label: string, files: ReadonlyMap<string, Uint8Array | string>): Buffer {
  if (!/^[A-Za-z0-9_-]{1,16}$/.test(label)) throw new Error(`not a volume label: ${label}`)
  const root = plant(files)
  const folders = { plain: inPathOrder(root, 'plain'), joliet: inPathOrder(root, 'joliet') }
  const tables = {
    plain: folders.plain.map((folder) => pathEntry(folder, 'plain')),
    joliet: folders.joliet.map((folder) => pathEntry(folder, 'joliet')),
  }
  const tableBytes = { plain: total(tables.plain), joliet: total(tables.joliet) }

  // 16 system sectors, two volume descriptors and their end, four path tables, the folders of both trees, the files.
  let next = 19
  const take = (bytes: number): number => {
    const extent = next
    next += Math.ceil(bytes / sector)
    return extent
  }
  const tableAt = {
    plain: { little: take(tableBytes.plain), big: take(tableBytes.plain) },
    joliet: { little: take(tableBytes.joliet), big: take(tableBytes.joliet) },
  }
  for (const tree of ['plain', 'joliet'] as const) {
    for (const folder of folders[tree]) {
      folder.place[tree].bytes = layOut(folder, tree).length
      folder.place[tree].extent = take(folder.place[tree].bytes)
    }
  }
  const all = everyFile(root)
  for (const file of all) file.extent = file.content.length === 0 ? 0 : take(file.content.length)

  const image = Buffer.alloc(next * sector)
  for (const [index, tree] of (['plain', 'joliet'] as const).entries()) {
    descriptor(tree, label, next, root, tableBytes[tree], tableAt[tree]).copy(image, (16 + index) * sector)
    // Only now are the places known that the path tables and records name.
    Buffer.concat(folders[tree].map((folder) => pathEntry(folder, tree))).copy(image, tableAt[tree].little * sector)
    Buffer.concat(folders[tree].map((folder) => pathEntry(folder, tree, true))).copy(image, tableAt[tree].big * sector)
    for (const folder of folders[tree]) layOut(folder, tree).copy(image, folder.place[tree].extent * sector)
  }
  Buffer.from([255, ...Buffer.from('CD001'), 1]).copy(image, 18 * sector)
  for (const file of all) file.content.copy(image, file.extent * sector)
  return image
}

function plant(files: ReadonlyMap<string, Uint8Array | string>): Folder {
  const sapling = (name: string, parent: Folder | undefined): Folder => ({
    kind: 'folder',
    name,
    parent,
    entries: [],
    place: { plain: { extent: 0, bytes: 0, number: 0 }, joliet: { extent: 0, bytes: 0, number: 0 } },
  })
  const root = sapling('', undefined)
  for (const [path, content] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const parts = path.split('/')
    const name = parts.pop() ?? ''
    // ECMA-119 allows eight levels; 64 is Joliet's limit, and leaves room for Rock Ridge in one record.
    if (parts.length > 7 || [...parts, name].some((part) => !/^[A-Za-z0-9._-]{1,60}$/.test(part) || /^\.+$/.test(part)))
      throw new Error(`not a path for an ISO image: ${path}`)
    let folder = root
    for (const part of parts) {
      let inner = folder.entries.find((entry) => entry.name === part)
      if (inner === undefined) {
        inner = sapling(part, folder)
        folder.entries.push(inner)
      }
      if (inner.kind === 'file') throw new Error(`${path}: ${part} is a file`)
      folder = inner
    }
    if (folder.entries.some((entry) => entry.name === name)) throw new Error(`${path} is a folder`)
    folder.entries.push({ kind: 'file', name, content: Buffer.from(content), extent: 0 })
  }
  return root
}

const everyFile = (folder: Folder): File[] => folder.entries.flatMap((entry) => (entry.kind === 'file' ? [entry] : everyFile(entry)))
const total = (parts: readonly Buffer[]): number => parts.reduce((sum, part) => sum + part.length, 0)

/** The folder's entries by identifier, in the order that each tree wants (ECMA-119 9.3; Joliet: by UCS-2 value). */
function identified(folder: Folder, tree: Tree): { id: Buffer; entry: File | Folder }[] {
  const taken = new Set<string>()
  return folder.entries
    .map((entry) => ({
      id: tree === 'plain' ? Buffer.from(plainName(entry, taken), 'latin1') : ucs2(entry.kind === 'file' ? `${entry.name};1` : entry.name),
      entry,
    }))
    .sort((a, b) => Buffer.compare(a.id, b.id))
}

/** A level 1 name: eight upper-case letters, digits or `_`, three for the extension, and not used in this folder yet. */
function plainName(entry: File | Folder, taken: Set<string>): string {
  const clean = (text: string): string => text.toUpperCase().replace(/[^A-Z0-9_]/g, '_')
  const dot = entry.kind === 'file' ? entry.name.lastIndexOf('.') : -1
  const stem = clean(dot > 0 ? entry.name.slice(0, dot) : entry.name)
  const extension = dot > 0 ? clean(entry.name.slice(dot + 1)).slice(0, 3) : ''
  for (let attempt = 0; ; attempt++) {
    const mark = attempt === 0 ? '' : String(attempt)
    const short = stem.slice(0, 8 - mark.length) + mark
    const name = entry.kind === 'file' ? `${short}.${extension};1` : short
    if (taken.has(name)) continue
    taken.add(name)
    return name
  }
}

function ucs2(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16()
}

/** Parents before children, and numbered: path tables name a parent by its number (ECMA-119 6.9.1). */
function inPathOrder(root: Folder, tree: Tree): Folder[] {
  const order = [root]
  for (let at = 0; at < order.length; at++) {
    const folder = order[at]!
    folder.place[tree].number = at + 1
    for (const { entry } of identified(folder, tree)) if (entry.kind === 'folder') order.push(entry)
  }
  return order
}

function pathEntry(folder: Folder, tree: Tree, big = false): Buffer {
  const id = folder.parent === undefined ? Buffer.from([0]) : identified(folder.parent, tree).find(({ entry }) => entry === folder)!.id
  const entry = Buffer.alloc(8 + id.length + (id.length % 2))
  entry[0] = id.length
  const parent = (folder.parent ?? folder).place[tree].number
  if (big) {
    entry.writeUInt32BE(folder.place[tree].extent, 2)
    entry.writeUInt16BE(parent, 6)
  } else {
    entry.writeUInt32LE(folder.place[tree].extent, 2)
    entry.writeUInt16LE(parent, 6)
  }
  id.copy(entry, 8)
  return entry
}

/** A folder's records; none crosses the end of a sector, and the whole fills sectors. */
function layOut(folder: Folder, tree: Tree): Buffer {
  const here = folder.place[tree]
  const above = (folder.parent ?? folder).place[tree]
  const rocks = (entry: File | Folder, extra: Buffer[] = []): Buffer =>
    tree === 'plain' ? Buffer.concat([...extra, attributes(entry), ...stamps]) : Buffer.alloc(0)
  const records = [
    record(Buffer.from([0]), here.extent, here.bytes, true, rocks(folder, folder.parent === undefined ? susp : [])),
    record(Buffer.from([1]), above.extent, above.bytes, true, rocks(folder.parent ?? folder)),
    ...identified(folder, tree).map(({ id, entry }) => {
      const system = tree === 'plain' ? rocks(entry, [alternateName(entry.name)]) : Buffer.alloc(0)
      return entry.kind === 'file'
        ? record(id, entry.extent, entry.content.length, false, system)
        : record(id, entry.place[tree].extent, entry.place[tree].bytes, true, system)
    }),
  ]
  const parts: Buffer[] = []
  let at = 0
  const pad = (bytes: number): void => {
    parts.push(Buffer.alloc(bytes))
    at += bytes
  }
  for (const one of records) {
    const left = sector - (at % sector)
    if (one.length > left) pad(left)
    parts.push(one)
    at += one.length
  }
  if (at % sector !== 0) pad(sector - (at % sector))
  return Buffer.concat(parts)
}

/** ECMA-119 9.1. */
function record(id: Buffer, extent: number, bytes: number, folder: boolean, system: Buffer): Buffer {
  const named = 33 + id.length + (id.length % 2 === 0 ? 1 : 0)
  const length = named + system.length + (system.length % 2)
  const raw = Buffer.alloc(length)
  raw[0] = length
  both32(extent).copy(raw, 2)
  both32(bytes).copy(raw, 10)
  shortTime().copy(raw, 18)
  raw[25] = folder ? 2 : 0
  both16(1).copy(raw, 28)
  raw[32] = id.length
  id.copy(raw, 33)
  system.copy(raw, named)
  return raw
}

/** SUSP's SP (skip nothing) and ER, which names Rock Ridge; Linux looks for both in the root's first record. */
const susp = [
  Buffer.from([...Buffer.from('SP'), 7, 1, 0xbe, 0xef, 0]),
  Buffer.from([...Buffer.from('ER'), 18, 1, 10, 0, 0, 1, ...Buffer.from('RRIP_1991A')]),
]

/** RRIP 4.1.4 NM */
const alternateName = (name: string): Buffer => Buffer.from([...Buffer.from('NM'), 5 + name.length, 1, 0, ...Buffer.from(name)])

/** RRIP 4.1.1 PX: mode, links, user and group (root). */
function attributes(entry: File | Folder): Buffer {
  const links = entry.kind === 'file' ? 1 : 2 + entry.entries.filter((inner) => inner.kind === 'folder').length
  return Buffer.concat([
    Buffer.from([...Buffer.from('PX'), 36, 1]),
    both32(entry.kind === 'file' ? fileMode : folderMode),
    both32(links),
    both32(0),
    both32(0),
  ])
}

/** RRIP 4.1.6 TF: modified, read, attributes changed. */
const stamps = [Buffer.concat([Buffer.from([...Buffer.from('TF'), 26, 1, 0x0e]), shortTime(), shortTime(), shortTime()])]

/** ECMA-119 9.1.5 */
function shortTime(): Buffer {
  return Buffer.from([time.year - 1900, time.month, time.day, 0, 0, 0, 0])
}

/** Numbers stand there twice, least and most significant byte first. */
function both32(value: number): Buffer {
  const raw = Buffer.alloc(8)
  raw.writeUInt32LE(value, 0)
  raw.writeUInt32BE(value, 4)
  return raw
}

function both16(value: number): Buffer {
  const raw = Buffer.alloc(4)
  raw.writeUInt16LE(value, 0)
  raw.writeUInt16BE(value, 2)
  return raw
}

/** ECMA-119 8.4 (primary) and 8.5 (supplementary, with Joliet's escape sequence for UCS-2 level 3). */
function descriptor(
  tree: Tree,
  label: string,
  sectors: number,
  root: Folder,
  tableBytes: number,
  tableAt: { little: number; big: number },
): Buffer {
  const raw = Buffer.alloc(sector)
  const text = (value: string, at: number, length: number): void => {
    const blank = tree === 'plain' ? Buffer.alloc(length, ' ') : ucs2(' '.repeat(length >> 1))
    blank.copy(raw, at)
    ;(tree === 'plain' ? Buffer.from(value, 'latin1') : ucs2(value)).copy(raw, at, 0, length)
  }
  raw[0] = tree === 'plain' ? 1 : 2
  raw.write('CD001', 1, 'latin1')
  raw[6] = 1
  text('', 8, 32)
  text(label, 40, 32)
  both32(sectors).copy(raw, 80)
  if (tree === 'joliet') raw.write('%/E', 88, 'latin1')
  both16(1).copy(raw, 120)
  both16(1).copy(raw, 124)
  both16(sector).copy(raw, 128)
  both32(tableBytes).copy(raw, 132)
  raw.writeUInt32LE(tableAt.little, 140)
  raw.writeUInt32BE(tableAt.big, 148)
  record(Buffer.from([0]), root.place[tree].extent, root.place[tree].bytes, true, Buffer.alloc(0)).copy(raw, 156)
  for (const at of [190, 318, 446, 574]) text('', at, 128) // volume set, publisher, preparer, application
  for (const at of [702, 739, 776]) text('', at, 37) // copyright, abstract, bibliographic file
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${time.year}${two(time.month)}${two(time.day)}`
  for (const at of [813, 830]) raw.write(`${day}00000000`, at, 'latin1') // created, modified (16 digits, then the zone)
  for (const at of [847, 864]) raw.write('0'.repeat(16), at, 'latin1') // expires, effective: not said
  raw[881] = 1
  return raw
}
