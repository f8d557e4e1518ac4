/**
 * File systems of fake guests: trees of nodes in memory, each with owner and mode, and how they are written into a
 * volume's model. A guest's whole memory (packages, container images, units, cloud-init's instance) is files in its
 * tree, so hygiene scripts, clones and reassigned disks have the effects that they have on real disks.
 */
import { createHash } from 'node:crypto'

interface Common {
  readonly ino: number
  mode: number
  uid: number
  gid: number
  /** Milliseconds since 1970. */
  mtime: number
}

export interface FileNode extends Common {
  readonly kind: 'file'
  data: Buffer
}
export interface DirectoryNode extends Common {
  readonly kind: 'directory'
  readonly entries: Map<string, Node>
}
export interface LinkNode extends Common {
  readonly kind: 'link'
  readonly target: string
}
/** A block device; `disk` is the kernel's name of it, e.g. `sda1`. */
export interface BlockNode extends Common {
  readonly kind: 'block'
  readonly disk: string
}
/** A device or a /proc file: `read` makes the content, writes go to `write` or are dropped. */
export interface SpecialNode extends Common {
  readonly kind: 'special'
  readonly device: boolean
  readonly read: () => Buffer
  readonly write?: (data: Buffer) => void
}
export type Node = FileNode | DirectoryNode | LinkNode | BlockNode | SpecialNode

let lastInode = 1

function common(mode: number, uid = 0, gid = 0, mtime = Date.now()): Common {
  return { ino: ++lastInode, mode, uid, gid, mtime }
}

export function fileNode(data: Buffer | string, mode = 0o644, uid = 0, gid = 0, mtime?: number): FileNode {
  return { kind: 'file', data: typeof data === 'string' ? Buffer.from(data) : data, ...common(mode, uid, gid, mtime) }
}

export function directoryNode(mode = 0o755, uid = 0, gid = 0, mtime?: number): DirectoryNode {
  return { kind: 'directory', entries: new Map(), ...common(mode, uid, gid, mtime) }
}

export function linkNode(target: string, uid = 0, gid = 0, mtime?: number): LinkNode {
  return { kind: 'link', target, ...common(0o777, uid, gid, mtime) }
}

export function blockNode(disk: string, gid = 6): BlockNode {
  return { kind: 'block', disk, ...common(0o660, 0, gid) }
}

export function specialNode(device: boolean, read: () => Buffer | string, write?: (data: Buffer) => void, mode = 0o666): SpecialNode {
  const content = (): Buffer => {
    const data = read()
    return typeof data === 'string' ? Buffer.from(data) : data
  }
  return { kind: 'special', device, read: content, ...(write && { write }), ...common(mode) }
}

/** A disk with a file of this name at its top has no room for anything more; what is on it stays, and may be removed. */
export const ballast = 'ballast'

/** One file system: a tree and what `blkid` tells of it. */
export class Filesystem {
  readonly type: string
  readonly root: DirectoryNode
  readonly uuid: string
  label: string
  readOnly: boolean
  /** The file system that this one shows a folder of (a bind mount). */
  readonly #origin: Filesystem | undefined
  #counted = 0

  /** Counts changes, so that a disk knows whether it has to be written. */
  get changes(): number {
    return this.#origin ? this.#origin.changes : this.#counted
  }
  set changes(count: number) {
    if (this.#origin) this.#origin.changes = count
    else this.#counted = count
  }

  get isFull(): boolean {
    return (this.#origin ?? this).root.entries.has(ballast)
  }

  constructor(
    type: string,
    options: { root?: DirectoryNode; uuid?: string; label?: string; readOnly?: boolean; origin?: Filesystem } = {},
  ) {
    this.#origin = options.origin
    this.type = type
    this.root = options.root ?? directoryNode()
    this.uuid = options.uuid ?? crypto.randomUUID()
    this.label = options.label ?? ''
    this.readOnly = options.readOnly ?? false
  }

  /** Puts a node at an absolute path of this file system and makes missing folders; for building trees, no permissions. */
  put(path: string, node: Node): void {
    const parts = path.split('/').filter(Boolean)
    const name = parts.pop()
    if (name === undefined) throw new Error('a file system keeps its root')
    let folder = this.root
    for (const part of parts) {
      let next = folder.entries.get(part)
      if (next?.kind === 'link') throw new Error(`${path}: leads through a link`)
      if (!next) folder.entries.set(part, (next = directoryNode()))
      if (next.kind !== 'directory') throw new Error(`${path}: ${part} is not a folder`)
      folder = next
    }
    folder.entries.set(name, node)
    this.changes++
  }
}

/** A tree as it is written into a volume's model: short keys, since there are thousands. */
export type StoredNode =
  | { f: string; m: number; u?: number; g?: number; t: number } // text
  | { b: string; m: number; u?: number; g?: number; t: number } // base64
  | { h: string; m: number; u?: number; g?: number; t: number } // SHA-256 of content that is kept beside the volumes
  | { d: Record<string, StoredNode>; m: number; u?: number; g?: number; t: number }
  | { l: string; m: number; u?: number; g?: number; t: number }

/** Keeps large file contents once, whatever the number of clones. */
export interface BlobStore {
  save(sha256: string, data: Buffer): void
  load(sha256: string): Buffer
}

const BLOB_FROM = 16 * 1024

export function storeTree(node: Node, blobs: BlobStore): StoredNode | undefined {
  const meta = { m: node.mode, ...(node.uid !== 0 && { u: node.uid }), ...(node.gid !== 0 && { g: node.gid }), t: node.mtime }
  switch (node.kind) {
    case 'directory': {
      const d: Record<string, StoredNode> = {}
      for (const [name, child] of node.entries) {
        const stored = storeTree(child, blobs)
        if (stored) d[name] = stored
      }
      return { d, ...meta }
    }
    case 'link':
      return { l: node.target, ...meta }
    case 'file': {
      if (node.data.length >= BLOB_FROM) {
        const h = createHash('sha256').update(node.data).digest('hex')
        blobs.save(h, node.data)
        return { h, ...meta }
      }
      const text = node.data.toString('utf8')
      return Buffer.from(text).equals(node.data) ? { f: text, ...meta } : { b: node.data.toString('base64'), ...meta }
    }
    default:
      return undefined // devices live in /dev and /proc only, which are not on disks
  }
}

export function loadTree(stored: StoredNode, blobs: BlobStore): Node {
  const uid = stored.u ?? 0
  const gid = stored.g ?? 0
  if ('d' in stored) {
    const node = directoryNode(stored.m, uid, gid, stored.t)
    for (const [name, child] of Object.entries(stored.d)) node.entries.set(name, loadTree(child, blobs))
    return node
  }
  if ('l' in stored) return linkNode(stored.l, uid, gid, stored.t)
  const data = 'f' in stored ? Buffer.from(stored.f) : 'b' in stored ? Buffer.from(stored.b, 'base64') : blobs.load(stored.h)
  return fileNode(data, stored.m, uid, gid, stored.t)
}
