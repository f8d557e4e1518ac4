/** One Proxmox firewall rule as nft matches. Pure. Spelling of rules: pve-firewall's documentation, "Firewall Rules". */
import { macroServices, servicePorts } from './firewall-macros.ts'
import type { FirewallRule, FirewallScope } from '../compute/driver.ts'
import { formatRange, parseCidr, rangesOf, type AddressRange, type Family } from './addresses.ts'

/** What a rule's names are looked up in: the guest's own scope first, then the datacenter's. */
export interface Names {
  readonly guest: FirewallScope
  readonly cluster: FirewallScope
}

const withPorts = ['tcp', 'udp', 'udplite', 'sctp', 'dccp']
const otherProtocols: Readonly<Record<string, string>> = {
  icmp: 'icmp',
  icmpv6: 'icmpv6',
  'ipv6-icmp': 'icmpv6',
  esp: 'esp',
  ah: 'ah',
  gre: 'gre',
  igmp: 'igmp',
}
const icmpTypes: Readonly<Record<string, readonly string[]>> = {
  icmp: [
    'echo-reply',
    'destination-unreachable',
    'redirect',
    'echo-request',
    'router-advertisement',
    'router-solicitation',
    'time-exceeded',
    'parameter-problem',
  ],
  icmpv6: ['echo-reply', 'destination-unreachable', 'packet-too-big', 'echo-request', 'time-exceeded', 'parameter-problem'],
}

/** Why a rule can't be put into force. Proxmox ignores such a rule too. */
export class IgnoredRule extends Error {}

/** The alternatives that a rule matches, each an nft expression; an empty string matches everything. Throws IgnoredRule. */
export function matchesOf(rule: FirewallRule, names: Names): string[] {
  const source = rule.source === undefined ? undefined : resolveAddresses(rule.source, names)
  const dest = rule.dest === undefined ? undefined : resolveAddresses(rule.dest, names)
  const services = servicesOf(rule)
  if (source === undefined && dest === undefined) return services
  const places = ([4, 6] as const).flatMap((family) => {
    const parts: string[] = []
    for (const [side, ranges] of [
      ['saddr', source],
      ['daddr', dest],
    ] as const) {
      if (ranges === undefined) continue
      const elements = ranges.filter((range) => range.family === family).map(formatRange)
      if (elements.length === 0) return [] // an empty set matches nothing
      parts.push(`${family === 4 ? 'ip' : 'ip6'} ${side} { ${elements.join(', ')} }`)
    }
    return [parts.join(' ')]
  })
  return places.flatMap((place) => services.map((service) => `${place} ${service}`.trim()))
}

function servicesOf(rule: FirewallRule): string[] {
  if (rule.macro !== undefined) {
    const services = macroServices(rule.macro)
    // Ignored, and said so.
    if (services === undefined) throw new IgnoredRule(`the lab does not know the macro '${rule.macro}'`)
    return services.map((service) => serviceMatch(service.proto, service.dport, rule.sport, service.icmp))
  }
  if (rule.proto === undefined) {
    if (rule.dport !== undefined || rule.sport !== undefined) throw new IgnoredRule('a port without a protocol')
    return ['']
  }
  return [serviceMatch(rule.proto.toLowerCase(), rule.dport, rule.sport, rule['icmp-type'])]
}

function serviceMatch(proto: string, dport: string | undefined, sport: string | undefined, icmp: string | undefined): string {
  if (withPorts.includes(proto)) {
    const ports = [
      dport === undefined ? '' : `${proto} dport ${portSet(dport)}`,
      sport === undefined ? '' : `${proto} sport ${portSet(sport)}`,
    ]
    return ports.filter((part) => part !== '').join(' ') || `meta l4proto ${proto}`
  }
  const name = otherProtocols[proto] ?? (/^\d{1,3}$/.test(proto) && Number(proto) < 256 ? proto : undefined)
  if (name === undefined) throw new IgnoredRule(`unknown protocol '${proto}'`)
  // Proxmox takes the type from `dport` as well.
  const type = icmp ?? dport
  if (type === undefined || type === 'any') return `meta l4proto ${name}`
  const known = icmpTypes[name]
  if (known === undefined) throw new IgnoredRule(`protocol '${proto}' has no ports`)
  if (!known.includes(type) && !/^\d{1,3}$/.test(type)) throw new IgnoredRule(`unknown ${name} type '${type}'`)
  return `${name} type ${type}`
}

/** `80,443,8000:8080` as an nft set. */
function portSet(text: string): string {
  const number = (word: string) => {
    const value = servicePorts[word] ?? (/^\d{1,5}$/.test(word) ? Number(word) : Number.NaN)
    if (!(value <= 65535)) throw new IgnoredRule(`'${text}' is not a list of ports`)
    return value
  }
  const elements = text.split(',').map((part) => {
    const [from, to, ...rest] = part.trim().split(/[:-]/)
    if (rest.length > 0) throw new IgnoredRule(`'${text}' is not a list of ports`)
    if (to === undefined) return { first: number(from!), last: number(from!) }
    const range = { first: number(from!), last: number(to) }
    if (range.first > range.last) throw new IgnoredRule(`'${text}' is not a list of ports`)
    return range
  })
  // nft refuses overlapping intervals.
  const merged: { first: number; last: number }[] = []
  for (const range of elements.sort((a, b) => a.first - b.first)) {
    const before = merged.at(-1)
    if (before && range.first <= before.last + 1) before.last = Math.max(before.last, range.last)
    else merged.push({ ...range })
  }
  return `{ ${merged.map(({ first, last }) => (first === last ? first : `${first}-${last}`)).join(', ')} }`
}

/** A rule's `source` or `dest`: addresses, networks and ranges, separated by commas; or one alias; or `+ipset`. */
function resolveAddresses(text: string, names: Names): AddressRange[] {
  const entries = text.startsWith('+')
    ? ipsetEntries(text.slice(1), names)
    : text.split(',').map((word) => ({ range: addressOrAlias(word.trim(), names), nomatch: false }))
  return ([4, 6] as const).flatMap((family) => rangesOf(entries, family))
}

/** `dc/name` and `guest/name` say where to look; a bare name is the guest's, else the datacenter's. */
function lookUp<T>(name: string, names: Names, of: (scope: FirewallScope) => Readonly<Record<string, T>>): T | undefined {
  const [scope, bare] = name.includes('/') ? (name.split('/', 2) as [string, string]) : [undefined, name]
  const scopes =
    scope === 'dc' ? [names.cluster] : scope === 'guest' ? [names.guest] : scope === undefined ? [names.guest, names.cluster] : []
  for (const candidate of scopes) {
    const found = Object.entries(of(candidate)).find(([key]) => key.toLowerCase() === bare.toLowerCase())
    if (found) return found[1]
  }
  return undefined
}

function addressOrAlias(word: string, names: Names): AddressRange {
  const alias = /^((dc|guest)\/)?[a-z][a-z0-9_-]+$/i.test(word) ? lookUp(word, names, (scope) => scope.aliases) : undefined
  try {
    return parseCidr(alias ?? word)
  } catch {
    throw new IgnoredRule(`no address, network or alias '${word}'`)
  }
}

function ipsetEntries(name: string, names: Names): { range: AddressRange; nomatch: boolean }[] {
  const set = lookUp(name, names, (scope) => scope.ipsets)
  if (set === undefined) throw new IgnoredRule(`no IP set '${name}'`)
  return set.map((entry) => ({ range: addressOrAlias(entry.cidr, names), nomatch: entry.nomatch }))
}

/**
 * The addresses that a card may send from, or undefined when it may send from any: Proxmox's
 * `ipfilter` option, or the mere existence of an IP set `ipfilter-netN`. The card's IPv6 link-local
 * address always belongs to it.
 */
export function senderAddresses(slot: string, mac: string, names: Names): ((family: Family) => AddressRange[]) | undefined {
  const own = Object.entries(names.guest.ipsets).find(([name]) => name.toLowerCase() === `ipfilter-${slot}`)?.[1]
  if (own === undefined && names.guest.options.ipfilter !== '1') return undefined
  const entries = [
    { range: parseCidr('fe80::/10'), nomatch: true },
    { range: parseCidr(linkLocal(mac)), nomatch: false },
    ...(own ?? []).map((entry) => ({ range: addressOrAlias(entry.cidr, names), nomatch: entry.nomatch })),
  ]
  return (family) => rangesOf(entries, family)
}

/** RFC 4291, appendix A. */
function linkLocal(mac: string): string {
  const bytes = mac.split(':').map((byte) => Number.parseInt(byte, 16))
  const groups = [
    [bytes[0]! ^ 2, bytes[1]!],
    [bytes[2]!, 0xff],
    [0xfe, bytes[3]!],
    [bytes[4]!, bytes[5]!],
  ]
  return `fe80::${groups.map(([high, low]) => ((high! << 8) | low!).toString(16)).join(':')}`
}
