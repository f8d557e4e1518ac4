/** Programs that change users and groups. */
import { addGroup, addUser, findAccount, findGroup, rewrite } from '../accounts.ts'
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
    '-b',
    '-K',
  ])
  const [name] = rest
  if (name === undefined) return fail(`Usage: ${run.name} [options] LOGIN`, 2)
  if (findAccount(vfs, name)) return fail(`useradd: user '${name}' already exists`, 9)
  const uid = flags.get('-u') ?? flags.get('--uid')
  if (uid !== undefined && findAccount(vfs, Number(uid)) && !flags.has('-o')) return fail(`useradd: UID ${uid} is not unique`, 4)
  const primary = flags.get('-g') ?? flags.get('--gid')
  if (primary !== undefined && !findGroup(vfs, primary)) return fail(`useradd: group '${primary}' does not exist`, 6)
  const wanted = (flags.get('-G') ?? flags.get('--groups') ?? '').split(',').filter(Boolean)
  const missing = wanted.find((each) => !findGroup(vfs, each))
  if (missing !== undefined) return fail(`useradd: group '${missing}' does not exist`, 6)
  const system = flags.has('-r') || flags.has('--system')
  const home = flags.get('-d') ?? flags.get('--home-dir') ?? flags.get('--home')
  const shell = flags.get('-s') ?? flags.get('--shell')
  const createHome = flags.has('-m') || flags.has('--create-home')
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

export const userPrograms: Readonly<Record<string, Program>> = {
  useradd: asRoot(useradd),
  userdel: asRoot(userdel),
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
}
