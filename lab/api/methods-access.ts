/** Methods below /access and /pools. */
import {
  all,
  and,
  everybody,
  flag,
  integer,
  like,
  method,
  oneOf,
  optional,
  or,
  text,
  world,
  type Check,
  type MethodTable,
} from './schema.ts'

const userid = like('pve-userid', { maxLength: 64 })
const tokenid = text({ pattern: /[A-Za-z][A-Za-z0-9.\-_]+/ })
const self: Check = { kind: 'self' }
const realm: Check = { kind: 'realm' }
const userGroup = (privileges: string[], groupsParam?: 'create' | 'update'): Check => ({
  kind: 'userGroup',
  privileges,
  ...(groupsParam === undefined ? {} : { groupsParam }),
})
const selfOrManager = or(self, userGroup(['User.Modify']))
const person = {
  comment: optional(text({ maxLength: 2048 })),
  email: optional(like('email-opt', { maxLength: 254 })),
  enable: optional(flag),
  expire: optional(integer({ min: 0 })),
  firstname: optional(text({ maxLength: 1024 })),
  groups: optional(like('pve-groupid-list')),
  keys: optional(text({ pattern: /[0-9a-zA-Z!=]{0,4096}/ })),
  lastname: optional(text({ maxLength: 1024 })),
  userid,
}
const token = { userid, tokenid, comment: optional(text()), expire: optional(integer({ min: 0 })), privsep: optional(flag) }
const poolid = like('pve-poolid')
const poolChange = {
  poolid,
  'allow-move': optional(flag),
  comment: optional(text()),
  delete: optional(flag),
  storage: optional(like('pve-storage-id-list')),
  vms: optional(like('pve-vmid-list')),
}
const poolType = optional({ ...oneOf('qemu', 'lxc', 'storage'), requires: 'poolid' })
const allocate = all('/pool/{poolid}', 'Pool.Allocate')
const groupid = like('pve-groupid')
const roleid = like('pve-roleid')

export const accessMethods = {
  'GET /access': method(everybody),
  'GET /access/ticket': method(world),
  'POST /access/ticket': method(world, {
    username: text({ maxLength: 64 }),
    password: text(),
    realm: optional(like('pve-realm', { maxLength: 32 })),
    otp: optional(text()),
    path: optional(text({ requires: 'privs', maxLength: 64 })),
    privs: optional(like('pve-priv-list', { requires: 'path', maxLength: 64 })),
    'new-format': optional(flag),
    'tfa-challenge': optional(text()),
  }),
  'PUT /access/password': method(or(self, and(realm, userGroup(['User.Modify']))), {
    userid,
    password: text({ minLength: 8, maxLength: 64 }),
    'confirmation-password': optional(text({ minLength: 5, maxLength: 64 })),
  }),
  'GET /access/domains': method(world),
  'GET /access/permissions': method(everybody, {
    path: optional(text()),
    userid: optional(text({ pattern: /[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+(?:![A-Za-z][A-Za-z0-9.\-_]+)?/ })),
  }),
  'GET /access/acl': method(everybody),
  'PUT /access/acl': method(
    { kind: 'aclOf', path: '{path}' },
    {
      path: text(),
      roles: like('pve-roleid-list'),
      users: optional(like('pve-userid-list')),
      groups: optional(like('pve-groupid-list')),
      tokens: optional(like('pve-tokenid-list')),
      propagate: optional(flag),
      delete: optional(flag),
    },
  ),
  'GET /access/roles': method(everybody),
  'POST /access/roles': method(all('/access', 'Sys.Modify'), { roleid, privs: optional(like('pve-priv-list')) }),
  'GET /access/roles/{roleid}': method(everybody, { roleid }),
  'PUT /access/roles/{roleid}': method(all('/access', 'Sys.Modify'), {
    roleid,
    privs: optional(like('pve-priv-list')),
    append: optional({ ...flag, requires: 'privs' }),
  }),
  'DELETE /access/roles/{roleid}': method(all('/access', 'Sys.Modify'), { roleid }),
  'GET /access/groups': method(everybody),
  'POST /access/groups': method(all('/access/groups', 'Group.Allocate'), { groupid, comment: optional(text()) }),
  'GET /access/groups/{groupid}': method(
    { kind: 'perm', path: '/access/groups', privileges: ['Sys.Audit', 'Group.Allocate'], any: true },
    { groupid },
  ),
  'DELETE /access/groups/{groupid}': method(all('/access/groups', 'Group.Allocate'), { groupid }),
  'GET /access/users': method(everybody, { enabled: optional(flag), full: optional(flag) }),
  'POST /access/users': method(and(realm, userGroup(['User.Modify'], 'create')), {
    ...person,
    password: optional(text({ minLength: 8, maxLength: 64 })),
  }),
  'GET /access/users/{userid}': method(userGroup(['User.Modify', 'Sys.Audit']), { userid }),
  'PUT /access/users/{userid}': method(userGroup(['User.Modify'], 'update'), {
    ...person,
    append: optional({ ...flag, requires: 'groups' }),
  }),
  'DELETE /access/users/{userid}': method(and(realm, userGroup(['User.Modify'])), { userid }),
  'GET /access/users/{userid}/token': method(selfOrManager, { userid }),
  'GET /access/users/{userid}/token/{tokenid}': method(selfOrManager, { userid, tokenid }),
  'POST /access/users/{userid}/token/{tokenid}': method(selfOrManager, token),
  'PUT /access/users/{userid}/token/{tokenid}': method(selfOrManager, { ...token, delete: optional(like('pve-configid-list')) }),
  'DELETE /access/users/{userid}/token/{tokenid}': method(selfOrManager, { userid, tokenid }),

  'GET /pools': method(everybody, { poolid: optional(poolid), type: poolType }),
  'POST /pools': method(allocate, { poolid, comment: optional(text()) }),
  'PUT /pools': method(allocate, poolChange),
  'DELETE /pools': method(allocate, { poolid }),
  'GET /pools/{poolid}': method(all('/pool/{poolid}', 'Pool.Audit'), { poolid, type: optional(oneOf('qemu', 'lxc', 'storage')) }),
  'PUT /pools/{poolid}': method(allocate, poolChange),
  'DELETE /pools/{poolid}': method(allocate, { poolid }),
} satisfies MethodTable
