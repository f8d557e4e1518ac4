/** tar, with the compressions that Node has; quick also for the hundreds of megabytes of an image's own files. */
import { posix } from 'node:path'
import { gunzipSync, gzipSync, zstdDecompressSync } from 'node:zlib'
import { findAccount, findGroup } from '../accounts.ts'
import { fileNode, type Node } from '../filesystem.ts'
import { fail, ok, type Program } from '../shell.ts'
import { VfsError } from '../errno.ts'
import { options } from './files.ts'

interface Entry {
  readonly name: string
  readonly type: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly user: string
  readonly group: string
  readonly mtime: number
  readonly link: string
  readonly data: Buffer
}

/** Entries of an uncompressed archive: ustar, GNU long names, pax paths. */
function* entries(archive: Buffer): Generator<Entry> {
  const text = (from: number, to: number): string => archive.toString('utf8', from, to).replace(/\0[\s\S]*$/, '')
  const number = (from: number, to: number): number => Number.parseInt(text(from, to).trim() || '0', 8)
  let long: { name?: string; link?: string } = {}
  for (let at = 0; at + 512 <= archive.length; ) {
    if (archive[at] === 0) return
    const size = number(at + 124, at + 136)
    const type = String.fromCharCode(archive[at + 156] ?? 48)
    const data = archive.subarray(at + 512, at + 512 + size)
    const prefix = archive.toString('latin1', at + 257, at + 262) === 'ustar' && archive[at + 263] === 48 ? text(at + 345, at + 500) : ''
    const name = long.name ?? (prefix ? `${prefix}/` : '') + text(at, at + 100)
    const link = long.link ?? text(at + 157, at + 257)
    const entry = {
      name,
      type: type === '\0' ? '0' : type,
      mode: number(at + 100, at + 108),
      uid: number(at + 108, at + 116),
      gid: number(at + 116, at + 124),
      user: text(at + 265, at + 297),
      group: text(at + 297, at + 329),
      mtime: number(at + 136, at + 148) * 1000,
      link,
      data,
    }
    at += 512 + Math.ceil(size / 512) * 512
    if (type === 'L') {
      long = { ...long, name: data.toString().replace(/\0+$/, '') }
      continue
    }
    if (type === 'K') {
      long = { ...long, link: data.toString().replace(/\0+$/, '') }
      continue
    }
    if (type === 'x') {
      for (const [, key = '', value = ''] of data.toString().matchAll(/\d+ (\w+)=([^\n]*)\n/g)) {
        if (key === 'path') long = { ...long, name: value }
        if (key === 'linkpath') long = { ...long, link: value }
      }
      continue
    }
    long = {}
    if (type !== 'g') yield entry
  }
}

function header(name: string, node: Node, type: string, size: number): Buffer {
  const block = Buffer.alloc(512)
  block.write(name.slice(0, 100), 0)
  block.write(node.mode.toString(8).padStart(7, '0'), 100)
  block.write(node.uid.toString(8).padStart(7, '0'), 108)
  block.write(node.gid.toString(8).padStart(7, '0'), 116)
  block.write(size.toString(8).padStart(11, '0'), 124)
  block.write(
    Math.floor(node.mtime / 1000)
      .toString(8)
      .padStart(11, '0'),
    136,
  )
  block.write('        ', 148)
  block.write(type, 156)
  if (node.kind === 'link') block.write(node.target.slice(0, 100), 157)
  block.write('ustar\x0000', 257, 'latin1')
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
    'latin1',
  )
  return block
}

/** An archive of files by path, one character a byte. */
export function tarOf(files: Readonly<Record<string, string>>): string {
  const blocks = Object.entries(files).flatMap(([path, text]) => {
    const data = Buffer.from(text, 'latin1')
    return [header(path, fileNode(text), '0', data.length), data, Buffer.alloc((512 - (data.length % 512)) % 512)]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)]).toString('latin1')
}

/** As GNU tar has them with `--wildcards`: `*` stands for slashes, too. */
const patternOf = (glob: string): RegExp =>
  new RegExp(
    `^${glob
      .replaceAll(/[.+^$(){}|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}(/|$)`,
  )

const tar: Program = (args, run) => {
  const words = args[0] !== undefined && /^[a-zA-Z]+$/.test(args[0]) ? [`-${args[0]}`, ...args.slice(1)] : args
  const { flags, rest } = options(words, [
    '-f',
    '--file',
    '-C',
    '--directory',
    '--exclude',
    '--strip-components',
    '--owner',
    '--group',
    '--mode',
    '--mtime',
    '--sort',
    '-T',
  ])
  if (flags.has('--version')) return ok('tar (GNU tar) 1.35\n')
  const { vfs } = run.guest
  const folder = run.path(flags.get('-C') ?? flags.get('--directory') ?? '.')
  const file = flags.get('-f') ?? flags.get('--file') ?? '-'
  if (flags.has('-c')) {
    const blocks: Buffer[] = []
    const add = (name: string): void => {
      const path = posix.resolve(folder, name)
      const node = vfs.lookup(path, run.as, false)
      const stored = name.replace(/^\/+/, '')
      if (node.kind === 'directory') {
        blocks.push(header(`${stored}/`, node, '5', 0))
        for (const child of [...vfs.readdir(path, run.as).entries.keys()].sort()) add(`${name.replace(/\/$/, '')}/${child}`)
      } else if (node.kind === 'link') blocks.push(header(stored, node, '2', 0))
      else {
        const data = vfs.read(path, run.as)
        blocks.push(header(stored, node, '0', data.length), data, Buffer.alloc((512 - (data.length % 512)) % 512))
      }
    }
    for (const name of rest) add(name)
    const archive = Buffer.concat([...blocks, Buffer.alloc(1024)])
    const packed = flags.has('-z') ? gzipSync(archive) : archive
    if (file === '-') return ok(packed.toString('latin1'))
    vfs.write(run.path(file), packed, run.as)
    return ok()
  }
  if (file !== '-' && !vfs.exists(run.path(file), run.as))
    return fail(`tar: ${file}: Cannot open: No such file or directory\ntar: Error is not recoverable: exiting now`, 2)
  const packed = file === '-' ? Buffer.from(run.stdin, 'latin1') : vfs.read(run.path(file), run.as)
  let archive: Buffer
  try {
    archive =
      packed[0] === 0x1f && packed[1] === 0x8b
        ? gunzipSync(packed)
        : packed.subarray(0, 4).equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]))
          ? zstdDecompressSync(packed)
          : packed
  } catch (error) {
    return fail(`tar: ${error instanceof Error ? error.message : String(error)}`, 2)
  }
  const isNamed = (entry: string, name: string): boolean =>
    flags.has('--wildcards') ? patternOf(name).test(entry) : entry.startsWith(name)
  const strip = Number(flags.get('--strip-components') ?? 0)
  const chosen = [...entries(archive)]
    .map((entry) => ({ ...entry, name: entry.name.split('/').slice(strip).join('/') }))
    .filter(
      (entry) =>
        entry.name !== '' &&
        (rest.length === 0 || rest.some((name) => isNamed(entry.name.replace(/^\.\//, ''), name.replace(/^\.\//, '')))),
    )
  const absent = flags.has('--wildcards') ? rest.filter((name) => !chosen.some((entry) => patternOf(name).test(entry.name))) : []
  if (flags.has('-t')) return ok(chosen.map((entry) => `${entry.name}\n`).join(''))
  if (!flags.has('-x')) return fail("tar: You must specify one of the '-Acdtrux' options", 2)
  const owners = run.as.uid === 0 && !flags.has('--no-same-owner') && !flags.has('-o')
  for (const entry of chosen) {
    const path = posix.join(folder, entry.name)
    try {
      vfs.mkdir(posix.dirname(path), run.as, { parents: true })
      if (entry.type === '5') {
        const there = vfs.exists(path)
        vfs.mkdir(path, run.as, { parents: true })
        if (!there || !flags.has('--no-overwrite-dir')) vfs.chmod(path, entry.mode & 0o7777, run.as)
        if (there && flags.has('--no-overwrite-dir')) continue
      } else if (entry.type === '2') {
        vfs.remove(path, run.as, { force: true })
        vfs.symlink(entry.link, path, run.as)
      } else if (entry.type === '1') {
        vfs.remove(path, run.as, { force: true })
        vfs.hardlink(posix.join(folder, entry.link), path, run.as)
      } else if (entry.type === '0' || entry.type === '7') {
        vfs.remove(path, run.as, { force: true })
        vfs.write(path, entry.data, run.as, { mode: entry.mode & 0o7777, umask: flags.has('-p') || run.as.uid === 0 ? 0 : 0o022 })
        vfs.utimes(path, entry.mtime, run.as)
      } else continue
      if (owners)
        vfs.chown(path, findAccount(vfs, entry.user)?.uid ?? entry.uid, findGroup(vfs, entry.group)?.gid ?? entry.gid, run.as, false)
    } catch (error) {
      if (!(error instanceof VfsError)) throw error
      return fail(`tar: ${entry.name}: Cannot open: ${error.reason}\ntar: Exiting with failure status due to previous errors`, 2)
    }
  }
  if (absent.length > 0)
    return fail(
      `${absent.map((name) => `tar: ${name}: Not found in archive\n`).join('')}tar: Exiting with failure status due to previous errors`,
      2,
    )
  return ok(flags.has('-v') ? chosen.map((entry) => `${entry.name}\n`).join('') : '')
}

export const archivePrograms: Readonly<Record<string, Program>> = { tar }
