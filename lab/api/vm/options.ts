/** The options of a VM's configuration: types, limits and property formats. */
import { flag, integer, like, number, oneOf, text, type Param, type PropertyFormat } from '../schema.ts'
import { numberedLimits, paramFor } from '../check.ts'

const o = <T extends Param>(param: T) => ({ ...param, optional: true as const })
const alias = (key: string) => ({ type: 'string' as const, optional: true as const, alias: key })

const speeds: PropertyFormat = Object.fromEntries([
  ...['bps', 'bps_rd', 'bps_wr', 'iops', 'iops_rd', 'iops_wr', 'iops_max', 'iops_rd_max', 'iops_wr_max'].map((key) => [key, o(integer())]),
  ...['bps', 'bps_rd', 'bps_wr', 'iops', 'iops_rd', 'iops_wr'].map((key) => [`${key}_max_length`, o(integer({ min: 1 }))]),
  ...['mbps', 'mbps_rd', 'mbps_wr', 'mbps_max', 'mbps_rd_max', 'mbps_wr_max'].map((key) => [key, o(number())]),
])

const commonDrive: PropertyFormat = {
  ...speeds,
  file: { ...like('pve-volume-id-or-qm-path'), bare: true },
  volume: alias('file'),
  aio: o(oneOf('native', 'threads', 'io_uring')),
  backup: o(flag),
  cache: o(oneOf('none', 'writethrough', 'writeback', 'unsafe', 'directsync')),
  detect_zeroes: o(flag),
  discard: o(oneOf('ignore', 'on')),
  format: o(oneOf('raw', 'qcow', 'qed', 'qcow2', 'vmdk', 'cloop')),
  'import-from': o(like('pve-volume-id-or-absolute-path')),
  media: o(oneOf('cdrom', 'disk')),
  replicate: o(flag),
  rerror: o(oneOf('ignore', 'report', 'stop')),
  serial: o(like('urlencoded', { maxLength: 60 })),
  shared: o(flag),
  size: o(like('disk-size')),
  snapshot: o(flag),
  werror: o(oneOf('enospc', 'ignore', 'report', 'stop')),
}
const wwn = o(text({ pattern: /0x[0-9a-fA-F]{16}/ }))
const ssd = o(flag)

export const driveFormats: Readonly<Record<string, PropertyFormat>> = {
  ide: { ...commonDrive, ssd, wwn, model: o(like('urlencoded', { maxLength: 120 })) },
  sata: { ...commonDrive, ssd, wwn },
  scsi: {
    ...commonDrive,
    ssd,
    wwn,
    iothread: o(flag),
    ro: o(flag),
    scsiblock: o(flag),
    queues: o(integer({ min: 2 })),
    product: o(text({ pattern: /[A-Za-z0-9\-_\s]{0,16}/ })),
    vendor: o(text({ pattern: /[A-Za-z0-9\-_\s]{0,8}/ })),
  },
  virtio: { ...commonDrive, iothread: o(flag), ro: o(flag) },
  efidisk: {
    file: { ...like('pve-volume-id-or-qm-path'), bare: true },
    volume: alias('file'),
    efitype: o(oneOf('2m', '4m')),
    format: o(oneOf('raw', 'qcow', 'qed', 'qcow2', 'vmdk', 'cloop')),
    'import-from': o(like('pve-volume-id-or-absolute-path')),
    'ms-cert': o(oneOf('2011', '2023', '2023w', '2023k')),
    'pre-enrolled-keys': o(flag),
    size: o(like('disk-size')),
  },
  tpmstate: {
    file: { ...like('pve-volume-id-or-qm-path'), bare: true },
    volume: alias('file'),
    format: o(oneOf('raw', 'qcow2', 'vmdk')),
    'import-from': o(like('pve-volume-id-or-absolute-path')),
    size: o(like('disk-size')),
    version: o(oneOf('v1.2', 'v2.0')),
  },
  unused: { file: { ...like('pve-volume-id'), bare: true }, volume: alias('file') },
}

const models = [
  'e1000',
  'e1000-82540em',
  'e1000-82544gc',
  'e1000-82545em',
  'e1000e',
  'i82551',
  'i82557b',
  'i82559er',
  'ne2k_isa',
  'ne2k_pci',
  'pcnet',
  'rtl8139',
  'virtio',
  'vmxnet3',
]
export const netFormat: PropertyFormat = {
  ...Object.fromEntries(models.map((model) => [model, { type: 'string', optional: true, alias: 'macaddr', keyAlias: 'model' } as const])),
  model: { ...oneOf(...models), bare: true },
  macaddr: o(like('mac-addr')),
  bridge: o(like('pve-bridge-id')),
  firewall: o(flag),
  link_down: o(flag),
  mtu: o(integer({ min: 1, max: 65520 })),
  queues: o(integer({ min: 0, max: 64 })),
  rate: o(number({ min: 0 })),
  tag: o(integer({ min: 1, max: 4094 })),
  trunks: o(text({ pattern: /\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*/ })),
}

export const agentFormat: PropertyFormat = {
  enabled: { ...flag, bare: true },
  'freeze-fs': o(flag),
  'freeze-fs-on-backup': alias('freeze-fs'),
  'guest-fsfreeze': alias('freeze-fs'),
  fstrim_cloned_disks: o(flag),
  type: o(oneOf('virtio', 'isa')),
}

export const machineFormat: PropertyFormat = {
  type: {
    ...o(
      text({
        maxLength: 40,
        pattern:
          /(pc|pc(-i440fx)?-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|q35|pc-q35-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|virt(?:-\d+(\.\d+)+)?(\+pve\d+)?)/,
      }),
    ),
    bare: true,
  },
  'aw-bits': o(number({ min: 32, max: 64 })),
  'enable-s3': o(flag),
  'enable-s4': o(flag),
  viommu: o(oneOf('intel', 'virtio')),
}

const vgaFormat: PropertyFormat = {
  type: {
    ...o(
      oneOf(
        'cirrus',
        'qxl',
        'qxl2',
        'qxl3',
        'qxl4',
        'none',
        'serial0',
        'serial1',
        'serial2',
        'serial3',
        'std',
        'virtio',
        'virtio-gl',
        'vmware',
      ),
    ),
    bare: true,
  },
  clipboard: o(oneOf('vnc')),
  memory: o(integer({ min: 4, max: 512 })),
}

const audioFormat: PropertyFormat = { device: oneOf('ich9-intel-hda', 'intel-hda', 'AC97'), driver: o(oneOf('spice', 'none')) }
const ivshmemFormat: PropertyFormat = { name: o(text({ pattern: /[a-zA-Z0-9-]+/ })), size: integer({ min: 1 }) }
const ids = text({ pattern: /\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*/ })
const numaFormat: PropertyFormat = {
  cpus: ids,
  hostnodes: o(ids),
  memory: o(number()),
  policy: o(oneOf('preferred', 'bind', 'interleave')),
}
const spiceFormat: PropertyFormat = { foldersharing: o(flag), videostreaming: o(oneOf('off', 'all', 'filter')) }
const usbFormat: PropertyFormat = {
  host: {
    ...o(text({ pattern: /(?:(?:(?:(0x)?([0-9A-Fa-f]{4}):(0x)?([0-9A-Fa-f]{4})))|(?:(?:(\d+)-(\d+(\.\d+)*)))|[Ss][Pp][Ii][Cc][Ee])/ })),
    bare: true,
  },
  mapping: o(like('pve-configid')),
  usb3: o(flag),
}
const virtiofsFormat: PropertyFormat = {
  dirid: { ...like('pve-configid'), bare: true },
  cache: o(oneOf('auto', 'always', 'metadata', 'never')),
  'direct-io': o(flag),
  'expose-acl': o(flag),
  'expose-xattr': o(flag),
}
const keyboards = [
  'de',
  'de-ch',
  'da',
  'en-gb',
  'en-us',
  'es',
  'fi',
  'fr',
  'fr-be',
  'fr-ca',
  'fr-ch',
  'hu',
  'is',
  'it',
  'ja',
  'lt',
  'mk',
  'nl',
  'no',
  'pl',
  'pt',
  'pt-br',
  'sv',
  'sl',
  'tr',
]

const drive = (bus: string): Param => text({ properties: driveFormats[bus] as PropertyFormat })

/** Everything that a configuration may hold and the API may set; all of it is optional. */
export const vmOptions: Readonly<Record<string, Param>> = Object.fromEntries(
  Object.entries({
    arch: oneOf('x86_64', 'aarch64'),
    audio0: text({ properties: audioFormat }),
    ivshmem: text({ properties: ivshmemFormat }),
    keyboard: oneOf(...keyboards),
    'numa[n]': text({ properties: numaFormat }),
    'parallel[n]': text({ pattern: /\/dev\/parport\d+|\/dev\/usb\/lp\d+/ }),
    spice_enhancements: text({ properties: spiceFormat }),
    tpmstate0: drive('tpmstate'),
    'usb[n]': text({ properties: usbFormat }),
    'virtiofs[n]': text({ properties: virtiofsFormat }),
    acpi: flag,
    affinity: like('pve-cpuset'),
    agent: text({ properties: agentFormat }),
    'allow-ksm': flag,
    args: text(),
    autostart: flag,
    balloon: integer({ min: 0 }),
    bios: oneOf('seabios', 'ovmf'),
    boot: like('pve-qm-boot'),
    bootdisk: like('pve-qm-bootdisk', { pattern: /(ide|sata|scsi|virtio)\d+/ }),
    cdrom: like('pve-qm-ide'),
    cicustom: like('pve-qm-cicustom'),
    cipassword: text(),
    citype: oneOf('configdrive2', 'nocloud', 'opennebula'),
    ciupgrade: flag,
    ciuser: text(),
    cores: integer({ min: 1 }),
    cpu: like('pve-vm-cpu-conf'),
    cpulimit: number({ min: 0, max: 128 }),
    cpuunits: integer({ min: 1, max: 262144 }),
    description: text({ maxLength: 8192 }),
    efidisk0: drive('efidisk'),
    freeze: flag,
    hookscript: like('pve-volume-id'),
    'hostpci[n]': like('pve-qm-hostpci'),
    hotplug: like('pve-hotplug-features'),
    hugepages: oneOf('any', '2', '1024'),
    'ide[n]': drive('ide'),
    'ipconfig[n]': like('pve-qm-ipconfig'),
    keephugepages: flag,
    kvm: flag,
    localtime: flag,
    lock: oneOf('backup', 'clone', 'create', 'migrate', 'rollback', 'snapshot', 'snapshot-delete', 'suspending', 'suspended'),
    machine: text({ properties: machineFormat }),
    memory: text({ properties: { current: { ...integer({ min: 16 }), bare: true } } }),
    migrate_downtime: number({ min: 0 }),
    migrate_speed: integer({ min: 0 }),
    name: like('dns-name'),
    nameserver: like('address-list'),
    'net[n]': text({ properties: netFormat }),
    numa: flag,
    onboot: flag,
    ostype: oneOf('other', 'wxp', 'w2k', 'w2k3', 'w2k8', 'wvista', 'win7', 'win8', 'win10', 'win11', 'l24', 'l26', 'solaris'),
    protection: flag,
    reboot: flag,
    rng0: like('pve-qm-rng'),
    'sata[n]': drive('sata'),
    'scsi[n]': drive('scsi'),
    scsihw: oneOf('lsi', 'lsi53c810', 'virtio-scsi-pci', 'virtio-scsi-single', 'megasas', 'pvscsi'),
    searchdomain: text(),
    'serial[n]': text({ pattern: /(\/dev\/.+|socket)/ }),
    shares: integer({ min: 0, max: 50000 }),
    smbios1: like('pve-qm-smbios1', { maxLength: 512 }),
    smp: integer({ min: 1 }),
    sockets: integer({ min: 1 }),
    sshkeys: like('urlencoded'),
    startdate: text({ pattern: /(now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?)/ }),
    startup: like('pve-startup-order'),
    tablet: flag,
    tags: like('pve-tag-list'),
    tdf: flag,
    template: flag,
    'unused[n]': drive('unused'),
    vcpus: integer({ min: 1 }),
    vga: text({ properties: vgaFormat }),
    'virtio[n]': drive('virtio'),
    vmgenid: text({ pattern: /(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])/ }),
    vmstatestorage: like('pve-storage-id'),
    watchdog: like('pve-qm-watchdog'),
  } satisfies Record<string, Param>).map(([name, param]) => [name, { ...param, optional: true }]),
)

/** Options that Proxmox VE keeps in a configuration, though the lab or its API does not set them. */
const kept = new Set([
  'amd-sev',
  'intel-tdx',
  'meta',
  'parent',
  'runningcpu',
  'runningmachine',
  'running-nets-host-mtu',
  'snaptime',
  'vmstate',
])
/** Whether a configuration can hold it at all. */
export const isOption = (name: string): boolean => kept.has(name) || paramFor(vmOptions, name) !== undefined

const range = (stem: string): string[] => Array.from({ length: (numberedLimits[stem] as number) + 1 }, (_, index) => `${stem}${index}`)

/** Slots that hold a drive, in PVE's order. */
export const driveSlots: readonly string[] = [
  ...range('ide'),
  ...range('scsi'),
  ...range('virtio'),
  ...range('sata'),
  'efidisk0',
  'tpmstate0',
]
export const unusedSlots: readonly string[] = range('unused')
export const isDriveSlot = (name: string): boolean => driveSlots.includes(name)
export const isUnusedSlot = (name: string): boolean => /^unused\d+$/.test(name)

const numeric = new Set(['integer', 'number', 'boolean'])
/** The value as the API gives it out: a JSON number where the schema says so. */
export function typedValue(name: string, value: string): string | number {
  const param = vmOptions[name]
  return param !== undefined && numeric.has(param.type) && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value
}
