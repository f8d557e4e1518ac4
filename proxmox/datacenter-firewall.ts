/**
 * What it means to turn Proxmox's datacenter firewall on: from then on each node drops whatever is not let in. Looked up
 * and said before it is done, as far as the API tells; who is to come in afterwards is in Proxmox's own IP set for that.
 */
import { BlockList, isIP } from 'node:net'
import { ProxmoxError, type Proxmox } from './client.ts'
import { datacenterFirewall, type FirewallRule, type IpSetEntry } from './firewall.ts'
import { isPassingStatus } from './patience.ts'

/** In this set: whoever may reach SSH, the web interface, consoles and migrations of every node (pve-firewall). */
export const managementSet = 'management'

/** The sentence without which nobody is told of the option. */
export const firewallWarning =
  'From then on every node drops what is not let in: NFS, Ceph, a backup server, DNS and DHCP of NAT bridges and whatever else it serves besides SSH and the web interface'

export interface FirewallObserved {
  readonly enabled: boolean
  readonly rules: readonly FirewallRule[]
  /** Members of the management set; undefined: there is no such set. */
  readonly management?: readonly IpSetEntry[] | undefined
}

export async function observeFirewall(admin: Proxmox): Promise<FirewallObserved> {
  const firewall = datacenterFirewall(admin)
  const enabled = await firewall.isOn()
  const rules = await firewall.rules()
  const management = (await firewall.ipSets()).includes(managementSet) ? await firewall.ipSet(managementSet) : undefined
  return { enabled, rules, management }
}

/** Sets can't hold a network of all addresses, but both its halves. */
const halves: Readonly<Record<string, readonly string[]>> = { '0.0.0.0/0': ['0.0.0.0/1', '128.0.0.0/1'] }
const bare = (cidr: string): string => cidr.replace(/\/32$/, '')

/** The networks that the management set has to get. Each is in it once at most, whoever else adds them: it is a set. */
export function missingSources(wanted: readonly string[], { management = [] }: FirewallObserved): string[] {
  return wanted.flatMap((cidr) => halves[cidr] ?? [cidr]).filter((cidr) => !management.some((entry) => bare(entry.cidr) === bare(cidr)))
}

/** What the API tells of what the nodes serve. */
export interface Exposure {
  /** A line for each thing found. */
  readonly served: readonly string[]
  readonly otherNodes: readonly string[]
  /** The network of the node's own address, which Proxmox lets in by itself. */
  readonly ownNetwork?: string | undefined
}

interface Interface {
  readonly iface: string
  readonly type?: string
  readonly address?: string
  readonly cidr?: string
  readonly address6?: string
  readonly bridge_ports?: string
}
interface Storage {
  readonly storage: string
  readonly type: string
  readonly server?: string
  readonly server2?: string
  readonly portal?: string
  readonly monhost?: string
}

const storageServers: Readonly<Record<string, string>> = {
  nfs: 'NFS (2049, 111)',
  cifs: 'SMB (445)',
  pbs: 'Proxmox Backup Server (8007)',
  iscsi: 'iSCSI (3260)',
  iscsidirect: 'iSCSI (3260)',
  zfs: 'iSCSI (3260)',
  glusterfs: 'GlusterFS (24007)',
  cephfs: 'Ceph (3300, 6789, 6800 to 7568)',
  rbd: 'Ceph (3300, 6789, 6800 to 7568)',
}

export async function observeExposure(admin: Proxmox, node: string): Promise<Exposure> {
  // What a version or an installation does not have is answered with an error, which tells as much as an empty list.
  const ask = async <T>(path: string): Promise<T | undefined> =>
    admin.get<T>(path).catch((error: unknown) => {
      if (error instanceof ProxmoxError && error.status >= 400 && !isPassingStatus(error.status)) return undefined
      throw error
    })
  const members = (await ask<{ type: string; name?: string; ip?: string; local?: number }[]>('/cluster/status')) ?? []
  const interfaces = (await ask<Interface[]>(`/nodes/${node}/network`)) ?? []
  const nodes = members.filter(({ type }) => type === 'node')
  const own = new Set([
    'localhost',
    '127.0.0.1',
    '::1',
    ...nodes.flatMap(({ name, ip }) => [name, ip]),
    ...interfaces.flatMap(({ address, address6 }) => [address, address6]),
  ])
  const isOwn = (host: string): boolean => own.has(host) || nodes.some(({ name }) => name !== undefined && host.startsWith(`${name}.`))
  const served: string[] = []
  for (const { storage, type, server, server2, portal, monhost } of (await ask<Storage[]>('/storage')) ?? []) {
    const hosts = [server, server2, portal?.replace(/:\d+$/, ''), ...(monhost ?? '').split(/[\s,;]+/)].filter(
      (host) => host !== undefined && host !== '',
    )
    const what = storageServers[type]
    if (what !== undefined && hosts.some((host) => isOwn(host as string))) served.push(`${what}, of which storage ${storage} is a client`)
  }
  if ((await ask(`/nodes/${node}/ceph/status`)) !== undefined) served.push('Ceph (3300, 6789, 6800 to 7568)')
  for (const { iface, type, address, bridge_ports: ports } of interfaces) {
    if (type === 'bridge' && address !== undefined && (ports ?? '').trim() === '')
      served.push(
        `bridge ${iface} (${address}) has no port: its guests may have their addresses (DHCP, 67) and names (DNS, 53) from the node`,
      )
  }
  for (const { zone, dhcp } of (await ask<{ zone: string; dhcp?: string }[]>('/cluster/sdn/zones')) ?? [])
    if (dhcp !== undefined) served.push(`DHCP (67) and DNS (53) of SDN zone ${zone}`)
  const address = nodes.find(({ name }) => name === node)?.ip
  return {
    served,
    otherNodes: nodes.flatMap(({ name }) => (name === undefined || name === node ? [] : [name])),
    ownNetwork: address === undefined ? undefined : interfaces.find((entry) => entry.address === address)?.cidr,
  }
}

/** Where the person who runs this comes from, as this computer sees it. */
export type CallerPlace = 'inside' | 'outside' | 'loopback'

export function placeOf(caller: string, networks: readonly string[]): CallerPlace {
  const address = caller.replace(/^::ffff:/, '')
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  if (address === '::1' || address.startsWith('127.')) return 'loopback'
  const list = new BlockList()
  for (const network of networks) {
    const [start = '', prefix] = network.split('/')
    if (isIP(start) !== 0) list.addSubnet(start, Number(prefix ?? (isIP(start) === 6 ? 128 : 32)), isIP(start) === 6 ? 'ipv6' : 'ipv4')
  }
  return list.check(address, family) ? 'inside' : 'outside'
}

export interface FirewallQuestion {
  readonly lines: readonly string[]
  /** Consent without a look at this is not enough: the one who asks for it may lose the host. */
  readonly mayLockOut: boolean
}

/**
 * What there is to know before it is turned on.
 * @param caller undefined, as `exposure`: nobody has looked (the printed script does, on the node)
 */
export function firewallQuestion(
  management: readonly string[],
  firewall: FirewallObserved,
  exposure: Exposure | undefined,
  caller: string | undefined,
): FirewallQuestion {
  const admin = management.join(', ')
  const place =
    caller === undefined
      ? undefined
      : placeOf(caller, [...management, ...(exposure?.ownNetwork === undefined ? [] : [exposure.ownNetwork])])
  const refusing = firewall.rules.filter(
    (rule) => Number(rule.enable) === 1 && !['out', 'forward'].includes(rule.type) && (rule.type !== 'in' || rule.action !== 'ACCEPT'),
  )
  const excepted = (firewall.management ?? []).filter(({ nomatch }) => Number(nomatch) === 1).map(({ cidr }) => cidr)
  const missing = missingSources(management, firewall)
  const own = exposure?.ownNetwork === undefined ? "the node's own network" : `the node's own network ${exposure.ownNetwork}`
  return {
    mayLockOut: place === 'outside',
    lines: [
      `${firewallWarning}.`,
      `Let in are SSH (22), the web interface (8006), consoles (3128, 5900 to 5999) and migrations (60000 to 60050), from network.admin (${admin}) and from ${own}${exposure === undefined || exposure.otherNodes.length === 0 ? '' : `; and corosync between the nodes (${exposure.otherNodes.join(', ')} too). What the nodes do with each other in any other network is not`}.`,
      ...(exposure === undefined
        ? []
        : [
            exposure.served.length === 0
              ? 'The API tells of nothing else that is served here; it does not tell of everything.'
              : `Found to be served here, and closed by it: ${exposure.served.join('; ')}.`,
          ]),
      'Look on each node at what listens ("ss -lntup"), above all for NFS and SMB shares, a backup server, dnsmasq and monitoring, and make a rule for what has to stay (Proxmox: Datacenter, Firewall, Add) first.',
      ...(caller === undefined
        ? []
        : [
            place === 'outside'
              ? `You come from ${caller}, which is in none of these networks: YOU MAY LOCK YOURSELF OUT. Behind a router or VPN that translates addresses Proxmox sees another one; make sure that it is in network.admin.`
              : place === 'loopback'
                ? `You come from ${caller}, by a tunnel or from the node itself: make sure that where you really come from is in network.admin.`
                : `You come from ${caller}, which stays let in, unless something on the way translates it.`,
          ]),
      ...(refusing.length === 0
        ? []
        : [
            `Rules of the datacenter that come before that, and may refuse: ${refusing.map(({ type, action, source, comment }) => [type, action, source, comment].filter(Boolean).join(' ')).join('; ')}.`,
          ]),
      ...(excepted.length === 0 ? [] : [`Not let in, because the IP set ${managementSet} excepts them: ${excepted.join(', ')}.`]),
      `What will be done: ${missing.length === 0 ? '' : `${missing.join(', ')} into the IP set ${managementSet}, then `}the datacenter firewall on. To undo it, on the node: pvesh set /cluster/firewall/options --enable 0`,
    ],
  }
}
