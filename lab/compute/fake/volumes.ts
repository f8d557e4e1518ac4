/**
 * Disk images of fake guests: small JSON files that say what a disk holds, under the same paths and links as real
 * ones. A real image (qcow2, raw, ISO) can be copied into one: what it holds is then "some Debian", remembered by
 * its SHA-256.
 */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import type { CopyOptions, DiskFormat, VolumeInfo, VolumeStore } from '../driver.ts'
import type { BlobStore, StoredNode } from './filesystem.ts'

/** What a disk or a partition holds. */
export type StoredContent =
  | { readonly kind: 'blank' }
  /** Copied from a real image: boots as the Debian cloud image that fake guests model. */
  | { readonly kind: 'image'; readonly sha256: string; readonly bytes: number }
  | { readonly kind: 'filesystem'; readonly type: string; readonly uuid: string; readonly label: string; readonly tree: StoredNode }
  /** Something else with a signature that `blkid` shows: never to be overwritten by anybody. */
  | { readonly kind: 'foreign'; readonly type: string; readonly uuid: string }
  | { readonly kind: 'partitions'; readonly partitions: Readonly<Record<string, StoredContent>> }

export interface StoredVolume {
  readonly fakeVolume: 1
  readonly format: DiskFormat
  readonly virtualBytes: number
  /** Relative path of the volume this one is linked to; its content holds until this one is written. */
  readonly backing?: string
  readonly content?: StoredContent
}

const MAGIC = '{"fakeVolume":1,'

async function head(path: string, bytes: number): Promise<Buffer> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`cannot open image '${path}': ${error.code ?? error.message}`)
  })
  try {
    const buffer = Buffer.alloc(bytes)
    const { bytesRead } = await file.read(buffer, 0, bytes, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Virtual size and format of a real image. qcow2: magic and big-endian size at offset 24 (QEMU docs/interop/qcow2). */
async function inspect(path: string): Promise<{ format: DiskFormat; virtualBytes: number; allocatedBytes: number }> {
  const start = await head(path, 32)
  const { size, blocks } = await stat(path)
  if (start.length >= 32 && start.toString('latin1', 0, 4) === 'QFI\xfb')
    return { format: 'qcow2', virtualBytes: Number(start.readBigUInt64BE(24)), allocatedBytes: blocks * 512 }
  return { format: 'raw', virtualBytes: size, allocatedBytes: blocks * 512 }
}

export async function isFakeVolume(path: string): Promise<boolean> {
  return (await head(path, MAGIC.length)).toString('latin1') === MAGIC
}

// Reading, changing and writing a volume happens without a pause in between, so that two changes never cross.
function load(path: string): StoredVolume {
  return JSON.parse(readFileSync(path, 'utf8')) as StoredVolume
}

/** Replaces a volume as a whole, so that a killed lab leaves the old one or the new one. */
function save(path: string, volume: StoredVolume): void {
  const temporary = `${path}.tmp`
  try {
    writeFileSync(temporary, JSON.stringify(volume))
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/** The content of a volume, looked up through what it is linked to. */
export function loadContent(path: string): StoredContent {
  const volume = load(path)
  if (volume.content) return volume.content
  if (volume.backing !== undefined) return loadContent(resolve(dirname(path), volume.backing))
  return { kind: 'blank' }
}

export function saveContent(path: string, content: StoredContent): void {
  save(path, { ...load(path), content })
}

/** Large file contents, once each, in `folder`. */
export function createBlobStore(folder: string): BlobStore {
  return {
    save(sha256, data) {
      const path = join(folder, sha256)
      if (existsSync(path)) return
      mkdirSync(folder, { recursive: true })
      writeFileSync(`${path}.tmp`, data)
      renameSync(`${path}.tmp`, path)
    },
    load: (sha256) => readFileSync(join(folder, sha256)),
  }
}

async function hash(path: string, bytes: number, options: CopyOptions): Promise<string> {
  const sum = createHash('sha256')
  let done = 0
  for await (const chunk of createReadStream(path, {
    highWaterMark: 1 << 20,
    ...(options.signal && { signal: options.signal }),
  }) as AsyncIterable<Buffer>) {
    sum.update(chunk)
    options.onProgress?.(bytes === 0 ? 1 : (done += chunk.length) / bytes)
  }
  return sum.digest('hex')
}

export function createVolumeStore(): VolumeStore {
  const absent = (path: string): void => {
    if (existsSync(path)) throw new Error(`image '${path}' exists already`)
  }
  return {
    async create(path, { format, bytes }) {
      absent(path)
      save(path, { fakeVolume: 1, format, virtualBytes: bytes, content: { kind: 'blank' } })
    },
    async info(path): Promise<VolumeInfo> {
      if (!(await isFakeVolume(path))) return inspect(path)
      const volume = load(path)
      const { size } = await stat(path)
      return {
        format: volume.format,
        virtualBytes: volume.virtualBytes,
        allocatedBytes: size,
        ...(volume.backing !== undefined && { backing: resolve(dirname(path), volume.backing) }),
      }
    },
    async copy(source, target, options) {
      options.signal?.throwIfAborted()
      absent(target)
      if (await isFakeVolume(source)) {
        const { virtualBytes } = load(source)
        save(target, { fakeVolume: 1, format: options.format, virtualBytes, content: loadContent(source) })
      } else {
        const { virtualBytes } = await inspect(source)
        const { size } = await stat(source)
        const sha256 = await hash(source, size, options)
        save(target, { fakeVolume: 1, format: options.format, virtualBytes, content: { kind: 'image', sha256, bytes: size } })
      }
      options.onProgress?.(1)
    },
    async link(base, target) {
      absent(target)
      const { virtualBytes } = load(base)
      save(target, { fakeVolume: 1, format: 'qcow2', virtualBytes, backing: relative(dirname(target), base) })
    },
    async resize(path, bytes) {
      const volume = load(path)
      if (bytes < volume.virtualBytes) throw new Error(`shrinking disks is not supported: ${bytes} < ${volume.virtualBytes} bytes`)
      save(path, { ...volume, virtualBytes: bytes })
    },
    async rename(from, to, dependents = []) {
      absent(to)
      if (await isFakeVolume(from)) {
        const volume = load(from)
        if (volume.backing !== undefined) save(from, { ...volume, backing: relative(dirname(to), resolve(dirname(from), volume.backing)) })
      }
      await rename(from, to)
      for (const path of dependents) save(path, { ...load(path), backing: relative(dirname(path), to) })
    },
    async remove(path) {
      await rm(path)
    },
  }
}
