/** The SFTP server of a fake guest (version 3 of the protocol), over its files with the user's rights. */
import { posix } from 'node:path'
import ssh2, { type Attributes, type SFTPWrapper } from 'ssh2'
import type { Node } from './filesystem.ts'
import type { Guest } from './guest.ts'
import type { ProcessContext } from './shell.ts'
import { VfsError } from './errno.ts'

const { STATUS_CODE, OPEN_MODE } = ssh2.utils.sftp
const TYPE_BITS = { file: 0o100000, directory: 0o040000, link: 0o120000, block: 0o060000, special: 0o020000 }

/** `data` may have room to grow behind its `size` bytes. */
type Handle =
  | { kind: 'file'; path: string; data: Buffer; size: number; changed: boolean; append: boolean }
  | { kind: 'directory'; path: string; names: string[] | undefined }

function attributes(node: Node): Attributes {
  const time = Math.floor(node.mtime / 1000)
  return {
    mode: TYPE_BITS[node.kind] | node.mode,
    uid: node.uid,
    gid: node.gid,
    size: node.kind === 'file' ? node.data.length : 0,
    atime: time,
    mtime: time,
  }
}

/** Serves one session until the client ends it. */
export function serveSftp(guest: Guest, sftp: SFTPWrapper, { as, account }: ProcessContext): void {
  const { vfs } = guest
  const handles = new Map<number, Handle>()
  let lastHandle = 0
  const absolute = (path: string): string => posix.resolve(account.home, path)
  const open = (handle: Handle): Buffer => {
    handles.set(++lastHandle, handle)
    const name = Buffer.alloc(4)
    name.writeUInt32BE(lastHandle)
    return name
  }
  const handleOf = (name: Buffer): Handle => {
    const handle = name.length === 4 ? handles.get(name.readUInt32BE()) : undefined
    if (!handle) throw new VfsError('EINVAL', 'handle', '')
    return handle
  }
  /** Answers a request; a failed operation becomes its status. */
  const answer = (id: number, work: () => void): void => {
    try {
      work()
    } catch (error) {
      const code =
        error instanceof VfsError
          ? { ENOENT: STATUS_CODE.NO_SUCH_FILE, EACCES: STATUS_CODE.PERMISSION_DENIED, EPERM: STATUS_CODE.PERMISSION_DENIED }[error.code]
          : undefined
      sftp.status(id, code ?? STATUS_CODE.FAILURE, error instanceof Error ? error.message : String(error))
    }
  }
  const done = (id: number): void => sftp.status(id, STATUS_CODE.OK)
  const change = (path: string, wanted: Attributes): void => {
    if (wanted.mode !== undefined) vfs.chmod(path, wanted.mode & 0o7777, as)
    if (wanted.uid !== undefined && wanted.gid !== undefined) vfs.chown(path, wanted.uid, wanted.gid, as)
    if (wanted.size !== undefined) vfs.write(path, vfs.read(path, as).subarray(0, wanted.size), as)
    if (wanted.mtime !== undefined) vfs.utimes(path, wanted.mtime * 1000, as)
  }
  sftp.on('OPEN', (id, name, flags, wanted) =>
    answer(id, () => {
      const path = absolute(name)
      const there = vfs.exists(path, as)
      if (flags & OPEN_MODE.WRITE) {
        if (!there && !(flags & OPEN_MODE.CREAT)) throw new VfsError('ENOENT', 'open', path)
        if (there && flags & OPEN_MODE.EXCL) throw new VfsError('EEXIST', 'open', path)
        if (!there || flags & OPEN_MODE.TRUNC) vfs.write(path, '', as, { mode: wanted.mode === undefined ? 0o666 : wanted.mode & 0o777 })
      }
      const data = flags & OPEN_MODE.READ || there ? vfs.read(path, as) : Buffer.alloc(0)
      sftp.handle(id, open({ kind: 'file', path, data, size: data.length, changed: false, append: (flags & OPEN_MODE.APPEND) !== 0 }))
    }),
  )
  sftp.on('READ', (id, name, offset, length) =>
    answer(id, () => {
      const handle = handleOf(name)
      if (handle.kind !== 'file') throw new VfsError('EISDIR', 'read', handle.path)
      if (offset >= handle.size) return sftp.status(id, STATUS_CODE.EOF)
      sftp.data(id, handle.data.subarray(offset, Math.min(offset + length, handle.size)))
    }),
  )
  sftp.on('WRITE', (id, name, offset, data) =>
    answer(id, () => {
      const handle = handleOf(name)
      if (handle.kind !== 'file') throw new VfsError('EISDIR', 'write', handle.path)
      const at = handle.append ? handle.size : offset
      const size = Math.max(handle.size, at + data.length)
      if (!handle.changed || size > handle.data.length) {
        const next = Buffer.alloc(Math.max(size, handle.data.length * 2))
        handle.data.copy(next, 0, 0, handle.size)
        handle.data = next
      }
      data.copy(handle.data, at)
      handle.size = size
      handle.changed = true
      done(id)
    }),
  )
  sftp.on('CLOSE', (id, name) =>
    answer(id, () => {
      const handle = handleOf(name)
      handles.delete(name.readUInt32BE())
      if (handle.kind === 'file' && handle.changed) vfs.write(handle.path, handle.data.subarray(0, handle.size), as)
      done(id)
    }),
  )
  sftp.on('FSTAT', (id, name) =>
    answer(id, () => {
      const handle = handleOf(name)
      const of = attributes(vfs.lookup(handle.path, as))
      sftp.attrs(id, handle.kind === 'file' ? { ...of, size: handle.size } : of)
    }),
  )
  sftp.on('STAT', (id, path) => answer(id, () => sftp.attrs(id, attributes(vfs.lookup(absolute(path), as)))))
  sftp.on('LSTAT', (id, path) => answer(id, () => sftp.attrs(id, attributes(vfs.lookup(absolute(path), as, false)))))
  sftp.on('SETSTAT', (id, path, wanted) =>
    answer(id, () => {
      change(absolute(path), wanted)
      done(id)
    }),
  )
  sftp.on('FSETSTAT', (id, name, wanted) =>
    answer(id, () => {
      const handle = handleOf(name)
      if (handle.kind === 'file' && handle.changed) {
        vfs.write(handle.path, handle.data.subarray(0, handle.size), as)
        handle.changed = false
      }
      change(handle.path, wanted)
      done(id)
    }),
  )
  sftp.on('OPENDIR', (id, path) =>
    answer(id, () =>
      sftp.handle(id, open({ kind: 'directory', path: absolute(path), names: [...vfs.readdir(absolute(path), as).entries.keys()].sort() })),
    ),
  )
  sftp.on('READDIR', (id, name) =>
    answer(id, () => {
      const handle = handleOf(name)
      if (handle.kind !== 'directory') throw new VfsError('ENOTDIR', 'scandir', handle.path)
      if (handle.names === undefined) return sftp.status(id, STATUS_CODE.EOF)
      const entries = handle.names.map((filename) => ({
        filename,
        longname: filename,
        attrs: attributes(vfs.lookup(posix.join(handle.path, filename), as, false)),
      }))
      handle.names = undefined
      sftp.name(id, entries)
    }),
  )
  sftp.on('REMOVE', (id, path) =>
    answer(id, () => {
      vfs.remove(absolute(path), as)
      done(id)
    }),
  )
  sftp.on('RMDIR', (id, path) =>
    answer(id, () => {
      vfs.remove(absolute(path), as)
      done(id)
    }),
  )
  sftp.on('MKDIR', (id, path, wanted) =>
    answer(id, () => {
      vfs.mkdir(absolute(path), as, { mode: wanted.mode === undefined ? 0o755 : wanted.mode & 0o777 })
      done(id)
    }),
  )
  sftp.on('RENAME', (id, from, to) =>
    answer(id, () => {
      vfs.rename(absolute(from), absolute(to), as)
      done(id)
    }),
  )
  sftp.on('SYMLINK', (id, target, path) =>
    answer(id, () => {
      vfs.symlink(target, absolute(path), as)
      done(id)
    }),
  )
  sftp.on('READLINK', (id, path) =>
    answer(id, () => {
      const node = vfs.lookup(absolute(path), as, false)
      if (node.kind !== 'link') throw new VfsError('EINVAL', 'readlink', path)
      sftp.name(id, [{ filename: node.target, longname: node.target, attrs: attributes(node) }])
    }),
  )
  sftp.on('REALPATH', (id, path) =>
    answer(id, () => {
      const resolved = absolute(path)
      const real = vfs.exists(resolved, as) ? vfs.realpath(resolved, as) : resolved
      sftp.name(id, [{ filename: real, longname: real, attrs: { mode: 0, uid: 0, gid: 0, size: 0, atime: 0, mtime: 0 } }])
    }),
  )
}
