/**
 * Proxmox's firewall configuration as one nft script for the bridge's namespace. Pure.
 *
 * Bridged packets can't have their connections tracked in nft's bridge family here, and in the inet
 * family they have lost the names of their ports. So the bridge family marks each packet with the
 * guarded ports it comes from and goes to, and the inet family (which br_netfilter lets see bridged
 * packets) decides by the mark. Semantics: pve-firewall's documentation and, where that is silent,
 * what Proxmox's iptables rules do.
 */
import type { FirewallRule, FirewallScope, FirewallState, NicSpec } from '../compute/driver.ts'
import { formatRange } from './addresses.ts'
import { IgnoredRule, matchesOf, senderAddresses, type Names } from './firewall-rule.ts'

/** A guest's network card as the firewall sees it. */
export interface FirewallNic {
  readonly vmid: number
  readonly nic: NicSpec
  /** The tap's name. */
  readonly link: string
}

export interface CompiledFirewall {
  /** For `nft -f`: replaces what was in force before, in one transaction. */
  readonly script: string
  /** Rules that have no effect, and why. */
  readonly ignored: readonly string[]
}

type Verdict = 'ACCEPT' | 'DROP' | 'REJECT'

const nothing: FirewallScope = { options: {}, rules: [], ipsets: {}, aliases: {} }
const reset = ['table bridge guests', 'delete table bridge guests', 'table inet guests', 'delete table inet guests']

export function compileFirewall(state: FirewallState, nics: readonly FirewallNic[]): CompiledFirewall {
  if (state.cluster.options.enable !== '1') return { script: `${reset.join('\n')}\n`, ignored: [] }
  const guarded = nics.filter(({ vmid, nic }) => nic.firewall && state.vms[vmid]?.options.enable === '1')
  const ignored: string[] = []
  const filters: string[] = []
  const marks: string[] = []
  const chains: string[] = []
  guarded.forEach((port, index) => {
    const names: Names = { guest: state.vms[port.vmid] ?? nothing, cluster: state.cluster }
    const number = index + 1
    filters.push(...portFilters(port, names, ignored))
    marks.push(`iifname "${port.link}" meta mark set ${number * 0x10000}`)
    marks.push(`oifname "${port.link}" meta mark set meta mark or ${number}`)
    chains.push(...chain(`out-${port.link}`, guestRules(port, names, 'out', ignored)))
    chains.push(...chain(`in-${port.link}`, guestRules(port, names, 'in', ignored)))
  })
  const jumps = (factor: number, direction: string) =>
    guarded.length === 0
      ? []
      : [
          `meta mark and ${factor * 0xffff} vmap { ${guarded.map(({ link }, index) => `${factor * (index + 1)} : jump ${direction}-${link}`).join(', ')} }`,
        ]
  const script = [
    ...reset,
    'table bridge guests {',
    ...chain('prerouting', ['type filter hook prerouting priority -300', ...filters]),
    ...chain('forward', ['type filter hook forward priority -210', 'meta mark set 0', ...marks]),
    '}',
    'table inet guests {',
    ...chains,
    ...chain('forward', [
      'type filter hook forward priority filter',
      // These two are Proxmox's for all guests, guarded or not.
      'ct state invalid drop',
      'ct state established,related accept',
      ...jumps(0x10000, 'out'),
      ...jumps(1, 'in'),
    ]),
    '}',
    '',
  ].join('\n')
  return { script, ignored }
}

function chain(name: string, lines: readonly string[]): string[] {
  return [`  chain ${name} {`, ...lines.map((line) => `    ${line}`), '  }']
}

/** What Proxmox does with ebtables: a guest may only send with its own MAC, and ARP only for its own addresses. */
function portFilters({ link, nic, vmid }: FirewallNic, names: Names, ignored: string[]): string[] {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(nic.mac)) throw new Error(`VM ${vmid}: '${nic.mac}' is not a MAC address`)
  const filters: string[] = []
  if (names.guest.options.macfilter !== '0') filters.push(`iifname "${link}" ether saddr != ${nic.mac.toLowerCase()} drop`)
  const addresses = sendersOrNone({ link, nic, vmid }, names, ignored)
  if (addresses) {
    const four = addresses(4).map(formatRange)
    filters.push(`iifname "${link}" ether type arp${four.length === 0 ? '' : ` arp saddr ip != { ${four.join(', ')} }`} drop`)
  }
  return filters
}

/** As senderAddresses; a set with a mistake in it lets nothing through. */
function sendersOrNone({ nic, vmid }: FirewallNic, names: Names, ignored: string[]): ReturnType<typeof senderAddresses> {
  try {
    return senderAddresses(nic.slot, nic.mac, names)
  } catch (error) {
    if (!(error instanceof IgnoredRule)) throw error
    const line = `VM ${vmid}, IP set ipfilter-${nic.slot}: ${error.message}`
    if (!ignored.includes(line)) ignored.push(line)
    return () => []
  }
}

function guestRules(port: FirewallNic, names: Names, direction: 'in' | 'out', ignored: string[]): string[] {
  const { options, rules } = names.guest
  // What a guest may send still has to be let in by the guest that it goes to.
  const accept = direction === 'in' ? 'accept' : 'return'
  const lines: string[] = []
  if (options.dhcp === '1') {
    const [from, to] = direction === 'out' ? [68, 67] : [67, 68]
    lines.push(`udp sport ${from} udp dport ${to} ${accept}`)
  }
  if (direction === 'out') {
    if (options.radv !== '1') lines.push('icmpv6 type nd-router-advert drop')
    const addresses = sendersOrNone(port, names, ignored)
    for (const family of addresses ? ([4, 6] as const) : []) {
      const elements = addresses!(family).map(formatRange)
      const [key, protocol] = family === 4 ? ['ip', 'ipv4'] : ['ip6', 'ipv6']
      lines.push(elements.length === 0 ? `meta nfproto ${protocol} drop` : `${key} saddr != { ${elements.join(', ')} } drop`)
    }
  }
  if (options.ndp !== '0') {
    const types =
      direction === 'in'
        ? 'nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert'
        : 'nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert'
    lines.push(`icmpv6 type { ${types} } ${accept}`)
  }
  rules.forEach((rule, position) => {
    if (!rule.enable || (rule.iface !== undefined && rule.iface !== port.nic.slot)) return
    if (rule.type !== 'group' && rule.type !== direction) return
    try {
      const verdict = verdictOf(rule)
      for (const match of matchesOf(rule, names)) lines.push(...decide(match, verdict, accept))
    } catch (error) {
      if (!(error instanceof IgnoredRule)) throw error
      const line = `VM ${port.vmid}, rule ${position}: ${error.message}`
      if (!ignored.includes(line)) ignored.push(line)
    }
  })
  const policy = (direction === 'in' ? options.policy_in : options.policy_out) ?? (direction === 'in' ? 'DROP' : 'ACCEPT')
  if (policy === 'ACCEPT') return [...lines, accept]
  // Proxmox's drop and reject policies let through what path MTU discovery needs.
  lines.push(
    `icmp type destination-unreachable icmp code frag-needed ${accept}`,
    `icmp type time-exceeded ${accept}`,
    `icmpv6 type { packet-too-big, time-exceeded } ${accept}`,
  )
  return [...lines, ...decide('', policy === 'REJECT' ? 'REJECT' : 'DROP', accept)]
}

function verdictOf(rule: FirewallRule): Verdict {
  if (rule.type === 'group') throw new IgnoredRule(`the lab has no security groups ('${rule.action}')`)
  if (rule.action === 'ACCEPT' || rule.action === 'DROP' || rule.action === 'REJECT') return rule.action
  throw new IgnoredRule(`unknown action '${rule.action}'`)
}

function decide(match: string, verdict: Verdict, accept: string): string[] {
  const statement = (text: string) => `${match} ${text}`.trim()
  if (verdict === 'ACCEPT') return [statement(accept)]
  if (verdict === 'DROP') return [statement('drop')]
  return [statement('meta l4proto tcp reject with tcp reset'), statement('reject with icmpx type host-unreachable'), statement('drop')]
}
