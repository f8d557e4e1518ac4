/** Firewall methods: the cluster's options, rules, sets and aliases, and each VM's. */
import {
  all,
  any,
  everybody,
  flag,
  integer,
  like,
  method,
  oneOf,
  optional,
  text,
  type Check,
  type Method,
  type MethodTable,
  type Param,
} from './schema.ts'

const vm = { node: like('pve-node'), vmid: { ...integer({ min: 100, max: 999999999 }), format: 'pve-vmid' } as Param }
const levels = oneOf('emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug', 'nolog')
const policy = optional(oneOf('ACCEPT', 'REJECT', 'DROP'))
const digest = optional(text({ maxLength: 64 }))
const name = text({ minLength: 2, maxLength: 64, pattern: /[A-Za-z][A-Za-z0-9\-_]+/ })
const comment = optional(text())
const pos = optional(integer({ min: 0 }))
const rule = {
  comment,
  digest,
  pos,
  dest: optional(like('pve-fw-addr-spec', { maxLength: 512 })),
  source: optional(like('pve-fw-addr-spec', { maxLength: 512 })),
  dport: optional(like('pve-fw-dport-spec')),
  sport: optional(like('pve-fw-sport-spec')),
  enable: optional(integer({ min: 0 })),
  'icmp-type': optional(like('pve-fw-icmp-type-spec')),
  iface: optional(like('pve-iface', { minLength: 2, maxLength: 20 })),
  log: optional(levels),
  macro: optional(text({ maxLength: 128 })),
  proto: optional(like('pve-fw-protocol-spec')),
}
const action = text({ minLength: 2, maxLength: 20, pattern: /[A-Za-z][A-Za-z0-9\-_]+/ })
const type = oneOf('in', 'out', 'forward', 'group')
const remove = optional(like('pve-configid-list'))

function scope(base: string, where: Readonly<Record<string, Param>>, read: Check, write: Check): Record<string, Method> {
  return {
    [`GET ${base}`]: method(everybody, where),
    [`GET ${base}/options`]: method(read, where),
    [`GET ${base}/rules`]: method(read, where),
    [`POST ${base}/rules`]: method(write, { ...where, ...rule, action, type }),
    [`GET ${base}/rules/{pos}`]: method(read, { ...where, pos }),
    [`PUT ${base}/rules/{pos}`]: method(write, {
      ...where,
      ...rule,
      action: optional(action),
      type: optional(type),
      delete: remove,
      moveto: optional(integer({ min: 0 })),
    }),
    [`DELETE ${base}/rules/{pos}`]: method(write, { ...where, pos, digest }),
    [`GET ${base}/ipset`]: method(read, where),
    [`POST ${base}/ipset`]: method(write, { ...where, name, comment, digest, rename: optional(name) }),
    [`GET ${base}/ipset/{name}`]: method(read, { ...where, name }),
    [`POST ${base}/ipset/{name}`]: method(write, { ...where, name, cidr: like('IPorCIDRorAlias'), comment, nomatch: optional(flag) }),
    [`DELETE ${base}/ipset/{name}`]: method(write, { ...where, name, force: optional(flag) }),
    [`GET ${base}/ipset/{name}/{cidr}`]: method(read, { ...where, name, cidr: like('IPorCIDRorAlias') }),
    [`PUT ${base}/ipset/{name}/{cidr}`]: method(write, {
      ...where,
      name,
      cidr: like('IPorCIDRorAlias'),
      comment,
      digest,
      nomatch: optional(flag),
    }),
    [`DELETE ${base}/ipset/{name}/{cidr}`]: method(write, { ...where, name, cidr: like('IPorCIDRorAlias'), digest }),
    [`GET ${base}/aliases`]: method(read, where),
    [`POST ${base}/aliases`]: method(write, { ...where, name, cidr: like('IPorCIDR'), comment }),
    [`GET ${base}/aliases/{name}`]: method(read, { ...where, name }),
    [`PUT ${base}/aliases/{name}`]: method(write, { ...where, name, cidr: like('IPorCIDR'), comment, digest, rename: optional(name) }),
    [`DELETE ${base}/aliases/{name}`]: method(write, { ...where, name, digest }),
    [`GET ${base}/refs`]: method(read, { ...where, type: optional(oneOf('alias', 'ipset')) }),
  }
}

const vmBase = '/nodes/{node}/qemu/{vmid}/firewall'
const vmWrite = all('/vms/{vmid}', 'VM.Config.Network')
export const firewallMethods: MethodTable = {
  ...scope('/cluster/firewall', {}, any('/', 'Sys.Audit'), all('/', 'Sys.Modify')),
  ...scope(vmBase, vm, any('/vms/{vmid}', 'VM.Audit'), vmWrite),
  'GET /cluster/firewall/groups': method(everybody),
  'PUT /cluster/firewall/options': method(all('/', 'Sys.Modify'), {
    delete: remove,
    digest,
    ebtables: optional(flag),
    enable: optional(integer({ min: 0 })),
    policy_in: policy,
    policy_out: policy,
    policy_forward: optional(oneOf('ACCEPT', 'DROP')),
    log_ratelimit: optional(
      text({
        properties: {
          enable: { ...flag, bare: true },
          burst: optional(integer({ min: 0 })),
          rate: optional(text({ pattern: /[1-9][0-9]*\/(second|minute|hour|day)/ })),
        },
      }),
    ),
  }),
  [`PUT ${vmBase}/options`]: method(vmWrite, {
    ...vm,
    delete: remove,
    digest,
    dhcp: optional(flag),
    enable: optional(flag),
    ipfilter: optional(flag),
    log_level_in: optional(levels),
    log_level_out: optional(levels),
    macfilter: optional(flag),
    ndp: optional(flag),
    policy_in: policy,
    policy_out: policy,
    radv: optional(flag),
  }),
}
