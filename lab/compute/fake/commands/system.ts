import { addGroup, addToGroup, addUser, findAccount, findGroup } from '../accounts.ts'
import type { Guest } from '../guest.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
import { ROOT } from '../vfs.ts'

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

function makeRepository(run: Run, folder: string): Result {
  for (const path of ['.git/info', '.git/refs/heads']) run.guest.vfs.mkdir(`${folder}/${path}`, run.as, { parents: true })
  return ok()
}

export const systemPrograms: Readonly<Record<string, Program>> = {
  pkill: () => fail(''),
  pgrep: () => fail(''),
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
  'systemd-sysusers': (_args, run) => {
    makeSystemUsers(run.guest)
    return ok()
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
