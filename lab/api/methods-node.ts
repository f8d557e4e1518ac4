/** Methods of the node, its tasks and the cluster. */
import { all, everybody, flag, integer, like, method, number, oneOf, optional, or, text, type MethodTable } from './schema.ts'

const node = like('pve-node')
const upid = text()
const jobId = like('pve-replication-job-id', { pattern: /[1-9][0-9]{2,8}-\d{1,9}/ })
const sid = like('pve-ha-resource-or-vm-id')

export const nodeMethods = {
  'GET /version': method(everybody),
  'GET /nodes': method(everybody),
  'GET /nodes/{node}': method(everybody, { node }),
  'GET /nodes/{node}/status': method(all('/nodes/{node}', 'Sys.Audit'), { node }),
  'GET /nodes/{node}/version': method(everybody, { node }),
  'GET /nodes/{node}/certificates/info': method(everybody, { node }),
  'GET /nodes/{node}/time': method(all('/nodes/{node}', 'Sys.Audit'), { node }),
  'GET /nodes/{node}/dns': method(all('/nodes/{node}', 'Sys.Audit'), { node }),
  'GET /nodes/{node}/network': method(everybody, {
    node,
    type: optional(
      oneOf(
        'bridge',
        'bond',
        'eth',
        'alias',
        'vlan',
        'fabric',
        'OVSBridge',
        'OVSBond',
        'OVSPort',
        'OVSIntPort',
        'vnet',
        'any_bridge',
        'any_local_bridge',
        'include_sdn',
      ),
    ),
  }),
  'GET /nodes/{node}/network/{iface}': method(all('/nodes/{node}', 'Sys.Audit'), {
    node,
    iface: like('pve-iface', { minLength: 2, maxLength: 20 }),
  }),
  'GET /nodes/{node}/query-url-metadata': method(or(all('/', 'Sys.Audit', 'Sys.Modify'), all('/nodes/{node}', 'Sys.AccessNetwork')), {
    node,
    url: text({ pattern: /https?:\/\/.*/ }),
    'verify-certificates': optional(flag),
  }),
  'GET /nodes/{node}/tasks': method(everybody, {
    node,
    errors: optional(flag),
    limit: optional(integer({ min: 0 })),
    since: optional(integer()),
    source: optional(oneOf('archive', 'active', 'all')),
    start: optional(integer({ min: 0 })),
    statusfilter: optional(like('pve-task-status-type-list')),
    typefilter: optional(text()),
    until: optional(integer()),
    userfilter: optional(text()),
    vmid: optional({ ...integer({ min: 100, max: 999999999 }), format: 'pve-vmid' }),
  }),
  'GET /nodes/{node}/tasks/{upid}': method(everybody, { node, upid }),
  'GET /nodes/{node}/tasks/{upid}/status': method(everybody, { node, upid }),
  'GET /nodes/{node}/tasks/{upid}/log': method(everybody, {
    node,
    upid,
    start: optional(integer({ min: 0 })),
    limit: optional(integer({ min: 0 })),
    download: optional(flag),
  }),
  'DELETE /nodes/{node}/tasks/{upid}': method(everybody, { node, upid }),

  'GET /cluster/resources': method(everybody, { type: optional(oneOf('vm', 'storage', 'node', 'sdn')) }),
  'GET /cluster/nextid': method(everybody, { vmid: optional({ ...integer({ min: 100, max: 999999999 }), format: 'pve-vmid' }) }),
  'GET /cluster/status': method(all('/', 'Sys.Audit')),
  'GET /cluster/sdn/vnets': method(everybody, { pending: optional(flag), running: optional(flag) }),
  'GET /cluster/options': method(everybody),
  'GET /cluster/tasks': method(everybody),
  'GET /cluster/ha/resources': method(all('/', 'Sys.Audit'), { type: optional(oneOf('ct', 'vm')) }),
  'GET /cluster/ha/resources/{sid}': method(all('/', 'Sys.Audit'), { sid }),
  'POST /cluster/ha/resources': method(all('/', 'Sys.Console'), {
    sid,
    comment: optional(text({ maxLength: 4096 })),
    failback: optional(flag),
    group: optional(like('pve-configid')),
    max_relocate: optional(integer({ min: 0 })),
    max_restart: optional(integer({ min: 0 })),
    state: optional(oneOf('started', 'stopped', 'enabled', 'disabled', 'ignored')),
    type: optional(oneOf('ct', 'vm')),
  }),
  'DELETE /cluster/ha/resources/{sid}': method(all('/', 'Sys.Console'), { sid, purge: optional(flag) }),
  'GET /cluster/replication': method(everybody),
  'GET /nodes/{node}/replication': method(everybody, {
    node,
    guest: optional({ ...integer({ min: 100, max: 999999999 }), format: 'pve-vmid' }),
  }),
  'POST /cluster/replication': method(everybody, {
    id: jobId,
    type: oneOf('local'),
    target: node,
    comment: optional(text({ maxLength: 4096 })),
    disable: optional(flag),
    rate: optional(number({ min: 1 })),
    remove_job: optional(oneOf('local', 'full')),
    schedule: optional(like('pve-calendar-event', { maxLength: 128 })),
    source: optional(node),
  }),
  'DELETE /cluster/replication/{id}': method(everybody, { id: jobId, force: optional(flag), keep: optional(flag) }),
} satisfies MethodTable
