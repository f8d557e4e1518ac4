/** Methods of storages and what they hold. */
import { all, and, any, everybody, flag, integer, like, method, oneOf, optional, or, text, type MethodTable } from './schema.ts'

const node = like('pve-node')
const storage = like('pve-storage-id')
const types = oneOf(
  'btrfs',
  'cephfs',
  'cifs',
  'dir',
  'esxi',
  'iscsi',
  'iscsidirect',
  'lvm',
  'lvmthin',
  'nfs',
  'pbs',
  'rbd',
  'zfs',
  'zfspool',
)
const read = any('/storage/{storage}', 'Datastore.Audit', 'Datastore.AllocateSpace')
const configuration = {
  storage,
  content: optional(like('pve-storage-content-list')),
  disable: optional(flag),
  shared: optional(flag),
  'create-base-path': optional(flag),
  'create-subdirs': optional(flag),
  format: optional(oneOf('raw', 'qcow2', 'subvol', 'vmdk')),
  mkdir: optional(flag),
  preallocation: optional(oneOf('off', 'metadata', 'falloc', 'full')),
}
/** Where a storage of some type is; the lab keeps what is said and looks at none of it. */
const ofTypes = {
  vgname: optional(like('pve-storage-vgname')),
  thinpool: optional(like('pve-storage-vgname')),
  pool: optional(text()),
  server: optional(like('pve-storage-server')),
  export: optional(like('pve-storage-path')),
  share: optional(text()),
  datastore: optional(text()),
  username: optional(text()),
  portal: optional(like('pve-storage-portal-dns')),
  target: optional(text()),
  iscsiprovider: optional(text()),
  blocksize: optional(text()),
  'snapshot-as-volume-chain': optional(flag),
}
const checksum = {
  checksum: optional(text({ requires: 'checksum-algorithm' })),
  'checksum-algorithm': optional({ ...oneOf('md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'), requires: 'checksum' }),
}
const uploadable = { ...oneOf('iso', 'vztmpl', 'import'), format: 'pve-storage-content' as const }
const vmid = optional({ ...integer({ min: 100, max: 999999999 }), format: 'pve-vmid' as const })
const volume = { node, storage: optional(storage), volume: text() }

export const storageMethods = {
  'GET /storage': method(everybody, { type: optional(types) }),
  'POST /storage': method(all('/storage', 'Datastore.Allocate'), {
    ...configuration,
    ...ofTypes,
    type: types,
    path: optional(like('pve-storage-path')),
  }),
  'GET /storage/{storage}': method(all('/storage/{storage}', 'Datastore.Allocate'), { storage }),
  'PUT /storage/{storage}': method(all('/storage', 'Datastore.Allocate'), {
    ...configuration,
    delete: optional(like('pve-configid-list', { maxLength: 4096 })),
    digest: optional(text({ maxLength: 64 })),
  }),
  'DELETE /storage/{storage}': method(all('/storage', 'Datastore.Allocate'), { storage }),
  'GET /nodes/{node}/storage': method(everybody, {
    node,
    storage: optional(storage),
    content: optional(like('pve-storage-content-list')),
    enabled: optional(flag),
    format: optional(flag),
    target: optional(node),
  }),
  'GET /nodes/{node}/storage/{storage}': method(read, { node, storage }),
  'GET /nodes/{node}/storage/{storage}/status': method(read, { node, storage }),
  'GET /nodes/{node}/storage/{storage}/content': method(read, { node, storage, content: optional(like('pve-storage-content')), vmid }),
  'POST /nodes/{node}/storage/{storage}/content': method(all('/storage/{storage}', 'Datastore.AllocateSpace'), {
    node,
    storage,
    filename: text(),
    format: optional({ ...oneOf('raw', 'qcow2', 'subvol', 'vmdk'), requires: 'size' }),
    size: text({ pattern: /\d+[MG]?/ }),
    vmid: { ...integer({ min: 100, max: 999999999 }), format: 'pve-vmid' },
  }),
  'GET /nodes/{node}/storage/{storage}/content/{volume}': method(everybody, volume),
  'DELETE /nodes/{node}/storage/{storage}/content/{volume}': method(everybody, {
    ...volume,
    delay: optional(integer({ min: 1, max: 30 })),
  }),
  'POST /nodes/{node}/storage/{storage}/upload': method(all('/storage/{storage}', 'Datastore.AllocateTemplate'), {
    node,
    storage,
    ...checksum,
    content: uploadable,
    filename: text({ maxLength: 255 }),
    tmpfilename: optional(text({ pattern: /\/var\/tmp\/pveupload-[0-9a-f]+/ })),
  }),
  'POST /nodes/{node}/storage/{storage}/download-url': method(
    and(
      all('/storage/{storage}', 'Datastore.AllocateTemplate'),
      or(all('/', 'Sys.Audit', 'Sys.Modify'), all('/nodes/{node}', 'Sys.AccessNetwork')),
    ),
    {
      node,
      storage,
      ...checksum,
      content: uploadable,
      filename: text({ maxLength: 255 }),
      url: text({ pattern: /https?:\/\/.*/ }),
      compression: optional(text()),
      'verify-certificates': optional(flag),
    },
  ),
} satisfies MethodTable
