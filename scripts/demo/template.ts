/** Looks for planted canaries on a template's disk and in everything that a deployment writes. */
import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Which of these byte strings occur in a file, read as a stream. */
export async function occurring(open: AsyncIterable<Uint8Array>, needles: readonly string[]): Promise<Set<string>> {
  const found = new Set<string>()
  const wanted = needles.map((text) => ({ text, bytes: Buffer.from(text) }))
  const overlap = Math.max(...wanted.map(({ bytes }) => bytes.length), 1) - 1
  let tail = Buffer.alloc(0)
  for await (const part of open) {
    const chunk = tail.length === 0 ? Buffer.from(part) : Buffer.concat([tail, part])
    for (const { text, bytes } of wanted) if (!found.has(text) && chunk.includes(bytes)) found.add(text)
    tail = chunk.subarray(Math.max(0, chunk.length - overlap))
  }
  return found
}

export interface Disk {
  /** Which of these texts occur anywhere on it, in free blocks too. */
  search(needles: readonly string[]): Promise<Set<string>>
  /** The content of a file of its root file system; undefined if it is not there. */
  file(path: string): Promise<string | undefined>
  /** Names in a folder of its root file system, `.` and `..` left out; none if it is not there. */
  folder(path: string): Promise<string[]>
}

/** Opens a disk image as a guest would see it, backing files included. `scratch` is a folder with room for a sparse copy. */
export async function withDisk<T>(image: string, scratch: string, work: (disk: Disk) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(scratch, 'disk-'))
  const run = promisify(execFile)
  try {
    const raw = join(folder, 'disk.raw')
    await run('qemu-img', ['convert', '-U', '-f', image.endsWith('.raw') ? 'raw' : 'qcow2', '-O', 'raw', image, raw])
    const { partitiontable } = JSON.parse((await run('sfdisk', ['--json', raw])).stdout) as { partitiontable: { partitions: { start: number; size: number }[] } }
    const root = partitiontable.partitions.sort((one, other) => other.size - one.size)[0]
    if (root === undefined) throw new Error(`${image} has no partition`)
    // debugfs reads ext4 without mounting it, so nothing of it touches this computer.
    const debugfs = async (request: string): Promise<string> => (await run('debugfs', ['-R', request, `${raw}?offset=${root.start * 512}`], { maxBuffer: 64 << 20 })).stdout
    const exists = async (path: string): Promise<boolean> => (await debugfs(`stat ${path}`)).includes('Inode:')
    return await work({
      search: (needles) => occurring(createReadStream(raw, { highWaterMark: 4 << 20 }), needles),
      file: async (path) => (await exists(path)) ? debugfs(`cat ${path}`) : undefined,
      folder: async (path) => (await exists(path)) ? (await debugfs(`ls -p ${path}`)).split('\n').flatMap((line) => line.split('/')[5] ?? []).filter((name) => name !== '.' && name !== '..' && name !== '') : []
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Which needles occur in which files below a folder. @returns `file: needle` lines */
export async function searchFolder(folder: string, needles: readonly string[], skip: (path: string) => boolean = () => false): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return searchFiles(files.filter((path) => !skip(path)), needles)
}

export async function searchFiles(files: readonly string[], needles: readonly string[]): Promise<string[]> {
  const hits: string[] = []
  for (const path of files) {
    for (const needle of await occurring(createReadStream(path, { highWaterMark: 1 << 20 }), needles)) hits.push(`${path}: ${needle.slice(0, 4)}…`)
  }
  return hits
}
