/** Users and groups of a fake guest: /etc/passwd, /etc/group and /etc/shadow, read and changed as files. */
import type { Credentials, Vfs } from './vfs.ts'

export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
  readonly shell: string
}

export interface Group {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

function lines(vfs: Vfs, path: string): string[][] {
  return vfs.exists(path)
    ? vfs
        .readText(path)
        .split('\n')
        .filter((line) => line.includes(':'))
        .map((line) => line.split(':'))
    : []
}

export function accounts(vfs: Vfs): Account[] {
  return lines(vfs, '/etc/passwd').map(([name = '', , uid = '', gid = '', , home = '/', shell = '/bin/sh']) => ({
    name,
    uid: Number(uid),
    gid: Number(gid),
    home,
    shell,
  }))
}

export function groups(vfs: Vfs): Group[] {
  return lines(vfs, '/etc/group').map(([name = '', , gid = '', members = '']) => ({
    name,
    gid: Number(gid),
    members: members.split(',').filter(Boolean),
  }))
}

/** By name or by number. */
export function findAccount(vfs: Vfs, user: string | number): Account | undefined {
  return accounts(vfs).find((each) => each.name === user || each.uid === Number(user))
}

export function findGroup(vfs: Vfs, group: string | number): Group | undefined {
  return groups(vfs).find((each) => each.name === group || each.gid === Number(group))
}

export function credentialsOf(vfs: Vfs, account: Account): Credentials {
  const also = groups(vfs)
    .filter((group) => group.members.includes(account.name))
    .map((group) => group.gid)
  return { uid: account.uid, gid: account.gid, groups: [account.gid, ...also] }
}

function nextFree(taken: readonly number[], system: boolean): number {
  for (let id = system ? 999 : 1000; ; id += system ? -1 : 1) if (!taken.includes(id)) return id
}

export interface NewUser {
  readonly name: string
  readonly uid?: number
  readonly group?: string
  readonly groups?: readonly string[]
  readonly home?: string
  readonly shell?: string
  readonly system?: boolean
  readonly createHome?: boolean
}

export function addGroup(vfs: Vfs, name: string, options: { gid?: number; system?: boolean } = {}): number {
  const known = findGroup(vfs, name)
  if (known) return known.gid
  const gid =
    options.gid ??
    nextFree(
      groups(vfs).map((each) => each.gid),
      options.system ?? false,
    )
  vfs.write('/etc/group', `${name}:x:${gid}:\n`, undefined, { append: true })
  return gid
}

/** Makes a user as `useradd` does; a name that is there already is left as it is, but for its groups. */
export function addUser(vfs: Vfs, user: NewUser): Account {
  let account = findAccount(vfs, user.name)
  if (!account) {
    const uid =
      user.uid ??
      nextFree(
        [...accounts(vfs), ...groups(vfs).map((each) => ({ uid: each.gid }))].map((each) => each.uid),
        user.system ?? false,
      )
    const gid =
      user.group !== undefined
        ? (findGroup(vfs, user.group)?.gid ?? addGroup(vfs, user.group))
        : addGroup(vfs, user.name, { gid: uid, system: user.system ?? false })
    const home = user.home ?? `/home/${user.name}`
    account = { name: user.name, uid, gid, home, shell: user.shell ?? '/bin/sh' }
    vfs.write('/etc/passwd', `${user.name}:x:${uid}:${gid}::${home}:${account.shell}\n`, undefined, { append: true })
    vfs.write('/etc/shadow', `${user.name}:!:20000:0:99999:7:::\n`, undefined, { append: true })
    if (user.createHome && !vfs.exists(home)) {
      vfs.mkdir(home, undefined, { parents: true, mode: 0o755 })
      vfs.chown(home, uid, gid)
    }
  }
  for (const group of user.groups ?? []) addToGroup(vfs, user.name, group)
  return account
}

export function addToGroup(vfs: Vfs, user: string, group: string): void {
  addGroup(vfs, group, { system: true })
  rewrite(vfs, '/etc/group', group, (fields) => {
    const members = (fields[3] ?? '').split(',').filter(Boolean)
    if (!members.includes(user)) members.push(user)
    return [fields[0] ?? group, fields[1] ?? 'x', fields[2] ?? '', members.join(',')]
  })
}

/** Changes or (with undefined) removes the line of `name` in a colon-separated file. */
export function rewrite(vfs: Vfs, path: string, name: string, change: (fields: string[]) => string[] | undefined): boolean {
  let hit = false
  const kept = lines(vfs, path).flatMap((fields) => {
    if (fields[0] !== name) return [fields]
    hit = true
    const changed = change(fields)
    return changed ? [changed] : []
  })
  if (hit) vfs.write(path, `${kept.map((fields) => fields.join(':')).join('\n')}\n`)
  return hit
}
