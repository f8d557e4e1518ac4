/** /access: users, tokens, roles, groups, ACLs, tickets. */
import { randomUUID } from 'node:crypto'
import type { State } from '../state/state.ts'
import type { Token, User } from '../state/types.ts'
import { permissionsOn, rolePrivileges } from './acl.ts'
import { hashPassword, hashSecret, login } from './authenticate.ts'
import type { Call, Handlers } from './context.ts'
import { fail, parameterError, taskErrorText } from './errors.ts'
import { splitList } from './formats.ts'
import { builtInRoles, privilegesOf } from './privileges.ts'

const realms = [
  { realm: 'pam', type: 'pam', comment: 'Linux PAM standard authentication' },
  { realm: 'pve', type: 'pve', comment: 'Proxmox VE authentication server' },
]

const stateOf = (call: Call): State => call.context.state
const userOf = (call: Call): User =>
  stateOf(call).access.value.users[call.params.userid as string] ?? fail(`no such user ('${call.params.userid}')`)
const save = (call: Call): null => {
  stateOf(call).access.save()
  return null
}

function ticket(call: Call): unknown {
  const { username = '', password = '', realm } = call.params
  const full = username.includes('@') || realm === undefined ? username : `${username}@${realm}`
  const made = login(stateOf(call), full, password)
  return { ...made, cap: capabilities(stateOf(call), full) }
}

/** What the web interface shows, by area. */
function capabilities(state: State, user: string): Record<string, Record<string, number>> {
  const areas: Record<string, { path: string; pattern: RegExp }> = {
    vms: { path: '/vms', pattern: /^(VM\.|Permissions\.Modify$)/ },
    storage: { path: '/storage', pattern: /^(Datastore\.|Permissions\.Modify$)/ },
    access: { path: '/access', pattern: /^(User\.Modify|Group\.Allocate|Permissions\.Modify)$/ },
    nodes: { path: '/nodes', pattern: /^(Sys\.|Permissions\.Modify$)/ },
    mapping: { path: '/mapping', pattern: /^(Mapping\.|Permissions\.Modify$)/ },
    sdn: { path: '/sdn', pattern: /^(SDN\.|Permissions\.Modify$)/ },
    dc: { path: '/', pattern: /^(Sys\.(Audit|Modify)|SDN\.)/ },
  }
  return Object.fromEntries(
    Object.entries(areas).map(([area, { path, pattern }]) => [
      area,
      Object.fromEntries(
        [...permissionsOn(state, user, path).keys()].filter((privilege) => pattern.test(privilege)).map((privilege) => [privilege, 1]),
      ),
    ]),
  )
}

function permissions(call: Call): unknown {
  const state = stateOf(call)
  const { userid, path } = call.params
  const authId = userid ?? call.caller.authId
  if (userid !== undefined && userid !== call.caller.authId && userid.split('!')[0] !== call.caller.userid)
    call.caller.require('/access', 'Sys.Audit')
  const members = Object.values(state.pools.value).flatMap(({ vms, storages }) => [
    ...vms.map((vmid) => `/vms/${vmid}`),
    ...storages.map((id) => `/storage/${id}`),
  ])
  const paths =
    path === undefined
      ? [
          ...new Set([
            '/',
            '/access',
            '/access/groups',
            '/nodes',
            '/pool',
            '/sdn',
            '/storage',
            '/vms',
            ...state.access.value.acls.map((acl) => acl.path),
            ...members,
          ]),
        ]
      : [path]
  const shown = paths.map(
    (at) =>
      [
        at,
        Object.fromEntries([...permissionsOn(state, authId, at)].map(([privilege, propagate]) => [privilege, propagate ? 1 : 0])),
      ] as const,
  )
  return Object.fromEntries(path === undefined ? shown.filter(([, privileges]) => Object.keys(privileges).length > 0) : shown)
}

const isAclPath = (path: string): boolean =>
  /^\/(access(\/groups(\/[\w.-]+)?|\/realm(\/[\w.-]+)?)?|mapping(\/\w+(\/[\w.-]+)?)?|nodes(\/[\w.-]+)?|pool(\/[\w.-]+){0,3}|sdn(\/(zones|controllers|dns|ipams|fabrics)(\/[\w.-]+){0,3})?|storage(\/[\w.-]+)?|vms(\/[1-9]\d{2,})?)?$/.test(
    path,
  )

function changeAcl(call: Call): null {
  const { path = '', roles = '', users, groups, tokens, propagate } = call.params
  const { access } = stateOf(call)
  if (users === undefined && groups === undefined && tokens === undefined) {
    const text = "either 'users', 'groups' or 'tokens' is required."
    throw parameterError({ users: text, groups: text, tokens: text })
  }
  const clean = `/${path}`.replace(/\/+/g, '/').replace(/(.)\/$/, '$1')
  if (call.params.delete !== '1' && !isAclPath(clean)) throw parameterError({ path: `invalid ACL path '${path}'` })
  const who = [
    ...splitList(users ?? '').map((id) => ({ kind: 'user' as const, id })),
    ...splitList(groups ?? '').map((id) => ({ kind: 'group' as const, id })),
    ...splitList(tokens ?? '').map((id) => ({ kind: 'token' as const, id })),
  ]
  const known = access.value
  let { acls } = known
  for (const role of splitList(roles)) {
    requireGrantable(call, clean, role)
    for (const { kind, id } of who) {
      if (kind === 'user' && known.users[id] === undefined) fail(`ACL update failed: user '${id}' does not exist`)
      if (kind === 'group' && known.groups[id] === undefined) fail(`ACL update failed: group '${id}' does not exist`)
      const [owner = '', token = ''] = id.split('!')
      if (kind === 'token' && known.users[owner]?.tokens[token] === undefined)
        fail(`ACL update failed: no such token '${token}' for user '${owner}'`)
      acls = acls.filter((acl) => !(acl.path === clean && acl.kind === kind && acl.id === id && acl.role === role))
      if (call.params.delete !== '1') acls.push({ path: clean, kind, id, role, propagate: propagate !== '0' })
    }
  }
  known.acls = acls
  return save(call)
}

/**
 * The method's own check lets in who may allocate a VM, a storage or a pool; they may hand on what they have
 * themselves, and no more (PVE::API2::ACL).
 * @throws 500, as PVE wraps its 400
 */
function requireGrantable(call: Call, path: string, role: string): void {
  const privileges = rolePrivileges(stateOf(call), role) ?? fail(`ACL update failed: role '${role}' does not exist`)
  const held = permissionsOn(stateOf(call), call.caller.authId, path)
  if (held.has('Permissions.Modify')) return
  const remove = call.params.delete === '1'
  const what = `Cannot ${remove ? 'remove' : 'add'} role '${role}'`
  const refuse = (text: string): never => fail(`ACL update failed: ${taskErrorText(parameterError({ role: text }))}`)
  if (role === 'NoAccess') refuse(`${what} - requires 'Permissions.Modify'`)
  for (const privilege of privileges) {
    const propagates = held.get(privilege)
    if (propagates === undefined) refuse(`${what} - requires 'Permissions.Modify' or superset of privileges.`)
    if (!remove && call.params.propagate !== '0' && propagates === false)
      refuse(`${what} with propagation - requires 'Permissions.Modify' or propagated superset of privileges.`)
  }
}

function listAcls(call: Call): unknown {
  const all = call.caller.has('/access', 'Sys.Audit')
  return stateOf(call)
    .access.value.acls.filter((acl) => all || call.caller.has(acl.path, 'Permissions.Modify'))
    .map((acl) => ({ path: acl.path, type: acl.kind, ugid: acl.id, roleid: acl.role, propagate: acl.propagate ? 1 : 0 }))
}

function requirePrivileges(call: Call, privileges: readonly string[], what: string): void {
  const known = privilegesOf(call.context.version)
  for (const privilege of privileges) if (!known.includes(privilege)) fail(`${what}: invalid privilege '${privilege}'`)
}

function createRole(call: Call): null {
  const { roleid = '' } = call.params
  const privileges = splitList(call.params.privs ?? '')
  if (rolePrivileges(stateOf(call), roleid) !== undefined) fail(`create role failed: role '${roleid}' already exists`)
  if (/^PVE/i.test(roleid)) throw parameterError({ roleid: "cannot use role ID starting with the (case-insensitive) 'PVE' namespace" })
  requirePrivileges(call, privileges, 'create role failed')
  stateOf(call).access.value.roles[roleid] = [...new Set(privileges)]
  return save(call)
}

function updateRole(call: Call): null {
  const { roleid = '', append } = call.params
  const { roles } = stateOf(call).access.value
  if (builtInRoles[roleid] !== undefined) fail(`auto-generated role '${roleid}' cannot be modified`)
  const before = roles[roleid] ?? fail(`update role failed: role '${roleid}' does not exist`)
  const privileges = splitList(call.params.privs ?? '')
  requirePrivileges(call, privileges, 'update role failed')
  roles[roleid] = [...new Set([...(append === '1' ? before : []), ...privileges])]
  return save(call)
}

function deleteRole(call: Call): null {
  const { roleid = '' } = call.params
  const { access } = stateOf(call)
  if (builtInRoles[roleid] !== undefined) fail(`auto-generated role '${roleid}' cannot be deleted`)
  if (access.value.roles[roleid] === undefined) fail(`delete role failed: role '${roleid}' does not exist`)
  delete access.value.roles[roleid]
  access.value.acls = access.value.acls.filter((acl) => acl.role !== roleid)
  return save(call)
}

const profile = ['comment', 'email', 'firstname', 'lastname'] as const

function change(user: User, params: Readonly<Record<string, string>>): void {
  for (const key of profile) if (params[key] !== undefined) user[key] = params[key]
  if (params.enable !== undefined) user.enable = params.enable === '1'
  if (params.expire !== undefined) user.expire = Number(params.expire)
  if (params.groups !== undefined) user.groups = [...new Set([...(params.append === '1' ? user.groups : []), ...splitList(params.groups)])]
}

function createUser(call: Call): null {
  const { userid = '', password } = call.params
  const { users } = stateOf(call).access.value
  const realm = userid.split('@').at(-1)
  if (!realms.some((known) => known.realm === realm)) fail(`create user failed: domain '${realm}' does not exist`)
  if (users[userid] !== undefined) fail(`create user failed: user '${userid}' already exists`)
  const user: User = {
    enable: true,
    expire: 0,
    groups: [],
    tokens: {},
    ...(password === undefined ? {} : { passwordHash: hashPassword(password) }),
  }
  change(user, call.params)
  users[userid] = user
  return save(call)
}

const shownUser = (user: User): Record<string, unknown> => ({
  enable: user.enable ? 1 : 0,
  expire: user.expire,
  ...Object.fromEntries(profile.filter((key) => user[key] !== undefined).map((key) => [key, user[key]])),
})
const shownToken = (token: Token): Record<string, unknown> => ({
  expire: token.expire,
  privsep: token.privsep ? 1 : 0,
  ...(token.comment === undefined ? {} : { comment: token.comment }),
})
const tokenOf = (call: Call): Token =>
  userOf(call).tokens[call.params.tokenid as string] ?? fail(`no such token '${call.params.tokenid}' for user '${call.params.userid}'`)

function listUsers(call: Call): unknown {
  const { users } = stateOf(call).access.value
  const everyone = call.caller.hasAny('/access/groups', 'User.Modify', 'Sys.Audit')
  return Object.entries(users)
    .filter(
      ([userid, user]) =>
        (everyone || userid === call.caller.userid) && (call.params.enabled === undefined || (call.params.enabled === '1') === user.enable),
    )
    .map(([userid, user]) => ({
      userid,
      ...shownUser(user),
      'realm-type': userid.split('@').at(-1),
      ...(call.params.full === '1'
        ? {
            groups: user.groups.join(','),
            tokens: Object.entries(user.tokens).map(([tokenid, token]) => ({ tokenid, ...shownToken(token) })),
          }
        : {}),
    }))
}

function deleteUser(call: Call): null {
  const { userid = '' } = call.params
  const { access } = stateOf(call)
  userOf(call)
  if (userid === 'root@pam') fail('delete user failed: you can not delete root@pam')
  delete access.value.users[userid]
  access.value.acls = access.value.acls.filter((acl) => !(acl.id === userid || acl.id.startsWith(`${userid}!`)))
  return save(call)
}

function createToken(call: Call): unknown {
  const { userid = '', tokenid = '', comment, expire, privsep } = call.params
  const user = userOf(call)
  if (user.tokens[tokenid] !== undefined) throw parameterError({ tokenid: 'Token already exists.' })
  const value = randomUUID()
  const separated = privsep !== '0'
  user.tokens[tokenid] = {
    secretHash: hashSecret(value),
    expire: Number(expire ?? user.expire),
    privsep: separated,
    ...(comment === undefined ? {} : { comment }),
  }
  save(call)
  return {
    'full-tokenid': `${userid}!${tokenid}`,
    value,
    info: { ...(comment === undefined ? {} : { comment }), ...(expire === undefined ? {} : { expire }), privsep: separated ? '1' : '0' },
  }
}

function updateToken(call: Call): unknown {
  const token = tokenOf(call)
  const { comment, expire, privsep } = call.params
  if (comment !== undefined) token.comment = comment
  if (expire !== undefined) token.expire = Number(expire)
  if (privsep !== undefined) token.privsep = privsep === '1'
  for (const key of splitList(call.params.delete ?? '')) if (key === 'comment') delete token.comment
  save(call)
  return shownToken(token)
}

function deleteToken(call: Call): null {
  const { userid = '', tokenid = '' } = call.params
  tokenOf(call)
  const { access } = stateOf(call)
  delete userOf(call).tokens[tokenid]
  access.value.acls = access.value.acls.filter((acl) => acl.id !== `${userid}!${tokenid}`)
  return save(call)
}

export const accessHandlers: Handlers = {
  'GET /access': () => ['users', 'groups', 'roles', 'acl', 'domains', 'openid', 'tfa', 'ticket', 'password'].map((subdir) => ({ subdir })),
  'GET /access/ticket': () => null,
  'POST /access/ticket': ticket,
  'PUT /access/password': (call) => {
    const user = userOf(call)
    if (!(call.params.userid as string).endsWith('@pve')) fail("can't change password on auth type 'pam'")
    user.passwordHash = hashPassword(call.params.password as string)
    return save(call)
  },
  'GET /access/domains': () => realms,
  'GET /access/permissions': permissions,
  'GET /access/acl': listAcls,
  'PUT /access/acl': changeAcl,
  'GET /access/roles': (call) => [
    ...Object.entries(builtInRoles).map(([roleid, privileges]) => ({ roleid, privs: privileges.join(','), special: 1 })),
    ...Object.entries(stateOf(call).access.value.roles).map(([roleid, privileges]) => ({
      roleid,
      privs: privileges.join(','),
      special: 0,
    })),
  ],
  'POST /access/roles': createRole,
  'GET /access/roles/{roleid}': (call) => {
    const { roleid = '' } = call.params
    return Object.fromEntries(
      (rolePrivileges(stateOf(call), roleid) ?? fail(`role '${roleid}' does not exist`)).map((privilege) => [privilege, 1]),
    )
  },
  'PUT /access/roles/{roleid}': updateRole,
  'DELETE /access/roles/{roleid}': deleteRole,
  'GET /access/groups': (call) =>
    Object.entries(stateOf(call).access.value.groups)
      .filter(([groupid]) => call.caller.hasAny(`/access/groups/${groupid}`, 'User.Modify', 'Sys.Audit', 'Group.Allocate'))
      .map(([groupid, { comment }]) => ({
        groupid,
        users: members(stateOf(call), groupid).join(','),
        ...(comment === undefined ? {} : { comment }),
      })),
  'POST /access/groups': (call) => {
    const { groupid = '', comment } = call.params
    const { groups } = stateOf(call).access.value
    if (groups[groupid] !== undefined) fail(`create group failed: group '${groupid}' already exists`)
    groups[groupid] = comment === undefined ? {} : { comment }
    return save(call)
  },
  'GET /access/groups/{groupid}': (call) => {
    const { groupid = '' } = call.params
    const group = stateOf(call).access.value.groups[groupid] ?? fail(`group '${groupid}' does not exist`)
    return { ...group, members: members(stateOf(call), groupid) }
  },
  'DELETE /access/groups/{groupid}': (call) => {
    const { groupid = '' } = call.params
    const { access } = stateOf(call)
    if (access.value.groups[groupid] === undefined) fail(`delete group failed: group '${groupid}' does not exist`)
    delete access.value.groups[groupid]
    for (const user of Object.values(access.value.users)) user.groups = user.groups.filter((name) => name !== groupid)
    access.value.acls = access.value.acls.filter((acl) => !(acl.kind === 'group' && acl.id === groupid))
    return save(call)
  },
  'GET /access/users': listUsers,
  'POST /access/users': createUser,
  'GET /access/users/{userid}': (call) => ({
    ...shownUser(userOf(call)),
    groups: userOf(call).groups,
    tokens: Object.fromEntries(Object.entries(userOf(call).tokens).map(([tokenid, token]) => [tokenid, shownToken(token)])),
  }),
  'PUT /access/users/{userid}': (call) => {
    change(userOf(call), call.params)
    return save(call)
  },
  'DELETE /access/users/{userid}': deleteUser,
  'GET /access/users/{userid}/token': (call) =>
    Object.entries(userOf(call).tokens).map(([tokenid, token]) => ({ tokenid, ...shownToken(token) })),
  'GET /access/users/{userid}/token/{tokenid}': (call) => shownToken(tokenOf(call)),
  'POST /access/users/{userid}/token/{tokenid}': createToken,
  'PUT /access/users/{userid}/token/{tokenid}': updateToken,
  'DELETE /access/users/{userid}/token/{tokenid}': deleteToken,
}

const members = (state: State, groupid: string): string[] =>
  Object.entries(state.access.value.users)
    .filter(([, user]) => user.groups.includes(groupid))
    .map(([userid]) => userid)
