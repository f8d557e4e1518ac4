/** Odds and ends of a system: what it is, kernel settings, keys. */
import { createHash } from 'node:crypto'
import ssh2 from 'ssh2'
import { addGroup, addToGroup, addUser, findAccount, findGroup } from '../accounts.ts'
import type { Guest } from '../guest.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
import { readSshdConfig } from '../sshd-config.ts'
import { ROOT } from '../vfs.ts'
import { options } from './files.ts'

const sysctls = new WeakMap<object, Map<string, string>>()

/** sysusers.d(5): users, groups and members that packages and images declare. */
export function makeSystemUsers(guest: Guest): void {
  const { vfs } = guest
  for (const line of configLines(guest, 'sysusers.d')) {
    const [type = '', name = '', id = '-', ...rest] = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '')
    const [, home = '/', shell = '/usr/sbin/nologin'] = rest
    const uid = /^\d+/.exec(id)?.[0]
    if (/^u!?$/.test(type))
      addUser(vfs, {
        name,
        system: true,
        home: home === '-' ? '/' : home,
        shell: shell === '-' ? '/usr/sbin/nologin' : shell,
        ...(uid !== undefined && { uid: Number(uid) }),
      })
    if (type === 'g') addGroup(vfs, name, { system: true, ...(uid !== undefined && { gid: Number(uid) }) })
    if (type === 'm') addToGroup(vfs, name, id)
  }
}

/** tmpfiles.d(5): folders and files that every boot makes. */
export function makeTemporaryFiles(guest: Guest): void {
  const { vfs } = guest
  for (const line of configLines(guest, 'tmpfiles.d')) {
    const [type = '', path = '', mode = '-', user = '-', group = '-'] = line.split(/\s+/)
    if (!/^[dDf]/.test(type)) continue
    if (type.startsWith('f')) {
      if (!vfs.exists(path)) vfs.write(path, '')
    } else vfs.mkdir(path, ROOT, { parents: true })
    if (mode !== '-') vfs.chmod(path, Number.parseInt(mode.replace(/^[~:]/, ''), 8))
    vfs.chown(path, findAccount(vfs, user)?.uid, findGroup(vfs, group)?.gid)
  }
}

function configLines(guest: Guest, kind: string): string[] {
  return ['/usr/lib', '/etc', '/run'].flatMap((root) => {
    const folder = `${root}/${kind}`
    if (!guest.vfs.exists(folder)) return []
    return [...guest.vfs.readdir(folder, ROOT).entries]
      .filter(([name]) => name.endsWith('.conf'))
      .flatMap(([, node]) =>
        node.kind === 'file'
          ? node.data
              .toString()
              .split('\n')
              .map((line) => line.trim())
              .filter((line) => line !== '' && !line.startsWith('#'))
          : [],
      )
  })
}

const sshKeygen: Program = (args, run) => {
  const { flags, rest } = options(args, ['-t', '-f', '-N', '-C', '-b', '-P'])
  const { vfs } = run.guest
  if (flags.has('-A')) return ok()
  const file = run.path(flags.get('-f') ?? rest[0] ?? `${run.account.home}/.ssh/id_ed25519`)
  if (flags.has('-l')) {
    const key = ssh2.utils.parseKey(vfs.readText(vfs.exists(`${file}.pub`) ? `${file}.pub` : file, run.as))
    if (key instanceof Error) return fail(`${file} is not a public key file.`, 255)
    return ok(
      `256 SHA256:${createHash('sha256').update(key.getPublicSSH()).digest('base64').replace(/=+$/, '')} ${key.comment || 'no comment'} (${key.type.replace('ssh-', '').toUpperCase()})\n`,
    )
  }
  if (flags.has('-y')) {
    const key = ssh2.utils.parseKey(vfs.readText(file, run.as))
    return key instanceof Error
      ? fail(`Load key "${file}": error in libcrypto`, 255)
      : ok(`${key.type} ${key.getPublicSSH().toString('base64')}\n`)
  }
  const pair =
    flags.get('-t') === 'ecdsa' ? ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 }) : ssh2.utils.generateKeyPairSync('ed25519')
  vfs.write(file, pair.private, run.as, { mode: 0o600 })
  vfs.write(`${file}.pub`, `${pair.public.trim()} ${flags.get('-C') ?? ''}\n`, run.as)
  return ok(flags.has('-q') ? '' : `Your identification has been saved in ${file}\n`)
}

function makeRepository(run: Run, folder: string): Result {
  for (const path of ['.git/info', '.git/refs/heads']) run.guest.vfs.mkdir(`${folder}/${path}`, run.as, { parents: true })
  return ok()
}

export const systemPrograms: Readonly<Record<string, Program>> = {
  uname: (args, run) => {
    if (args.includes('-r')) return ok('6.12.48+deb13-cloud-amd64\n')
    if (args.includes('-m')) return ok('x86_64\n')
    if (args.includes('-n')) return ok(`${run.guest.hostname}\n`)
    return ok(
      args.includes('-a')
        ? `Linux ${run.guest.hostname} 6.12.48+deb13-cloud-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 x86_64 GNU/Linux\n`
        : 'Linux\n',
    )
  },
  nproc: (_args, run) => ok(`${run.guest.spec.cores * run.guest.spec.sockets}\n`),
  uptime: (_args, run) =>
    ok(` up ${Math.floor((Date.now() - run.guest.bootedAt) / 60_000)} min,  1 user,  load average: 0.00, 0.00, 0.00\n`),
  free: (_args, run) =>
    ok(
      `               total        used        free\nMem:     ${run.guest.spec.memoryMiB * 1024}      200000      500000\nSwap:              0           0           0\n`,
    ),
  tty: () => fail('', 1, 'not a tty\n'),
  ps: () => ok('    PID TTY          TIME CMD\n      1 ?        00:00:00 systemd\n'),
  pgrep: () => fail(''),
  pkill: () => fail(''),
  setpriv: async (args, run) => {
    const words = [...args]
    let uid: number | undefined
    while ((words[0] ?? '').startsWith('-')) {
      const word = words.shift() ?? ''
      if (['--reuid', '--regid', '--groups', '--bounding-set', '--inh-caps'].includes(word)) {
        const value = words.shift()
        if (word === '--reuid') uid = findAccount(run.guest.vfs, value ?? '')?.uid ?? Number(value)
      }
    }
    const account = uid === undefined ? run.account : (findAccount(run.guest.vfs, uid) ?? run.account)
    return run.exec(
      words,
      uid === undefined ? { stdin: run.stdin } : { stdin: run.stdin, account, as: { uid, gid: account.gid, groups: [account.gid] } },
    )
  },
  sysctl: (args, run) => {
    const set = sysctls.get(run.guest) ?? new Map<string, string>()
    sysctls.set(run.guest, set)
    const { flags, rest } = options(args, ['-p', '--load'])
    if (flags.has('-p') || flags.has('--system')) {
      for (const folder of ['/usr/lib/sysctl.d', '/etc/sysctl.d'])
        if (run.guest.vfs.exists(folder))
          for (const [, node] of run.guest.vfs.readdir(folder, ROOT).entries)
            if (node.kind === 'file')
              for (const [, name = '', value = ''] of node.data.toString().matchAll(/^\s*([\w./-]+)\s*=\s*(.*)$/gm))
                set.set(name.replaceAll('/', '.'), value.trim())
      return ok()
    }
    const lines: string[] = []
    for (const word of rest) {
      const [name = '', value] = word.split(/\s*=\s*/)
      if (value !== undefined) {
        if (run.as.uid !== 0) return fail(`sysctl: permission denied on key "${name}"`, 255)
        set.set(name, value)
      }
      const now = set.get(name)
      if (now === undefined) return fail(`sysctl: cannot stat /proc/sys/${name.replaceAll('.', '/')}: No such file or directory`, 255)
      lines.push(flags.has('-n') ? now : `${name} = ${now}`)
    }
    return ok(`${lines.join('\n')}\n`)
  },
  'systemd-sysusers': (_args, run) => {
    makeSystemUsers(run.guest)
    return ok()
  },
  'systemd-tmpfiles': (_args, run) => {
    makeTemporaryFiles(run.guest)
    return ok()
  },
  'ssh-keygen': sshKeygen,
  sshd: (args, run) =>
    args.includes('-t') && readSshdConfig(run.guest.vfs) === undefined ? fail('sshd: no hostkeys available -- exiting.') : ok(),
  nginx: (args) => (args.includes('-v') || args.includes('-V') ? fail('nginx version: nginx/1.26.3', 0) : ok()),
  apparmor_parser: () => ok(),
  'aa-status': () => ok(),
  crontab: () => ok(),
  logrotate: () => ok(),
  cmp: async (args, run) => {
    const [a = '', b = ''] = args.filter((word) => !word.startsWith('-'))
    return run.guest.vfs.read(run.path(a), run.as).equals(run.guest.vfs.read(run.path(b), run.as))
      ? ok()
      : fail('', 1, args.includes('-s') ? '' : `${a} ${b} differ: byte 1, line 1\n`)
  },
  git: (args, run) =>
    args[0] === '--version'
      ? ok('git version 2.47.3\n')
      : args[0] === 'init'
        ? makeRepository(run, run.path(args.slice(1).find((word) => !word.startsWith('-')) ?? '.'))
        : args[0] === 'config' && args.length === 3
          ? (run.guest.vfs.write(run.path('.git/config'), `${args[1]}=${args[2]}\n`, run.as, { append: true }), ok())
          : fail(`git ${args[0] ?? ''}: not modelled by the fake guest`, 128),
}
