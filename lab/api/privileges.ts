/** Privileges and built-in roles of Proxmox VE 9 (PVE::AccessControl). */

const groups = {
  vm: [
    'VM.Allocate',
    'VM.Audit',
    'VM.Backup',
    'VM.Clone',
    'VM.Config.CDROM',
    'VM.Config.CPU',
    'VM.Config.Cloudinit',
    'VM.Config.Disk',
    'VM.Config.HWType',
    'VM.Config.Memory',
    'VM.Config.Network',
    'VM.Config.Options',
    'VM.Console',
    'VM.GuestAgent.Audit',
    'VM.GuestAgent.FileRead',
    'VM.GuestAgent.FileSystemMgmt',
    'VM.GuestAgent.FileWrite',
    'VM.GuestAgent.Unrestricted',
    'VM.Migrate',
    'VM.PowerMgmt',
    'VM.Replicate',
    'VM.Snapshot',
    'VM.Snapshot.Rollback',
  ],
  sys: ['Sys.AccessNetwork', 'Sys.Audit', 'Sys.Console', 'Sys.Incoming', 'Sys.Modify', 'Sys.PowerMgmt', 'Sys.Syslog'],
  datastore: ['Datastore.Allocate', 'Datastore.AllocateSpace', 'Datastore.AllocateTemplate', 'Datastore.Audit'],
  sdn: ['SDN.Allocate', 'SDN.Audit', 'SDN.Use'],
  user: ['Group.Allocate', 'Permissions.Modify', 'Realm.Allocate', 'Realm.AllocateUser', 'User.Modify'],
  pool: ['Pool.Allocate', 'Pool.Audit'],
  mapping: ['Mapping.Audit', 'Mapping.Modify', 'Mapping.Use'],
} as const

export const allPrivileges: readonly string[] = Object.values(groups).flat()

const agents = allPrivileges.filter((privilege) => privilege.startsWith('VM.GuestAgent.'))

/** What this version knows: VM.Monitor was for guest agents before 9, where VM.GuestAgent.* and VM.Replicate came. */
export const privilegesOf = (version: string): readonly string[] =>
  Number.parseInt(version, 10) >= 9
    ? allPrivileges
    : [...allPrivileges.filter((privilege) => !agents.includes(privilege) && privilege !== 'VM.Replicate'), 'VM.Monitor']

/** Methods are written down as 9 has them. */
export const withAgents = (privileges: readonly string[]): readonly string[] =>
  privileges.includes('VM.Monitor') ? [...privileges, ...agents] : privileges

const vmUser = ['VM.Audit', 'VM.Backup', 'VM.Config.CDROM', 'VM.Config.Cloudinit', 'VM.Console', 'VM.GuestAgent.Audit', 'VM.PowerMgmt']

/** `special` roles: can't be changed or deleted. */
export const builtInRoles: Readonly<Record<string, readonly string[]>> = {
  Administrator: allPrivileges,
  NoAccess: [],
  PVEAdmin: allPrivileges.filter(
    (p) =>
      ![
        'Permissions.Modify',
        'Realm.Allocate',
        'Sys.Modify',
        'Sys.PowerMgmt',
        'Sys.Incoming',
        'Sys.AccessNetwork',
        'SDN.Allocate',
        'SDN.Use',
      ].includes(p),
  ),
  PVEAuditor: [...allPrivileges.filter((p) => /^[A-Z][A-Za-z]+\.Audit$/.test(p)), 'VM.GuestAgent.Audit'],
  PVEDatastoreAdmin: groups.datastore,
  PVEDatastoreUser: ['Datastore.AllocateSpace', 'Datastore.Audit'],
  PVEMappingAdmin: groups.mapping,
  PVEMappingAuditor: ['Mapping.Audit'],
  PVEMappingUser: ['Mapping.Audit', 'Mapping.Use'],
  PVEPoolAdmin: groups.pool,
  PVEPoolUser: ['Pool.Audit'],
  PVESDNAdmin: groups.sdn,
  PVESDNUser: ['SDN.Audit', 'SDN.Use'],
  PVESysAdmin: ['Sys.Audit', 'Sys.Console', 'Sys.Syslog'],
  PVETemplateUser: ['VM.Audit', 'VM.Clone'],
  PVEUserAdmin: ['Group.Allocate', 'Realm.AllocateUser', 'User.Modify'],
  PVEVMAdmin: groups.vm,
  PVEVMUser: vmUser,
}
