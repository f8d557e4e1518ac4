/** Methods below /nodes/{node}/qemu. */
import {
  all,
  and,
  any,
  everybody,
  flag,
  ifGiven,
  integer,
  like,
  method,
  oneOf,
  optional,
  or,
  text,
  type Check,
  type MethodTable,
  type Param,
} from './schema.ts'
import { agentQueries } from './vm/agent-queries.ts'
import { driveSlots, unusedSlots, vmOptions } from './vm/options.ts'

const vm = { node: like('pve-node'), vmid: { ...integer({ min: 100, max: 999999999 }), format: 'pve-vmid' } as Param }
const digest = optional(text({ maxLength: 40 }))
const skiplock = optional(flag)
const timeout = optional(integer({ min: 0 }))
const vmidParam = vm.vmid
const at = '/vms/{vmid}'
const q = '/nodes/{node}/qemu/{vmid}'

const changeConfig: Check = any(
  at,
  'VM.Config.Disk',
  'VM.Config.CDROM',
  'VM.Config.CPU',
  'VM.Config.Memory',
  'VM.Config.Network',
  'VM.Config.HWType',
  'VM.Config.Options',
  'VM.Config.Cloudinit',
)
const configChange = {
  ...vmOptions,
  ...vm,
  skiplock,
  digest,
  delete: optional(like('pve-configid-list')),
  revert: optional(like('pve-configid-list')),
  force: optional({ ...flag, requires: 'delete' }),
}
const power = all(at, 'VM.PowerMgmt')
const audit = all(at, 'VM.Audit')
const agentAudit = any(at, 'VM.GuestAgent.Audit', 'VM.GuestAgent.Unrestricted')
const agentAll = all(at, 'VM.GuestAgent.Unrestricted')

export const vmMethods = {
  'GET /nodes/{node}/qemu': method(everybody, { node: vm.node, full: optional(flag) }),
  'POST /nodes/{node}/qemu': method(everybody, {
    ...vmOptions,
    ...vm,
    archive: optional(text({ maxLength: 255 })),
    bwlimit: optional(integer({ min: 0 })),
    force: optional({ ...flag, requires: 'archive' }),
    'ha-managed': optional(flag),
    'import-working-storage': optional(like('pve-storage-id')),
    'live-restore': optional(flag),
    pool: optional(like('pve-poolid')),
    start: optional(flag),
    storage: optional(like('pve-storage-id')),
    unique: optional({ ...flag, requires: 'archive' }),
  }),
  'GET /nodes/{node}/qemu/{vmid}': method(everybody, vm),
  [`DELETE ${q}`]: method(all(at, 'VM.Allocate'), { ...vm, skiplock, purge: optional(flag), 'destroy-unreferenced-disks': optional(flag) }),
  [`GET ${q}/config`]: method(audit, { ...vm, current: optional(flag), snapshot: optional(like('pve-configid', { maxLength: 40 })) }),
  [`PUT ${q}/config`]: method(changeConfig, configChange),
  [`POST ${q}/config`]: method(changeConfig, {
    ...configChange,
    background_delay: optional(integer({ min: 1, max: 30 })),
    'import-working-storage': optional(like('pve-storage-id')),
  }),
  [`GET ${q}/pending`]: method(audit, vm),
  [`GET ${q}/cloudinit`]: method(audit, vm),
  [`PUT ${q}/cloudinit`]: method(all(at, 'VM.Config.Cloudinit'), vm),
  [`GET ${q}/cloudinit/dump`]: method(audit, { ...vm, type: oneOf('user', 'network', 'meta') }),
  [`GET ${q}/feature`]: method(audit, {
    ...vm,
    feature: oneOf('snapshot', 'clone', 'copy'),
    snapname: optional(like('pve-configid', { maxLength: 40 })),
  }),
  [`GET ${q}/snapshot`]: method(audit, vm),
  [`POST ${q}/snapshot`]: method(all(at, 'VM.Snapshot'), {
    ...vm,
    snapname: like('pve-configid', { maxLength: 40 }),
    vmstate: optional(flag),
    description: optional(text()),
  }),
  [`DELETE ${q}/snapshot/{snapname}`]: method(all(at, 'VM.Snapshot'), {
    ...vm,
    snapname: like('pve-configid', { maxLength: 40 }),
    force: optional(flag),
  }),
  [`GET ${q}/snapshot/{snapname}/config`]: method(any(at, 'VM.Snapshot', 'VM.Snapshot.Rollback', 'VM.Audit'), {
    ...vm,
    snapname: like('pve-configid', { maxLength: 40 }),
  }),
  [`POST ${q}/clone`]: method(
    and(all(at, 'VM.Clone'), or(all('/vms/{newid}', 'VM.Allocate'), ifGiven('pool', '/pool/{pool}', 'VM.Allocate'))),
    {
      ...vm,
      newid: vmidParam,
      name: optional(like('dns-name')),
      description: optional(text()),
      pool: optional(like('pve-poolid')),
      snapname: optional(like('pve-configid', { maxLength: 40 })),
      storage: optional(like('pve-storage-id')),
      format: optional(oneOf('raw', 'qcow2', 'vmdk')),
      full: optional(flag),
      target: optional(like('pve-node')),
      bwlimit: optional(integer({ min: 0 })),
    },
  ),
  [`POST ${q}/template`]: method(all(at, 'VM.Allocate'), { ...vm, disk: optional(oneOf(...driveSlots)) }),
  [`PUT ${q}/resize`]: method(all(at, 'VM.Config.Disk'), {
    ...vm,
    skiplock,
    digest,
    disk: oneOf(...driveSlots),
    size: text({ pattern: /\+?\d+(\.\d+)?[KMGT]?/ }),
  }),
  [`POST ${q}/move_disk`]: method(all(at, 'VM.Config.Disk'), {
    ...vm,
    digest,
    disk: oneOf(...driveSlots, ...unusedSlots),
    storage: optional(like('pve-storage-id')),
    format: optional(oneOf('raw', 'qcow2', 'vmdk')),
    delete: optional(flag),
    bwlimit: optional(integer({ min: 0 })),
    'target-vmid': optional(vmidParam),
    'target-disk': optional(oneOf(...driveSlots, ...unusedSlots)),
    'target-digest': optional(text({ maxLength: 40 })),
  }),
  [`PUT ${q}/unlink`]: method(all(at, 'VM.Config.Disk'), { ...vm, idlist: like('pve-configid-list'), force: optional(flag) }),
  [`PUT ${q}/sendkey`]: method(all(at, 'VM.Console'), { ...vm, skiplock, key: text() }),
  [`GET ${q}/status`]: method(everybody, vm),
  [`GET ${q}/status/current`]: method(audit, vm),
  [`POST ${q}/status/start`]: method(power, {
    ...vm,
    skiplock,
    timeout,
    stateuri: optional(text({ maxLength: 128 })),
    migratedfrom: optional(like('pve-node')),
    migration_type: optional(oneOf('secure', 'insecure')),
    migration_network: optional(like('CIDR')),
    machine: optional(vmOptions.machine as Param),
    'force-cpu': optional(text()),
    targetstorage: optional(like('storage-pair-list')),
    'nets-host-mtu': optional(text({ pattern: /net\d+=\d+(,net\d+=\d+)*/ })),
    'with-conntrack-state': optional(flag),
  }),
  [`POST ${q}/status/stop`]: method(power, {
    ...vm,
    skiplock,
    timeout,
    keepActive: optional(flag),
    migratedfrom: optional(like('pve-node')),
    'overrule-shutdown': optional(flag),
  }),
  [`POST ${q}/status/shutdown`]: method(power, { ...vm, skiplock, timeout, forceStop: optional(flag), keepActive: optional(flag) }),
  [`POST ${q}/status/reboot`]: method(power, { ...vm, timeout }),
  [`POST ${q}/status/reset`]: method(power, { ...vm, skiplock }),
  [`POST ${q}/status/suspend`]: method(power, {
    ...vm,
    skiplock,
    todisk: optional(flag),
    statestorage: optional(like('pve-storage-id', { requires: 'todisk' })),
  }),
  [`POST ${q}/status/resume`]: method(power, { ...vm, skiplock, nocheck: optional(flag) }),
  [`GET ${q}/agent`]: method(everybody, vm),
  ...Object.fromEntries(agentQueries.map((command) => [`GET ${q}/agent/${command}`, method(agentAudit, vm)])),
  [`POST ${q}/agent/ping`]: method(agentAudit, vm),
  [`POST ${q}/agent/exec`]: method(agentAll, { ...vm, command: { type: 'array' }, 'input-data': optional(text({ maxLength: 65536 })) }),
  [`GET ${q}/agent/exec-status`]: method(agentAll, { ...vm, pid: integer() }),
  [`GET ${q}/agent/file-read`]: method(any(at, 'VM.GuestAgent.FileRead', 'VM.GuestAgent.Unrestricted'), {
    ...vm,
    file: text(),
    count: optional(integer({ min: 1, max: 16777216 })),
    decode: optional(flag),
    offset: optional(integer({ min: 0 })),
  }),
  [`POST ${q}/agent/file-write`]: method(any(at, 'VM.GuestAgent.FileWrite', 'VM.GuestAgent.Unrestricted'), {
    ...vm,
    file: text(),
    content: text({ maxLength: 61440 }),
    encode: optional(flag),
  }),
  [`POST ${q}/agent/fstrim`]: method(any(at, 'VM.GuestAgent.FileSystemMgmt', 'VM.GuestAgent.Unrestricted'), vm),
  [`POST ${q}/agent/shutdown`]: method(any(at, 'VM.PowerMgmt', 'VM.GuestAgent.Unrestricted'), vm),
} satisfies MethodTable
