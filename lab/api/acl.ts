/** Which privileges somebody has on a path (PVE::RPCEnvironment::permissions). */
import type { State } from '../state/state.ts'
import type { Acl } from '../state/types.ts'
import { allPrivileges, builtInRoles, withAgents } from './privileges.ts'

/** Privilege → whether it propagates to what is below. */
export type Permissions = ReadonlyMap<string, boolean>

export const rolePrivileges = (state: State, role: string): readonly string[] | undefined =>
  builtInRoles[role] ?? state.access.value.roles[role]

/** `/vms/100` → `/`, `/vms`, `/vms/100`. */
function ancestors(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '')
  return ['/', ...parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`)]
}

/** Roles on one path: what is nearer replaces what is inherited, a person's own entries come before a group's. */
function rolesAt(state: State, authId: string, path: string): Map<string, boolean> {
  const token = authId.includes('!')
  const groups = token ? [] : (state.access.value.users[authId]?.groups ?? [])
  let roles = new Map<string, boolean>()
  for (const at of ancestors(path)) {
    const entries = state.access.value.acls.filter((acl) => acl.path === at && (at === path || acl.propagate))
    const own = entries.filter((acl) => acl.kind === (token ? 'token' : 'user') && acl.id === authId)
    const chosen: Acl[] = own.length > 0 ? own : entries.filter((acl) => acl.kind === 'group' && groups.includes(acl.id))
    if (chosen.length === 0) continue
    roles = chosen.some((acl) => acl.role === 'NoAccess')
      ? new Map([['NoAccess', chosen.some((acl) => acl.role === 'NoAccess' && acl.propagate)]])
      : new Map(chosen.map((acl) => [acl.role, acl.propagate]))
  }
  return roles
}

/** The pools that a VM or storage is in. */
function poolsOf(state: State, path: string): string[] {
  const vm = /^\/vms\/(\d+)$/.exec(path)?.[1]
  const storage = /^\/storage\/([^/]+)$/.exec(path)?.[1]
  return Object.entries(state.pools.value)
    .filter(([, pool]) => (vm !== undefined && pool.vms.includes(+vm)) || (storage !== undefined && pool.storages.includes(storage)))
    .map(([name]) => name)
}

/** What comes from a pool goes no further down, and NoAccess on either side is the last word. */
function withPools(state: State, authId: string, path: string, roles: Map<string, boolean>): Map<string, boolean> {
  if (roles.has('NoAccess')) return roles
  const fromPools = poolsOf(state, path).flatMap((pool) => [...rolesAt(state, authId, `/pool/${pool}`).keys()])
  if (fromPools.includes('NoAccess')) return new Map([['NoAccess', false]])
  return new Map([...fromPools.map((role) => [role, false] as const), ...roles])
}

/** Privileges of a user (`a@pve`) or a token (`a@pve!t`) on `path`. A separated token has at most those of its user. */
export function permissionsOn(state: State, authId: string, path: string): Permissions {
  if (authId === 'root@pam') return new Map(allPrivileges.map((privilege) => [privilege, true]))
  const [userid = '', tokenid] = authId.split('!')
  if (tokenid !== undefined) {
    const token = state.access.value.users[userid]?.tokens[tokenid]
    if (token === undefined) return new Map()
    if (!token.privsep) return permissionsOn(state, userid, path)
  }
  const roles = withPools(state, authId, path, rolesAt(state, authId, path))
  const privileges = new Map<string, boolean>()
  for (const [role, propagate] of roles) {
    for (const privilege of withAgents(rolePrivileges(state, role) ?? []))
      privileges.set(privilege, (privileges.get(privilege) ?? false) || propagate)
  }
  if (tokenid === undefined) return privileges
  const ofUser = permissionsOn(state, userid, path)
  return new Map(
    [...privileges]
      .filter(([privilege]) => ofUser.has(privilege))
      .map(([privilege, propagate]) => [privilege, propagate && ofUser.get(privilege) === true]),
  )
}
