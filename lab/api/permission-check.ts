/** Carries out a method's permission expression (PVE::RPCEnvironment::exec_api2_perm_check). */
import type { State } from '../state/state.ts'
import type { Caller } from './caller.ts'
import { ApiError, permissionError } from './errors.ts'
import { splitList } from './formats.ts'
import type { Check } from './schema.ts'

/** Which privilege lets somebody change the ACL of a path, besides Permissions.Modify. */
function aclPrivileges(path: string): readonly string[] {
  if (/^\/storage\/./.test(path)) return ['Datastore.Allocate']
  if (/^\/vms\/./.test(path)) return ['VM.Allocate']
  if (/^\/pool\/./.test(path)) return ['Pool.Allocate']
  return []
}

/**
 * @param given the parameters as they came, not yet verified: PVE checks permissions first
 * @throws ApiError 403
 */
export function checkPermission(state: State, check: Check, caller: Caller, given: Readonly<Record<string, string | string[]>>): void {
  const value = (name: string): string | undefined => {
    const found = given[name]
    return Array.isArray(found) ? found.join(',') : found
  }
  const fill = (template: string): string => template.replace(/\{([^}]+)\}/g, (_, name: string) => value(name) ?? '')
  switch (check.kind) {
    case 'everybody':
    case 'world':
      return
    case 'rootOnly':
      if (!caller.isRoot) throw permissionError('user != root@pam')
      return
    case 'perm': {
      if (check.ifGiven !== undefined && value(check.ifGiven) === undefined) throw permissionError()
      const path = fill(check.path)
      if (check.any) caller.requireAny(path, ...check.privileges)
      else caller.require(path, ...check.privileges)
      return
    }
    case 'and':
      for (const part of check.of) checkPermission(state, part, caller, given)
      return
    case 'or':
      for (const part of check.of) {
        try {
          checkPermission(state, part, caller, given)
          return
        } catch (error) {
          if (!(error instanceof ApiError)) throw error
        }
      }
      throw permissionError()
    case 'aclOf': {
      const path = fill(check.path)
      if (!caller.hasAny(path, 'Permissions.Modify', ...aclPrivileges(path))) throw permissionError(`${path}, Permissions.Modify`)
      return
    }
    case 'self':
      if (value('userid') !== caller.userid || caller.tokenid !== undefined) throw permissionError()
      return
    case 'realm': {
      const realm = value('userid')?.split('@').at(-1) ?? ''
      caller.require(`/access/realm/${realm}`, 'Realm.AllocateUser')
      return
    }
    case 'userGroup': {
      if (caller.hasAny('/access/groups', ...check.privileges)) return
      const groups =
        check.groupsParam === 'create' ? splitList(value('groups') ?? '') : (state.access.value.users[value('userid') ?? '']?.groups ?? [])
      if (!groups.some((group) => caller.hasAny(`/access/groups/${group}`, ...check.privileges))) {
        throw permissionError(`/access/groups, ${check.privileges.join('|')}`)
      }
    }
  }
}
