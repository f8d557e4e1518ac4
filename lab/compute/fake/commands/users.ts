/** Programs that change users and groups. */
import { addGroup, addToGroup, addUser, findAccount, findGroup, rewrite } from '../accounts.ts'
import { fail, ok, type Program } from '../shell.ts'
import { ROOT } from '../vfs.ts'
import { options } from './files.ts'

const asRoot =
  (program: Program): Program =>
  (args, run) =>
    run.as.uid === 0 ? program(args, run) : fail(`${run.name}: Permission denied.`)

const useradd: Program = (args, run) => {
  const { vfs } = run.guest
  const { flags, rest } = options(args, [
    '-u',
    '--uid',
    '-g',
    '--gid',
    '-G',
    '--groups',
    '-d',
    '--home-dir',
    '--home',
    '-s',
    '--shell',
    '-c',
    '--comment',
    '-k',
    '-p',
    '--ingroup',
    '--gecos',
    '-b',
    '-K',
  ])
  const [name, group] = rest
  if (name === undefined) return fail(`Usage: ${run.name} [options] LOGIN`, 2)
  if (findAccount(vfs, name)) {
    if (run.name !== 'adduser') return fail(`useradd: user '${name}' already exists`, 9)
    if (group === undefined) return fail(`fatal: The user \`${name}' already exists.`)
    addToGroup(vfs, name, group)
    return ok()
  }
  const uid = flags.get('-u') ?? flags.get('--uid')
  if (uid !== undefined && findAccount(vfs, Number(uid)) && !flags.has('-o')) return fail(`useradd: UID ${uid} is not unique`, 4)
  const primary = flags.get('-g') ?? flags.get('--gid') ?? flags.get('--ingroup')
  if (primary !== undefined && !findGroup(vfs, primary)) return fail(`useradd: group '${primary}' does not exist`, 6)
  const wanted = (flags.get('-G') ?? flags.get('--groups') ?? '').split(',').filter(Boolean)
  const missing = wanted.find((each) => !findGroup(vfs, each))
  if (missing !== undefined) return fail(`useradd: group '${missing}' does not exist`, 6)
  const system = flags.has('-r') || flags.has('--system')
  const home = flags.get('-d') ?? flags.get('--home-dir') ?? flags.get('--home')
  const shell =
    flags.get('-s') ?? flags.get('--shell') ?? (run.name === 'adduser' ? (system ? '/usr/sbin/nologin' : '/bin/bash') : undefined)
  const createHome =
    flags.has('-m') || flags.has('--create-home') || (run.name === 'adduser' && !flags.has('--no-create-home') && !flags.has('-H'))
  addUser(vfs, {
    name,
    groups: wanted,
    system,
    createHome,
    ...(uid !== undefined && { uid: Number(uid) }),
    ...(primary !== undefined && { group: primary }),
    ...(home !== undefined && { home }),
    ...(shell !== undefined && { shell }),
  })
  return ok()
}

const usermod: Program = (args, run) => {
  const { vfs } = run.guest
  const { flags, rest } = options(args, ['-G', '--groups', '-g', '-s', '--shell', '-d', '--home', '-u', '-p', '-c', '-l'])
  const name = rest[0] ?? ''
  if (!findAccount(vfs, name)) return fail(`usermod: user '${name}' does not exist`, 6)
  for (const group of (flags.get('-G') ?? flags.get('--groups') ?? '').split(',').filter(Boolean)) {
    if (!findGroup(vfs, group)) return fail(`usermod: group '${group}' does not exist`, 6)
    addToGroup(vfs, name, group)
  }
  const shell = flags.get('-s') ?? flags.get('--shell')
  const home = flags.get('-d') ?? flags.get('--home')
  rewrite(vfs, '/etc/passwd', name, (fields) => [...fields.slice(0, 5), home ?? fields[5] ?? '', shell ?? fields[6] ?? ''])
  if (flags.has('-L'))
    rewrite(vfs, '/etc/shadow', name, (fields) => [fields[0] ?? '', `!${(fields[1] ?? '').replace(/^!/, '')}`, ...fields.slice(2)])
  if (flags.has('-p')) rewrite(vfs, '/etc/shadow', name, (fields) => [fields[0] ?? '', flags.get('-p') ?? '', ...fields.slice(2)])
  return ok()
}

const userdel: Program = (args, run) => {
  const { vfs } = run.guest
  const { flags, rest } = options(args)
  const account = findAccount(vfs, rest[0] ?? '')
  if (!account) return fail(`userdel: user '${rest[0] ?? ''}' does not exist`, 6)
  for (const file of ['/etc/passwd', '/etc/shadow']) rewrite(vfs, file, account.name, () => undefined)
  if (findGroup(vfs, account.name)?.gid === account.gid) rewrite(vfs, '/etc/group', account.name, () => undefined)
  if (vfs.exists('/etc/group'))
    vfs.write(
      '/etc/group',
      vfs
        .readText('/etc/group')
        .split('\n')
        .map((line) =>
          line
            .split(':')
            .map((field, at) =>
              at === 3
                ? field
                    .split(',')
                    .filter((each) => each !== account.name)
                    .join(',')
                : field,
            )
            .join(':'),
        )
        .join('\n'),
    )
  if (flags.has('-r') || flags.has('--remove')) vfs.remove(account.home, ROOT, { recursive: true, force: true })
  return ok()
}

const passwd: Program = (args, run) => {
  const { flags, rest } = options(args)
  const name = rest[0] ?? run.account.name
  if (run.as.uid !== 0) return fail('passwd: Authentication token manipulation error')
  const locked = flags.has('-l') || flags.has('--lock')
  if (flags.has('-S') || flags.has('--status')) {
    const hash =
      /^[^:]*:([^:]*)/.exec(
        run.guest.vfs
          .readText('/etc/shadow')
          .split('\n')
          .find((line) => line.startsWith(`${name}:`)) ?? '',
      )?.[1] ?? ''
    return ok(`${name} ${hash === '' ? 'NP' : /^[!*]/.test(hash) ? 'L' : 'P'} 2026-01-01 0 99999 7 -1\n`)
  }
  const change = (hash: string): string =>
    locked ? `!${hash.replace(/^!/, '')}` : flags.has('-d') || flags.has('--delete') ? '' : flags.has('-u') ? hash.replace(/^!/, '') : hash
  return rewrite(run.guest.vfs, '/etc/shadow', name, (fields) => [fields[0] ?? '', change(fields[1] ?? ''), ...fields.slice(2)])
    ? ok()
    : fail(`passwd: user '${name}' does not exist`)
}

export const userPrograms: Readonly<Record<string, Program>> = {
  useradd: asRoot(useradd),
  adduser: asRoot(useradd),
  usermod: asRoot(usermod),
  userdel: asRoot(userdel),
  passwd,
  groupmod: asRoot((args, run) => {
    const {
      flags,
      rest: [name = ''],
    } = options(args, ['-g', '--gid', '-n', '--new-name'])
    const gid = flags.get('-g') ?? flags.get('--gid') ?? ''
    const { vfs } = run.guest
    if (
      vfs
        .readText('/etc/group')
        .split('\n')
        .some((line) => line.split(':')[2] === gid && !line.startsWith(`${name}:`))
    )
      return fail(`groupmod: GID '${gid}' already exists`, 4)
    return rewrite(vfs, '/etc/group', name, (fields) => fields.with(2, gid)) ? ok() : fail(`groupmod: group '${name}' does not exist`, 6)
  }),
  groupadd: asRoot((args, run) => {
    const { flags, rest } = options(args, ['-g', '--gid'])
    const name = rest[0] ?? ''
    if (findGroup(run.guest.vfs, name)) return flags.has('-f') ? ok() : fail(`groupadd: group '${name}' already exists`, 9)
    const gid = flags.get('-g') ?? flags.get('--gid')
    addGroup(run.guest.vfs, name, { system: flags.has('-r') || flags.has('--system'), ...(gid !== undefined && { gid: Number(gid) }) })
    return ok()
  }),
  addgroup: asRoot((args, run) => {
    const { flags, rest } = options(args, ['--gid'])
    addGroup(run.guest.vfs, rest[0] ?? '', { system: flags.has('--system') })
    return ok()
  }),
  groupdel: asRoot((args, run) =>
    rewrite(run.guest.vfs, '/etc/group', args[0] ?? '', () => undefined)
      ? ok()
      : fail(`groupdel: group '${args[0] ?? ''}' does not exist`, 6),
  ),
  chpasswd: asRoot((args, run) => {
    for (const line of run.stdin.split('\n').filter(Boolean)) {
      const [name = ''] = line.split(':')
      // Only that there is a password now; what it is stays out of the model.
      if (
        !rewrite(run.guest.vfs, '/etc/shadow', name, (fields) => [
          name,
          args.includes('-e') ? line.slice(name.length + 1) : '$y$fake',
          ...fields.slice(2),
        ])
      )
        return fail(`chpasswd: line 1: user '${name}' does not exist`)
    }
    return ok()
  }),
  visudo: (args, run) => {
    const file = args[args.indexOf('-f') + 1] ?? args.at(-1)
    const path = args.some((word) => word.includes('f')) && file?.startsWith('/') ? file : '/etc/sudoers'
    const bad = run.guest.vfs
      .readText(path, run.as)
      .split('\n')
      .find((line) => line.trim() !== '' && !/^(\s*#|@include|Defaults|[%\w.+-]+\s+\w+\s*=|\w+_Alias)/.test(line))
    return bad === undefined ? ok(`${path}: parsed OK\n`) : fail(`${path}:1:1: syntax error\n${bad}`)
  },
}
