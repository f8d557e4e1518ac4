/** Programs that work on files and that just-bash lacks, or that have to know owners and modes. */
import { createHash, randomBytes } from 'node:crypto'
import { posix } from 'node:path'
import { accounts, findAccount, findGroup, groups } from '../accounts.ts'
import type { Node } from '../filesystem.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
import { VfsError } from '../errno.ts'
import { ROOT } from '../vfs.ts'

/** Splits words into options and the rest; `valued` options take the next word. */
export function options(args: readonly string[], valued: readonly string[] = []): { flags: Map<string, string>; rest: string[] } {
  const flags = new Map<string, string>()
  const rest: string[] = []
  const words = [...args]
  while (words.length > 0) {
    const word = words.shift() ?? ''
    if (word === '--') {
      rest.push(...words)
      break
    }
    const [, long = '', value] = /^(--[^=]+)(?:=([\s\S]*))?$/.exec(word) ?? []
    if (long) flags.set(long, value ?? (valued.includes(long) ? (words.shift() ?? '') : ''))
    else if (/^-./.test(word)) {
      for (let at = 1; at < word.length; at++) {
        const flag = `-${word[at]}`
        if (valued.includes(flag)) {
          flags.set(flag, word.slice(at + 1) || (words.shift() ?? ''))
          break
        }
        flags.set(flag, '')
      }
    } else rest.push(word)
  }
  return { flags, rest }
}

function message(error: unknown): string {
  if (!(error instanceof VfsError)) throw error
  return error.reason
}

/** Runs `work` for each word; failures are printed as `NAME: PREFIX 'WORD': reason` and make the exit code 1. */
function forEach(run: Run, words: readonly string[], prefix: string, work: (path: string, word: string) => string | void): Result {
  let stdout = ''
  let stderr = ''
  for (const word of words) {
    try {
      stdout += work(run.path(word), word) ?? ''
    } catch (error) {
      stderr += `${run.name}: ${prefix} '${word}': ${message(error)}\n`
    }
  }
  return { stdout, stderr, exitCode: stderr ? 1 : 0 }
}

function userId(run: Run, name: string): number | undefined {
  return findAccount(run.guest.vfs, name)?.uid ?? (/^\d+$/.test(name) ? Number(name) : undefined)
}
function groupId(run: Run, name: string): number | undefined {
  return findGroup(run.guest.vfs, name)?.gid ?? (/^\d+$/.test(name) ? Number(name) : undefined)
}

function tree(run: Run, path: string, recursive: boolean, work: (path: string, node: Node) => void): void {
  const node = run.guest.vfs.lookup(path, run.as, false)
  work(path, node)
  if (recursive && node.kind === 'directory')
    for (const name of [...run.guest.vfs.readdir(path, run.as).entries.keys()]) tree(run, `${path}/${name}`, true, work)
}

const chown: Program = (args, run) => {
  const { flags, rest } = options(args, ['--reference'])
  const [owner = '', ...files] = flags.has('--reference') ? ['', ...rest] : rest
  const [user = '', group = ''] = owner.split(/[:.]/)
  const uid = user ? userId(run, user) : undefined
  const gid = group ? groupId(run, group) : owner.endsWith(':') ? findAccount(run.guest.vfs, user)?.gid : undefined
  if (user && uid === undefined) return fail(`chown: invalid user: '${owner}'`)
  if (group && gid === undefined) return fail(`${run.name}: invalid group: '${owner}'`)
  return forEach(run, files, 'changing ownership of', (path) =>
    tree(run, path, flags.has('-R') || flags.has('--recursive'), (at, node) =>
      run.guest.vfs.chown(at, uid, gid, run.as, node.kind !== 'link' && !flags.has('-h')),
    ),
  )
}

function applyMode(text: string, mode: number, folder: boolean): number {
  if (/^[0-7]+$/.test(text)) return Number.parseInt(text, 8)
  return text.split(',').reduce((now, part) => {
    const [, who = '', operator = '+', letters = ''] = /^([ugoa]*)([-+=])([rwxXst]*)$/.exec(part) ?? []
    let bits = 0
    for (const letter of letters)
      bits |=
        letter === 'r'
          ? 0o444
          : letter === 'w'
            ? 0o222
            : letter === 'x' || (letter === 'X' && (folder || now & 0o111))
              ? 0o111
              : letter === 's'
                ? 0o6000
                : letter === 't'
                  ? 0o1000
                  : 0
    const scope =
      who === '' || who.includes('a')
        ? 0o7777
        : [...who].reduce((sum, each) => sum | (each === 'u' ? 0o4700 : each === 'g' ? 0o2070 : 0o007), 0)
    bits &= scope | (letters.includes('t') ? 0o1000 : 0)
    return operator === '+' ? now | bits : operator === '-' ? now & ~bits : (now & ~(scope & 0o777)) | bits
  }, mode)
}

const chmod: Program = (args, run) => {
  const recursive = args.includes('-R') || args.includes('--recursive')
  const [mode = '', ...files] = args.filter((word) => !/^(-R|-v|-f|-c|--recursive|--)$/.test(word))
  if (!/^([0-7]+|([ugoa]*[-+=][rwxXst]*)(,[ugoa]*[-+=][rwxXst]*)*)$/.test(mode)) return fail(`chmod: invalid mode: '${mode}'`)
  return forEach(run, files, 'cannot access', (path) =>
    tree(run, path, recursive, (at, node) => {
      if (node.kind === 'link' && at !== path) return
      const target = run.guest.vfs.lookup(at, run.as)
      run.guest.vfs.chmod(at, applyMode(mode, target.mode, target.kind === 'directory'), run.as)
    }),
  )
}

const install: Program = (args, run) => {
  const { flags, rest } = options(args, ['-m', '--mode', '-o', '--owner', '-g', '--group', '-t', '--target-directory'])
  const { vfs } = run.guest
  const mode = applyMode(flags.get('-m') ?? flags.get('--mode') ?? '755', 0, true)
  const [owner, group] = [flags.get('-o') ?? flags.get('--owner'), flags.get('-g') ?? flags.get('--group')]
  const uid = owner === undefined ? undefined : userId(run, owner)
  const gid = group === undefined ? undefined : groupId(run, group)
  if (owner !== undefined && uid === undefined) return fail(`install: invalid user: '${owner}'`)
  if (group !== undefined && gid === undefined) return fail(`install: invalid group: '${group}'`)
  const finish = (path: string): void => {
    vfs.chmod(path, mode, run.as)
    if (uid !== undefined || gid !== undefined) vfs.chown(path, uid, gid, run.as)
  }
  if (flags.has('-d') || flags.has('--directory'))
    return forEach(run, rest, 'cannot create directory', (path) => {
      vfs.mkdir(path, run.as, { parents: true })
      finish(path)
    })
  const target = run.path(flags.get('-t') ?? flags.get('--target-directory') ?? rest.pop() ?? '')
  const folder = vfs.exists(target) && vfs.lookup(target, run.as).kind === 'directory'
  if (rest.length === 0 || (rest.length > 1 && !folder)) return fail('install: missing destination file operand')
  return forEach(run, rest, 'cannot stat', (source, word) => {
    const data = word === '/dev/stdin' ? Buffer.from(run.stdin, 'latin1') : vfs.read(source, run.as)
    const to = folder ? posix.join(target, posix.basename(source)) : target
    if (flags.has('-D')) vfs.mkdir(posix.dirname(to), run.as, { parents: true })
    vfs.remove(to, run.as, { force: true })
    vfs.write(to, data, run.as)
    finish(to)
  })
}

const mktemp: Program = (args, run) => {
  const { flags, rest } = options(args, ['-p', '--tmpdir', '--suffix'])
  const template = rest[0] ?? 'tmp.XXXXXXXXXX'
  const name =
    template.replace(/X{3,}/, (run_) => randomBytes(run_.length).toString('hex').slice(0, run_.length)) + (flags.get('--suffix') ?? '')
  const base = flags.get('-p') ?? flags.get('--tmpdir') ?? (rest[0] === undefined || flags.has('-t') ? (run.env.TMPDIR ?? '/tmp') : '')
  const path = run.path(posix.join(base || (flags.has('--tmpdir') ? '/tmp' : ''), name))
  if (flags.has('-d')) run.guest.vfs.mkdir(path, run.as, { mode: 0o700 })
  else run.guest.vfs.write(path, '', run.as, { mode: 0o600 })
  return ok(`${path}\n`)
}

const stat: Program = (args, run) => {
  const { flags, rest } = options(args, ['-c'])
  const format = flags.get('-c') ?? '%n %s %a %U:%G %F'
  return forEach(run, rest, 'cannot statx', (path, word) => {
    const node = run.guest.vfs.lookup(path, run.as, flags.has('-L'))
    const kind = {
      file: 'regular file',
      directory: 'directory',
      link: 'symbolic link',
      block: 'block special file',
      special: 'character special file',
    }[node.kind]
    const values: Record<string, string> = {
      n: word,
      s: String(node.kind === 'file' ? node.data.length : 0),
      a: node.mode.toString(8),
      U: accounts(run.guest.vfs).find((each) => each.uid === node.uid)?.name ?? 'UNKNOWN',
      G: groups(run.guest.vfs).find((each) => each.gid === node.gid)?.name ?? 'UNKNOWN',
      u: String(node.uid),
      g: String(node.gid),
      i: String(node.ino),
      Y: String(Math.floor(node.mtime / 1000)),
      F: kind,
      '%': '%',
    }
    return format.replaceAll(/%([a-zA-Z%])/g, (_, letter: string) => values[letter] ?? '?') + '\n'
  })
}

const sha256sum: Program = (args, run) => {
  const { flags, rest } = options(args)
  const sum = (data: Buffer): string => createHash('sha256').update(data).digest('hex')
  if (!flags.has('-c')) return forEach(run, rest, '', (path, word) => `${sum(run.guest.vfs.read(path, run.as))}  ${word}\n`)
  const results = run.guest.vfs
    .readText(run.path(rest[0] ?? ''), run.as)
    .split('\n')
    .flatMap((line) => {
      const [, digest, name = ''] = /^([0-9a-f]+) [ *](.+)$/.exec(line) ?? []
      const path = run.path(name)
      return digest === undefined
        ? []
        : [{ name, good: run.guest.vfs.exists(path, run.as) && sum(run.guest.vfs.read(path, run.as)) === digest }]
    })
  const bad = results.filter((each) => !each.good).length
  const stdout = results.map((each) => `${each.name}: ${each.good ? 'OK' : 'FAILED'}\n`).join('')
  return bad > 0 || results.length === 0 ? fail(`${run.name}: WARNING: ${bad} computed checksum did NOT match`, 1, stdout) : ok(stdout)
}

/** just-bash's own command; but files that the user may not read are told from those that are not there. */
const readChecked: Program = (args, run) => {
  for (const word of args) {
    const path = run.path(word)
    if (word.startsWith('-') || !run.guest.vfs.exists(path, run.as)) continue
    const node = run.guest.vfs.lookup(path, run.as)
    if (node.kind === 'file' && !run.guest.vfs.may(node, 4, run.as))
      return fail(`${run.name}: ${word}: Permission denied`, run.name === 'grep' ? 2 : 1)
  }
  return run.original(args)
}

/** The same; just-bash's does not complain with -q. */
const grep: Program = async (args, run) => {
  const result = await readChecked(args, run)
  return result.exitCode === 2 && result.stderr === '' ? fail(`grep: ${args.at(-1)}: No such file or directory`, 2) : result
}

/** `cp -a -t FOLDER PATH …`: with owners and modes; links stay links. Nothing is shared with the copy, as on ext4. */
const copyAll: Program = (args, run) => {
  const { flags, rest } = options(args, ['-t'])
  const { vfs } = run.guest
  const folder = run.path(flags.get('-t') ?? '')
  if (!flags.has('-t')) return fail('cp: -a is modelled with -t alone')
  const copy = (node: Node, to: string): void => {
    if (node.kind === 'directory') {
      if (!vfs.exists(to)) vfs.mkdir(to, run.as, { mode: node.mode })
      for (const [name, child] of node.entries) copy(child, posix.join(to, name))
    } else if (node.kind === 'link') vfs.symlink(node.target, to, run.as)
    else if (node.kind === 'file') vfs.write(to, node.data, run.as, { mode: node.mode })
    else return
    vfs.chown(to, node.uid, node.gid, run.as, false)
    if (node.kind !== 'link') vfs.utimes(to, node.mtime, run.as)
  }
  return forEach(run, rest, 'cannot stat', (path) => copy(vfs.lookup(path, run.as, false), posix.join(folder, posix.basename(path))))
}

export const filePrograms: Readonly<Record<string, Program>> = {
  cat: readChecked,
  head: readChecked,
  tail: readChecked,
  wc: readChecked,
  sort: readChecked,
  grep,
  cut: readChecked,
  cp: (args, run) => (args.includes('-a') ? copyAll(args, run) : readChecked(args, run)),
  chown,
  chmod,
  install,
  mktemp,
  stat,
  sha256sum,
  /** `test -w PATH` as a program of its own, with the rights of its user: the shell's own goes by the mode alone. */
  test: ([what = '', word = ''], run) => {
    const path = run.path(word)
    const bit = { '-r': 4, '-w': 2, '-x': 1 }[what]
    if (bit === undefined) return fail(`test ${what}: not modelled by the fake guest`, 2)
    return run.guest.vfs.exists(path, run.as) && run.guest.vfs.may(run.guest.vfs.lookup(path, run.as), bit as 1 | 2 | 4, run.as)
      ? ok()
      : fail('')
  },
  truncate: (args, run) => {
    const { flags, rest } = options(args, ['-s', '--size'])
    const bytes = Number.parseInt(flags.get('-s') ?? flags.get('--size') ?? '0', 10)
    return forEach(run, rest, 'cannot open', (path) => {
      if (flags.has('-c') && !run.guest.vfs.exists(path)) return
      const data = run.guest.vfs.exists(path) ? run.guest.vfs.read(path, run.as) : Buffer.alloc(0)
      run.guest.vfs.write(path, Buffer.concat([data.subarray(0, bytes), Buffer.alloc(Math.max(0, bytes - data.length))]), run.as)
    })
  },
  /** `du -s [-0] --block-size=1 PATH …`, or `--inodes`. */
  du: (args, run) => {
    const { flags, rest } = options(args)
    return forEach(run, rest, 'cannot access', (path, word) => {
      let sum = 0
      tree(run, path, true, (_, node) => {
        sum += flags.has('--inodes') ? 1 : node.kind === 'file' ? node.data.length : 0
      })
      return `${sum}\t${word}${flags.has('-0') ? '\0' : '\n'}`
    })
  },
  sync: async (_args, run) => {
    await run.guest.devices.flush()
    return ok()
  },
  fstrim: async (_args, run) => {
    if (run.as.uid !== 0) return fail('fstrim: cannot open /: Permission denied')
    await run.guest.devices.flush()
    return ok()
  },
  id: (args, run) => {
    const { flags, rest } = options(args)
    const account = rest[0] === undefined ? run.account : findAccount(run.guest.vfs, rest[0])
    if (!account) return fail(`id: '${rest[0]}': no such user`)
    const mine = groups(run.guest.vfs).filter((group) => group.gid === account.gid || group.members.includes(account.name))
    const primary = mine.find((group) => group.gid === account.gid)?.name ?? String(account.gid)
    if (flags.has('-u')) return ok(`${flags.has('-n') ? account.name : account.uid}\n`)
    if (flags.has('-g')) return ok(`${flags.has('-n') ? primary : account.gid}\n`)
    if (flags.has('-G')) return ok(`${mine.map((group) => (flags.has('-n') ? group.name : group.gid)).join(' ')}\n`)
    return ok(
      `uid=${account.uid}(${account.name}) gid=${account.gid}(${primary}) groups=${mine.map((group) => `${group.gid}(${group.name})`).join(',')}\n`,
    )
  },
  getent: (args, run) => {
    const [database = '', ...keys] = args
    const file = `/etc/${database}`
    if (!['passwd', 'group', 'shadow'].includes(database)) return fail(`Unknown database: ${database}`, 1)
    const all = run.guest.vfs
      .readText(file, database === 'shadow' ? run.as : ROOT)
      .split('\n')
      .filter(Boolean)
    const found =
      keys.length === 0 ? all : keys.flatMap((key) => all.filter((line) => line.split(':')[0] === key || line.split(':')[2] === key))
    return found.length === 0 ? fail('', 2) : ok(`${found.join('\n')}\n`)
  },
}
