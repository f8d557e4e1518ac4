/** Which kinds of storage setup takes, and what it says of the others. */
import { expect, it } from 'vitest'
import { diskStorageNote, diskStorageProblem, fileStorageProblem, storageKinds } from '../../proxmox/storage-kinds.ts'
import { planSetup, type SetupObserved, type SetupWanted } from '../../proxmox/setup.ts'

const wanted: SetupWanted = {
  node: 'pve',
  pool: 'golden',
  depotPool: 'golden-depots',
  disks: 'san',
  iso: 'golden-iso',
  isoPath: '/var/lib/golden-iso',
  bridge: 'vmbr0',
  tokenId: 'golden@pve!golden',
  depots: [{ vmid: 9200, name: 'home-serena-depot' }],
  management: ['192.168.1.0/24'],
  enableFirewall: false,
  replaceToken: false,
}
const host = (type: string, content = 'images,rootdir'): SetupObserved => ({
  nodes: [{ node: 'pve', status: 'online' }],
  bridges: ['vmbr0'],
  roles: [],
  users: [],
  tokens: [],
  acl: [],
  pools: [],
  storages: [
    { storage: 'san', type, content },
    { storage: 'local-lvm', type: 'lvmthin', content: 'images' },
    { storage: 'old', type: 'lvm', content: 'images' },
  ],
  vms: [],
  protectedVms: new Set(),
  firewall: { enabled: false, rules: [] },
})

it.each(['lvmthin', 'zfspool', 'rbd', 'dir', 'nfs', 'cifs', 'btrfs', 'glusterfs'])('%s has all that is needed: nothing to say', (type) => {
  const { problems, notes } = planSetup(wanted, host(type))
  expect({ problems, notes }).toEqual({ problems: [], notes: undefined })
})

it.each([
  ['lvm', /thick LVM.*no templates/],
  ['zfs', /ZFS over iSCSI.*to another VM/],
  ['iscsi', /iSCSI.*no disks/],
  ['iscsidirect', /no disks/],
  ['cephfs', /CephFS.*no disks/],
  ['esxi', /no disks/],
  ['pbs', /Backup Server.*no disks/],
])('%s is refused, with the setting and what works', (type, message) => {
  const { problems } = planSetup(wanted, host(type))
  expect(problems).toMatchObject([{ code: 'storage-kind', message: expect.stringMatching(message) }])
  expect(problems[0]?.message).toContain('storage san (proxmox.storage.disks)')
  expect(problems[0]?.hint).toMatch(/proxmox\.storage\.disks.*LVM-thin.*Here: local-lvm\.$/)
})

it('snapshots as chains of volumes change nothing for thick LVM; what a storage is enabled for comes after what it is', () => {
  expect(planSetup(wanted, host('lvm', 'rootdir')).problems).toMatchObject([{ code: 'storage-kind' }])
  expect(planSetup(wanted, host('lvmthin', 'rootdir')).problems).toMatchObject([{ code: 'storage-without-images' }])
})

it.each(['drbd', 'storpool', 'constructor'])('%s, a plugin of somebody else, is taken with full clones, and that is said', (type) => {
  const { problems, notes } = planSetup(wanted, host(type))
  expect(problems).toEqual([])
  expect(notes).toMatchObject([expect.stringMatching(/proxmox\.storage\.disks.*full copies of the image/)])
})

it('seeds and imports need a storage of files', () => {
  for (const [type, { files }] of Object.entries(storageKinds))
    expect(fileStorageProblem({ storage: 'isos', type }) === undefined, type).toBe(files)
  const { problems, steps } = planSetup({ ...wanted, disks: 'local-lvm', iso: 'san' }, host('lvmthin', 'none'))
  expect(problems).toMatchObject([{ code: 'storage-kind', message: expect.stringContaining('proxmox.storage.iso') }])
  expect(steps.filter(({ call }) => call.path.startsWith('/storage'))).toEqual([])
})

it('a note is for what works, a problem for what does not: never both', () => {
  for (const type of [...Object.keys(storageKinds), 'drbd']) {
    expect(
      [diskStorageProblem({ storage: 's', type }), diskStorageNote({ storage: 's', type })].filter((one) => one !== undefined).length,
      type,
    ).toBeLessThan(2)
  }
})
