/** Proxmox VE's named formats: each returns a complaint (with its line end, as PVE spells it) or nothing. */
import { isIP, isIPv4, isIPv6 } from 'node:net'

type Format = (value: string) => string | undefined

const matching =
  (pattern: RegExp, complaint: string): Format =>
  (value) =>
    pattern.test(value) ? undefined : `${complaint}\n`

/** Splits one of PVE's lists: comma, semicolon, NUL or white space. */
export const splitList = (value: string): string[] => value.split(/[,;\0\s]+/).filter((item) => item !== '')

const each =
  (format: Format): Format =>
  (value) => {
    for (const item of splitList(value)) {
      const complaint = format(item)
      if (complaint !== undefined) return complaint
    }
    return undefined
  }

const anything: Format = () => undefined
const dnsLabel = '[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?'
const configId: Format = (v) => (/^[a-z][a-z0-9_-]+$/i.test(v) ? undefined : `invalid configuration ID '${v}'\n`)
const userId: Format = (v) => {
  if (!/^.{1,64}$/s.test(v) || v.length < 3) return `user name '${v}' is too short\n`
  return /^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+$/.test(v) ? undefined : `value '${v}' does not look like a valid user name\n`
}
const tokenId: Format = (v) =>
  /^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$/.test(v) ? undefined : `value '${v}' does not look like a valid token ID\n`
const roleId: Format = (v) => (/^[A-Za-z0-9.\-_]+$/.test(v) ? undefined : `role name '${v}' contains invalid characters\n`)
const groupId: Format = (v) => (/^[A-Za-z0-9.\-_]+$/.test(v) ? undefined : `group name '${v}' contains invalid characters\n`)
const poolId: Format = (v) =>
  /^[A-Za-z0-9.\-_]+(\/[A-Za-z0-9.\-_]+){0,2}$/.test(v) ? undefined : `pool name '${v}' contains invalid characters\n`
const storageId: Format = (v) => (/^[a-z][a-z0-9\-_.]*[a-z0-9]$/i.test(v) ? undefined : `storage ID '${v}' contains illegal characters\n`)
const vmid: Format = (v) => (/^[1-9][0-9]{2,8}$/.test(v) ? undefined : 'value does not look like a valid VM ID\n')
const volumeId: Format = (v) => (/^[a-z][a-z0-9\-_.]*[a-z0-9]:.+$/i.test(v) ? undefined : `unable to parse volume ID '${v}'\n`)
const address: Format = (v) =>
  isIP(v) !== 0 || new RegExp(`^(${dnsLabel}\\.)*${dnsLabel}$`).test(v)
    ? undefined
    : 'value does not look like a valid address: ' + v + '\n'
const cidr =
  (version: 4 | 6): Format =>
  (v) => {
    const [ip = '', length = ''] = v.split('/')
    const right = version === 4 ? isIPv4(ip) && +length >= 0 && +length <= 32 : isIPv6(ip) && +length >= 0 && +length <= 128
    return right && /^\d+$/.test(length) ? undefined : `value does not look like a valid IPv${version} network\n`
  }
const ipOrCidr: Format = (v) =>
  isIP(v) !== 0 || cidr(4)(v) === undefined || cidr(6)(v) === undefined
    ? undefined
    : `value does not look like a valid IP address or CIDR network\n`
const privilege: Format = (v) => (/^[A-Za-z.]+$/.test(v) ? undefined : `invalid privilege '${v}'\n`)
const bootDevice: Format = (v) => (/^(net|ide|scsi|virtio|sata|usb|hostpci)\d+$/.test(v) ? undefined : `invalid boot device '${v}'\n`)

export const formats = {
  'pve-vmid': vmid,
  'pve-vmid-list': each(vmid),
  'pve-node': matching(/^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$/, 'value does not look like a valid node name'),
  'dns-name': matching(new RegExp(`^(${dnsLabel}\\.)*${dnsLabel}$`), 'value does not look like a valid DNS name'),
  'pve-configid': configId,
  'pve-configid-list': each(configId),
  'pve-poolid': poolId,
  'pve-storage-id': storageId,
  'pve-storage-id-list': each(storageId),
  'storage-pair-list': each((v) => (/^[a-z][\w.-]*(:[a-z][\w.-]*)?$/i.test(v) || v === '1' ? undefined : `invalid storage pair '${v}'\n`)),
  'pve-storage-content': matching(/^(images|rootdir|vztmpl|iso|backup|snippets|import|none)$/, 'invalid content type'),
  'pve-storage-content-list': each(matching(/^(images|rootdir|vztmpl|iso|backup|snippets|import|none)$/, 'invalid content type')),
  'pve-storage-path': (v: string) => (v.startsWith('/') ? undefined : 'value does not look like a valid absolute path\n'),
  'pve-storage-vgname': matching(/^[a-z0-9][a-z0-9\-_.]*[a-z0-9]$/i, 'lvm name contains illegal characters'),
  'pve-storage-server': matching(/^[a-z0-9][a-z0-9.:-]*$/i, 'value does not look like a valid server name or IP address'),
  'pve-storage-portal-dns': matching(/^[a-z0-9[][a-z0-9.:[\]-]*$/i, 'value does not look like a valid portal address'),
  'pve-userid': userId,
  'pve-userid-list': each(userId),
  'pve-tokenid-list': each(tokenId),
  'pve-roleid': roleId,
  'pve-roleid-list': each(roleId),
  'pve-groupid': groupId,
  'pve-groupid-list': each(groupId),
  'pve-priv-list': each(privilege),
  'pve-realm': matching(/^[A-Za-z][A-Za-z0-9.\-_]+$/, 'value does not look like a valid realm'),
  'email-opt': (v: string) => (v === '' || /^[^\s@]+@[^\s@]+$/.test(v) ? undefined : 'value does not look like a valid email address\n'),
  'pve-tag-list': each(matching(/^[a-z0-9_][a-z0-9_\-+.]*$/i, 'invalid characters in tag')),
  urlencoded: (v: string) => (/^[-%a-zA-Z0-9_.!~*'()]*\n?$/.test(v) ? undefined : `invalid urlencoded string: ${v}\n`),
  'address-list': each(address),
  'pve-volume-id': volumeId,
  'pve-volume-id-or-qm-path': anything, // `none`, `cdrom`, `STORAGE:SIZE`, a volume, a path
  'pve-volume-id-or-absolute-path': (v: string) => (v.startsWith('/') ? undefined : volumeId(v)),
  'pve-bridge-id': matching(/^[-_.\w\d]+$/, 'invalid bridge'),
  'mac-addr': (v: string) => {
    if (!/^[a-f0-9][02468ace](:[a-f0-9]{2}){5}$/i.test(v)) {
      return /^[a-f0-9]{2}(:[a-f0-9]{2}){5}$/i.test(v)
        ? 'value is not a unicast MAC address\n'
        : 'value does not look like a valid unicast MAC address\n'
    }
    return undefined
  },
  'disk-size': matching(/^\d+(\.\d+)?[KMGT]?$/, 'value does not look like a valid disk size'),
  'pve-hotplug-features': each(matching(/^(0|1|network|disk|cpu|memory|usb|cloudinit)$/, 'unable to parse hotplug option')),
  'pve-qm-boot': (v: string) => {
    const order = /^(?:legacy=[acdn]{1,4}|[acdn]{1,4}|order=(?<order>.*))?$/.exec(v)
    if (order === null) return 'unable to parse boot options\n'
    for (const device of (order.groups?.order ?? '').split(';').filter((d) => d !== '')) {
      const complaint = bootDevice(device)
      if (complaint !== undefined) return complaint
    }
    return undefined
  },
  'pve-qm-bootdisk': anything,
  'pve-qm-ide': anything,
  'pve-vm-cpu-conf': (v: string) =>
    /^(cputype=)?[a-zA-Z0-9_.-]+(,(flags|hidden|hv-vendor-id|phys-bits|guest-phys-bits|reported-model)=[^,]+)*$/.test(v)
      ? undefined
      : 'unable to parse CPU configuration\n',
  'pve-qm-smbios1': matching(/^(\w+=[^,]*)(,\w+=[^,]*)*$/, 'unable to parse smbios1 options'),
  'pve-qm-ipconfig': (v: string) => {
    for (const part of v.split(',')) {
      const [key = '', value = ''] = part.split('=')
      const right =
        (key === 'ip' && (value === 'dhcp' || cidr(4)(value) === undefined)) ||
        (key === 'gw' && isIPv4(value)) ||
        (key === 'ip6' && (['dhcp', 'auto'].includes(value) || cidr(6)(value) === undefined)) ||
        (key === 'gw6' && isIPv6(value))
      if (!right) return `invalid format - unable to parse ipconfig '${part}'\n`
    }
    return undefined
  },
  'pve-qm-rng': matching(/^(source=)?\/dev\/(u?random|hwrng)(,(max_bytes|period)=\d+)*$/, 'unable to parse rng options'),
  'pve-qm-watchdog': anything,
  'pve-qm-cicustom': anything,
  'pve-qm-hostpci': anything,
  'pve-startup-order': anything,
  'pve-cpuset': anything,
  IPorCIDR: ipOrCidr,
  IPorCIDRorAlias: (v: string) => (/^(dc\/|guest\/)?[A-Za-z][A-Za-z0-9\-_]+$/.test(v) ? undefined : ipOrCidr(v)),
  // Clients send empty values for what a rule does not have.
  'pve-fw-addr-spec': (v: string) => {
    for (const item of v.split(',').filter((part) => part !== '')) {
      const range = item.split('-')
      const right =
        /^[+]?((dc|guest)\/)?[A-Za-z][A-Za-z0-9\-_]+$/.test(item) ||
        ipOrCidr(item) === undefined ||
        (range.length === 2 && range.every((end) => isIP(end) !== 0))
      if (!right) return `invalid address specification '${item}'\n`
    }
    return undefined
  },
  'pve-fw-protocol-spec': matching(/^[a-z0-9-]*$/i, 'unknown protocol'),
  'pve-fw-sport-spec': (v: string) => portSpec(v),
  'pve-fw-dport-spec': (v: string) => portSpec(v),
  'pve-fw-icmp-type-spec': matching(/^[a-z0-9\-/]*$/i, 'invalid icmp-type'),
  'pve-iface': matching(/^[a-z][a-z0-9_]{1,20}([:.]\d+)?$/i, 'invalid network interface name'),
  'pve-task-status-type-list': each((v) => (/^(ok|error|warning|unknown)$/.test(v) ? undefined : `invalid status '${v}'\n`)),
  'pve-ha-resource-or-vm-id': anything,
  'pve-replication-job-id': anything, // its pattern says it
  'pve-calendar-event': anything,
  CIDR: ipOrCidr,
} as const satisfies Record<string, Format>

function portSpec(value: string): string | undefined {
  for (const item of value.split(',').filter((part) => part !== '')) {
    const ports = item.split(':')
    const right =
      ports.length <= 2 &&
      ports.every((port) => (/^\d+$/.test(port) ? +port <= 65535 : ports.length === 1 && /^[a-z][a-z0-9-]*$/.test(port)))
    if (!right) return `invalid port '${item}'\n`
  }
  return undefined
}
