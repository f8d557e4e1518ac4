/**
 * A guest's tree of mounted file systems, as the kernel shows it: path look-up through links and mounts, and file
 * operations with the permission checks of classic Unix modes. Synchronous: nothing here waits.
 */
import { VfsError } from './errno.ts'
import { directoryNode, fileNode, linkNode, type DirectoryNode, type Filesystem, type Node } from './filesystem.ts'

/** Whose rights an operation has. */
export interface Credentials {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

export const ROOT: Credentials = { uid: 0, gid: 0, groups: [0] }

export interface Mount {
  /** Absolute path; `/` is the first mount. */
  readonly target: string
  /** What `findmnt` calls the source: `/dev/sda1`, `tmpfs`, … */
  readonly source: string
  readonly filesystem: Filesystem
  readonly options: string
  /** The folder that is covered by this mount. */
  readonly over?: DirectoryNode
}

interface Found {
  readonly node: Node | undefined
  readonly parent: DirectoryNode
  readonly name: string
  readonly filesystem: Filesystem
  /** Absolute path without links. */
  readonly path: string
}

export class Vfs {
  readonly mounts: Mount[] = []

  constructor(root: Filesystem, source: string) {
    this.mounts.push({ target: '/', source, filesystem: root, options: 'rw,relatime' })
  }

  /** Mounts at an existing folder. */
  mount(target: string, filesystem: Filesystem, source: string, options = 'rw,relatime'): void {
    const found = this.#find(target, 'mount', ROOT)
    if (!found.node) throw new VfsError('ENOENT', 'mount', target)
    if (found.node.kind !== 'directory') throw new VfsError('ENOTDIR', 'mount', target)
    this.mounts.push({ target: found.path, source, filesystem, options, over: found.node })
  }

  unmount(target: string): Mount {
    const path = this.realpath(target, ROOT)
    const index = this.mounts.findLastIndex((mount) => mount.target === path)
    const mount = this.mounts[index]
    if (index <= 0 || !mount) throw new VfsError('EINVAL', 'umount', target)
    if (this.mounts.some((other, at) => at > index && other.target.startsWith(`${path}/`))) throw new VfsError('EBUSY', 'umount', target)
    this.mounts.splice(index, 1)
    return mount
  }

  /** The mount that `path` lies on. */
  mountOf(path: string): Mount {
    const { filesystem } = this.#find(path, 'stat', ROOT)
    const mount = this.mounts.findLast((each) => each.filesystem === filesystem)
    if (!mount) throw new VfsError('ENOENT', 'stat', path)
    return mount
  }

  lookup(path: string, as: Credentials, follow = true, operation = 'stat'): Node {
    const { node } = this.#find(path, operation, as, follow)
    if (!node) throw new VfsError('ENOENT', operation, path)
    return node
  }

  exists(path: string, as: Credentials = ROOT): boolean {
    try {
      return this.#find(path, 'stat', as).node !== undefined
    } catch {
      return false
    }
  }

  realpath(path: string, as: Credentials): string {
    const found = this.#find(path, 'realpath', as)
    if (!found.node) throw new VfsError('ENOENT', 'realpath', path)
    return found.path
  }

  read(path: string, as: Credentials = ROOT): Buffer {
    const node = this.lookup(path, as, true, 'open')
    if (node.kind === 'directory') throw new VfsError('EISDIR', 'read', path)
    this.#need(node, 4, as, 'open', path)
    if (node.kind === 'special') return node.read()
    return node.kind === 'file' ? node.data : Buffer.alloc(0)
  }

  readText(path: string, as: Credentials = ROOT): string {
    return this.read(path, as).toString('utf8')
  }

  readdir(path: string, as: Credentials): DirectoryNode {
    const node = this.lookup(path, as, true, 'scandir')
    if (node.kind !== 'directory') throw new VfsError('ENOTDIR', 'scandir', path)
    this.#need(node, 4, as, 'scandir', path)
    return node
  }

  write(
    path: string,
    data: Buffer | string,
    as: Credentials = ROOT,
    options: { append?: boolean; mode?: number; umask?: number } = {},
  ): void {
    const bytes = typeof data === 'string' ? Buffer.from(data) : Buffer.from(data)
    const found = this.#find(path, 'open', as)
    if (found.node?.kind === 'directory') throw new VfsError('EISDIR', 'open', path)
    if (found.node) {
      this.#need(found.node, 2, as, 'open', path)
      if (found.node.kind === 'special') return found.node.write?.(bytes)
      if (found.node.kind !== 'file') return
      this.#writable(found, path)
      found.node.data = options.append ? Buffer.concat([found.node.data, bytes]) : bytes
      found.node.mtime = Date.now()
      return
    }
    this.#changeable(found, as, 'open', path)
    const mode = (options.mode ?? 0o666) & ~(options.umask ?? 0o022)
    found.parent.entries.set(found.name, fileNode(bytes, mode, as.uid, this.#groupFor(found.parent, as)))
    found.parent.mtime = Date.now()
  }

  /** Why a file can't be written; undefined if it can. */
  writeProblem(path: string, as: Credentials): VfsError | undefined {
    try {
      const found = this.#find(path, 'open', as)
      if (found.node?.kind === 'directory') return new VfsError('EISDIR', 'open', path)
      this.#need(found.node ?? found.parent, 2, as, 'open', path)
      return found.filesystem.readOnly && found.node?.kind !== 'special' ? new VfsError('EROFS', 'open', path) : undefined
    } catch (error) {
      if (error instanceof VfsError) return error
      throw error
    }
  }

  mkdir(path: string, as: Credentials = ROOT, options: { parents?: boolean; mode?: number } = {}): void {
    const found = this.#find(path, 'mkdir', as, true, options.parents)
    if (found.node) {
      if (options.parents && found.node.kind === 'directory') return
      throw new VfsError('EEXIST', 'mkdir', path)
    }
    this.#changeable(found, as, 'mkdir', path)
    found.parent.entries.set(found.name, directoryNode(options.mode ?? 0o755, as.uid, this.#groupFor(found.parent, as)))
  }

  symlink(target: string, path: string, as: Credentials = ROOT): void {
    const found = this.#find(path, 'symlink', as, false)
    if (found.node) throw new VfsError('EEXIST', 'symlink', path)
    this.#changeable(found, as, 'symlink', path)
    found.parent.entries.set(found.name, linkNode(target, as.uid, as.gid))
  }

  hardlink(existing: string, path: string, as: Credentials): void {
    const node = this.lookup(existing, as, false, 'link')
    const found = this.#find(path, 'link', as, false)
    if (found.node) throw new VfsError('EEXIST', 'link', path)
    this.#changeable(found, as, 'link', path)
    found.parent.entries.set(found.name, node)
  }

  /** Puts a device or any other ready node at a path, replacing what is there. */
  place(path: string, node: Node): void {
    const found = this.#find(path, 'mknod', ROOT, false, true)
    this.#writable(found, path)
    found.parent.entries.set(found.name, node)
  }

  remove(path: string, as: Credentials = ROOT, options: { recursive?: boolean; force?: boolean } = {}): void {
    let found: Found
    try {
      found = this.#find(path, 'rm', as, false)
    } catch (error) {
      if (options.force && error instanceof VfsError && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return
      throw error
    }
    const { node, parent, name } = found
    if (!node) {
      if (options.force) return
      throw new VfsError('ENOENT', 'rm', path)
    }
    this.#changeable(found, as, 'rm', path)
    if (this.mounts.some((mount) => mount.target === found.path || mount.target.startsWith(`${found.path}/`)))
      throw new VfsError('EBUSY', 'rm', path)
    if (node.kind === 'directory' && node.entries.size > 0 && !options.recursive) throw new VfsError('ENOTEMPTY', 'rm', path)
    parent.entries.delete(name)
    parent.mtime = Date.now()
  }

  rename(from: string, to: string, as: Credentials = ROOT): void {
    const source = this.#find(from, 'rename', as, false)
    if (!source.node) throw new VfsError('ENOENT', 'rename', from)
    let target = this.#find(to, 'rename', as, false)
    if (target.node?.kind === 'directory' && source.node.kind !== 'directory') throw new VfsError('EISDIR', 'rename', to)
    if (target.node?.kind === 'directory' && target.node.entries.size > 0) throw new VfsError('ENOTEMPTY', 'rename', to)
    this.#changeable(source, as, 'rename', from)
    this.#changeable(target, as, 'rename', to)
    if (source.node === target.node) return
    source.parent.entries.delete(source.name)
    target = this.#find(to, 'rename', as, false)
    target.parent.entries.set(target.name, source.node)
  }

  chmod(path: string, mode: number, as: Credentials = ROOT): void {
    const found = this.#find(path, 'chmod', as)
    if (!found.node) throw new VfsError('ENOENT', 'chmod', path)
    if (as.uid !== 0 && as.uid !== found.node.uid) throw new VfsError('EPERM', 'chmod', path)
    this.#writable(found, path)
    found.node.mode = mode & 0o7777
  }

  chown(path: string, uid: number | undefined, gid: number | undefined, as: Credentials = ROOT, follow = true): void {
    const found = this.#find(path, 'chown', as, follow)
    if (!found.node) throw new VfsError('ENOENT', 'chown', path)
    if (as.uid !== 0 && !(uid === undefined && found.node.uid === as.uid && as.groups.includes(gid ?? as.gid)))
      throw new VfsError('EPERM', 'chown', path)
    this.#writable(found, path)
    if (uid !== undefined) found.node.uid = uid
    if (gid !== undefined) found.node.gid = gid
  }

  utimes(path: string, mtime: number, as: Credentials = ROOT): void {
    const found = this.#find(path, 'utime', as)
    if (!found.node) throw new VfsError('ENOENT', 'utime', path)
    this.#writable(found, path)
    found.node.mtime = mtime
  }

  /** All paths below a folder, mounts included. */
  paths(below = '/'): string[] {
    const list: string[] = []
    const walk = (path: string, folder: DirectoryNode, filesystem: Filesystem): void => {
      for (const [name, child] of folder.entries) {
        list.push(`${path}/${name}`)
        const here = this.#covered(child, filesystem)
        if (here.node.kind === 'directory') walk(`${path}/${name}`, here.node, here.filesystem)
      }
    }
    const { node, filesystem, path } = this.#find(below, 'scandir', ROOT)
    if (node?.kind === 'directory') walk(path === '/' ? '' : path, node, filesystem)
    return list
  }

  may(node: Node, bit: 1 | 2 | 4, as: Credentials): boolean {
    if (as.uid === 0) return bit !== 1 || node.kind === 'directory' || (node.mode & 0o111) !== 0
    const shift = node.uid === as.uid ? 6 : node.gid === as.gid || as.groups.includes(node.gid) ? 3 : 0
    return ((node.mode >> shift) & bit) !== 0
  }

  #need(node: Node, bit: 1 | 2 | 4, as: Credentials, operation: string, path: string): void {
    if (!this.may(node, bit, as)) throw new VfsError('EACCES', operation, path)
  }

  #writable(found: Found, path: string): void {
    if (found.filesystem.readOnly) throw new VfsError('EROFS', 'open', path)
    found.filesystem.changes++
  }

  /** May the entry be made, replaced or removed? The sticky bit of /tmp is honoured. */
  #changeable(found: Found, as: Credentials, operation: string, path: string): void {
    if (found.name === '') throw new VfsError('EBUSY', operation, path)
    this.#need(found.parent, 2, as, operation, path)
    if (found.parent.mode & 0o1000 && found.node && as.uid !== 0 && found.node.uid !== as.uid && found.parent.uid !== as.uid)
      throw new VfsError('EPERM', operation, path)
    this.#writable(found, path)
  }

  #groupFor(parent: DirectoryNode, as: Credentials): number {
    return parent.mode & 0o2000 ? parent.gid : as.gid
  }

  #covered(node: Node, filesystem: Filesystem): { node: Node; filesystem: Filesystem } {
    for (;;) {
      const mount = this.mounts.findLast((each) => each.over === node)
      if (!mount) return { node, filesystem }
      node = mount.filesystem.root
      filesystem = mount.filesystem
    }
  }

  /** Resolves a path. Only the last part may be missing, unless `create` makes missing folders. */
  #find(path: string, operation: string, as: Credentials, follow = true, create = false): Found {
    const root = this.mounts[0]
    if (!root) throw new VfsError('ENOENT', operation, path)
    const top = this.#covered(root.filesystem.root, root.filesystem)
    const trail: { node: DirectoryNode; filesystem: Filesystem; name: string }[] = []
    const parts = path.split('/').filter((part) => part !== '' && part !== '.')
    let here = top
    let links = 0
    while (parts.length > 0) {
      const part = parts.shift() ?? ''
      if (here.node.kind !== 'directory') throw new VfsError('ENOTDIR', operation, path)
      this.#need(here.node, 1, as, operation, path)
      if (part === '..') {
        const up = trail.pop()
        here = up ? { node: up.node, filesystem: up.filesystem } : top
        continue
      }
      let child = here.node.entries.get(part)
      const last = parts.length === 0
      if (!child && !last) {
        if (!create) throw new VfsError('ENOENT', operation, path)
        this.#need(here.node, 2, as, operation, path)
        if (here.filesystem.readOnly) throw new VfsError('EROFS', operation, path)
        child = directoryNode(0o755, as.uid, as.gid)
        here.node.entries.set(part, child)
        here.filesystem.changes++
      }
      if (!child) return { node: undefined, parent: here.node, name: part, filesystem: here.filesystem, path: join(trail, part) }
      if (child.kind === 'link' && (follow || !last)) {
        if (++links > 40) throw new VfsError('ELOOP', operation, path)
        parts.unshift(...child.target.split('/').filter((each) => each !== '' && each !== '.'))
        if (child.target.startsWith('/')) {
          trail.length = 0
          here = top
        }
        continue
      }
      const next = this.#covered(child, here.filesystem)
      if (last) return { node: next.node, parent: here.node, name: part, filesystem: next.filesystem, path: join(trail, part) }
      trail.push({ node: here.node, filesystem: here.filesystem, name: part })
      here = next
    }
    const up = trail.pop()
    const parent = up?.node ?? (top.node as DirectoryNode)
    return { node: here.node, parent, name: up?.name ?? '', filesystem: here.filesystem, path: up ? join(trail, up.name) : '/' }
  }
}

function join(trail: readonly { name: string }[], name: string): string {
  return `/${[...trail.map((each) => each.name), name].join('/')}`
}
