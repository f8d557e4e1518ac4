/**
 * One process's view of a guest's files, in the form that just-bash works on: the rights of the process's user, and
 * programs run as Linux runs them. just-bash would run any executable file in its own interpreter whatever the first
 * line says; here a program is handed to `RUN_PROGRAM`, which starts a process of its own (see shell.ts).
 */
import type { FileContent, IFileSystem } from 'just-bash'
import { posix } from 'node:path'
import { CHECK_REDIRECTION, FIND_COMMAND, RUN_WORDS } from './rewrite-commands.ts'
import { VfsError } from './errno.ts'
import type { Vfs, Credentials } from './vfs.ts'
import type { Node } from './filesystem.ts'

/** Name of the internal command that runs the program `$0`. */
export const RUN_PROGRAM = '__run_program'
/** Shell builtins that just-bash leaves to commands: they are there whatever is installed. */
export const BUILTIN_COMMANDS: ReadonlySet<string> = new Set([
  ...'trap umask kill ulimit jobs times echo printf pwd alias unalias history test ['.split(' '),
  RUN_PROGRAM,
  RUN_WORDS,
  CHECK_REDIRECTION,
  FIND_COMMAND,
])

type Encoding = string | { encoding?: string | null } | undefined

export function toBuffer(content: FileContent, encoding?: Encoding): Buffer {
  if (typeof content !== 'string') return Buffer.from(content)
  const name = typeof encoding === 'string' ? encoding : encoding?.encoding
  return Buffer.from(content, name === 'binary' || name === 'latin1' ? 'latin1' : 'utf8')
}

/** @param seen called with the name of a program in /usr/bin, before just-bash looks for a command of that name */
export function createSessionFs(vfs: Vfs, as: Credentials, umask: () => number, seen: (name: string) => void): IFileSystem {
  // Running a program by its path is the one case in which just-bash asks exists, stat and readFile of a path in a row; where
  // it has found one by its name before, it does not ask exists again.
  let step = ''
  const ran = new Set<string>()
  const mark = (operation: string, path: string): void => {
    const isFound = step === `exists ${path}` || ran.has(path)
    step = operation === 'exists' ? `exists ${path}` : operation === 'stat' && isFound ? `stat ${path}` : ''
  }
  const builtin = (path: string): boolean => path.startsWith('/usr/bin/') && BUILTIN_COMMANDS.has(path.slice(9))
  const stat = (path: string, follow: boolean) => {
    if (builtin(path)) return { isFile: true, isDirectory: false, isSymbolicLink: false, mode: 0o755, size: 0, mtime: new Date(0) }
    const node = vfs.lookup(path, as, follow)
    return {
      isFile: node.kind === 'file',
      isDirectory: node.kind === 'directory',
      isSymbolicLink: node.kind === 'link',
      mode: node.mode,
      size: node.kind === 'file' ? node.data.length : 0,
      mtime: new Date(node.mtime),
      ino: node.ino,
      dev: 1,
    }
  }
  const copy = (node: Node, target: string): void => {
    if (node.kind === 'directory') {
      if (!vfs.exists(target, as)) vfs.mkdir(target, as, { mode: node.mode })
      for (const [name, child] of node.entries) copy(child, `${target}/${name}`)
    } else if (node.kind === 'link') {
      vfs.remove(target, as, { force: true })
      vfs.symlink(node.target, target, as)
    } else {
      vfs.write(target, node.kind === 'file' ? node.data : node.kind === 'special' ? node.read() : '', as, {
        mode: node.mode,
        umask: umask(),
      })
    }
  }
  return {
    async readFile(path, options) {
      const run = options === undefined && step === `stat ${path}`
      mark('readFile', path)
      if (run) {
        if (/^(\/usr(\/local)?)?\/s?bin\//.test(path)) ran.add(path)
        return `#!/bin/sh\n${RUN_PROGRAM} "$0" "$@"\n`
      }
      const encoding = typeof options === 'string' ? options : options?.encoding
      return vfs
        .read(path, as)
        .toString(
          encoding === 'binary' || encoding === 'latin1' ? 'latin1' : encoding === 'base64' || encoding === 'hex' ? encoding : 'utf8',
        )
    },
    async readFileBuffer(path) {
      mark('read', path)
      return new Uint8Array(vfs.read(path, as))
    },
    async writeFile(path, content, options) {
      mark('write', path)
      vfs.write(path, toBuffer(content, options), as, { umask: umask() })
    },
    async appendFile(path, content, options) {
      mark('write', path)
      vfs.write(path, toBuffer(content, options), as, { append: true, umask: umask() })
    },
    async exists(path) {
      mark('exists', path)
      if (builtin(path)) return true
      const there = vfs.exists(path, as)
      const [, name] = /^(?:\/usr)?\/s?bin\/([^/]+)$/.exec(path) ?? []
      if (there && name !== undefined) seen(name)
      return there
    },
    async stat(path) {
      mark('stat', path)
      return stat(path, true)
    },
    async lstat(path) {
      mark('lstat', path)
      return stat(path, false)
    },
    async mkdir(path, options) {
      mark('mkdir', path)
      vfs.mkdir(path, as, { parents: options?.recursive ?? false, mode: 0o777 & ~umask() })
    },
    async readdir(path) {
      mark('readdir', path)
      return [...vfs.readdir(path, as).entries.keys()].sort()
    },
    async readdirWithFileTypes(path) {
      mark('readdir', path)
      return [...vfs.readdir(path, as).entries]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, node]) => ({
          name,
          isFile: node.kind === 'file',
          isDirectory: node.kind === 'directory',
          isSymbolicLink: node.kind === 'link',
        }))
    },
    async rm(path, options) {
      mark('rm', path)
      vfs.remove(path, as, options)
    },
    async cp(source, target, options) {
      mark('cp', source)
      const node = vfs.lookup(source, as)
      if (node.kind === 'directory' && !options?.recursive) throw new VfsError('EISDIR', 'cp', source)
      vfs.read(node.kind === 'directory' ? '/dev/null' : source, as)
      copy(node, target)
    },
    async mv(source, target) {
      mark('mv', source)
      const node = vfs.lookup(source, as, false)
      if (vfs.mountOf(posix.dirname(source)).filesystem === vfs.mountOf(posix.dirname(target)).filesystem)
        return vfs.rename(source, target, as)
      copy(node, target)
      vfs.remove(source, as, { recursive: true })
    },
    resolvePath: (base, path) => posix.resolve(base, path),
    getAllPaths: () => vfs.paths(),
    async chmod(path, mode) {
      mark('chmod', path)
      vfs.chmod(path, mode, as)
    },
    async symlink(target, path) {
      mark('symlink', path)
      vfs.symlink(target, path, as)
    },
    async link(existing, path) {
      mark('link', path)
      vfs.hardlink(existing, path, as)
    },
    async readlink(path) {
      mark('readlink', path)
      const node = vfs.lookup(path, as, false)
      if (node.kind !== 'link') throw new VfsError('EINVAL', 'readlink', path)
      return node.target
    },
    async realpath(path) {
      mark('realpath', path)
      return vfs.realpath(path, as)
    },
    async utimes(path, _atime, mtime) {
      mark('utimes', path)
      vfs.utimes(path, mtime.getTime(), as)
    },
  }
}
