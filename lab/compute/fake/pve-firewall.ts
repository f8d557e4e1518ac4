/**
 * PVE's firewall, decided for one TCP connection or packet (pve-firewall(8), "Configuration Files"): a VM's rules hold if
 * the datacenter's firewall is on, the VM's is on and the card has `firewall=1`; the first rule that matches decides, else
 * the VM's policy (in: DROP, out: ACCEPT unless set).
 */
import { macroServices, servicePorts } from '../../network/firewall-macros.ts'
import { BlockList, isIPv4 } from 'node:net'
import type { FirewallRule, FirewallScope, FirewallState } from '../driver.ts'

export interface Packet {
  readonly direction: 'in' | 'out'
  readonly proto: string
  readonly source: string
  readonly dest: string
  readonly dport: number
}

export type Verdict = 'ACCEPT' | 'DROP' | 'REJECT'

/** The verdict for a packet at the card `iface` (`net0`) of a VM. */
export function decide(state: FirewallState, vmid: number, iface: string, firewallOnCard: boolean, packet: Packet): Verdict {
  const vm = state.vms[vmid]
  if (state.cluster.options.enable !== '1' || !vm || vm.options.enable !== '1' || !firewallOnCard) return 'ACCEPT'
  if (packet.direction === 'out' && vm.options.ipfilter === '1' && !inSet(`+ipfilter-${iface}`, packet.source, vm, state)) return 'DROP'
  for (const rule of vm.rules) {
    if (!rule.enable || rule.type !== packet.direction || (rule.iface !== undefined && rule.iface !== iface)) continue
    if (matches(rule, packet, vm, state)) return verdict(rule.action)
  }
  return verdict(vm.options[packet.direction === 'in' ? 'policy_in' : 'policy_out'] ?? (packet.direction === 'in' ? 'DROP' : 'ACCEPT'))
}

function verdict(action: string): Verdict {
  return action === 'ACCEPT' || action === 'REJECT' ? action : 'DROP'
}

function matches(rule: FirewallRule, packet: Packet, vm: FirewallScope, state: FirewallState): boolean {
  const alternatives = rule.macro === undefined ? [{ proto: rule.proto, dport: rule.dport }] : (macroServices(rule.macro) ?? [])
  return (
    alternatives.some(
      ({ proto, dport }) => (proto === undefined || proto === packet.proto) && (dport === undefined || portIn(dport, packet.dport)),
    ) &&
    inSet(rule.source, packet.source, vm, state) &&
    inSet(rule.dest, packet.dest, vm, state)
  )
}

function portIn(list: string, port: number): boolean {
  return list.split(',').some((part) => {
    const [from = 0, to = from] = part.split(':').map((each) => servicePorts[each] ?? Number(each))
    return port >= from && port <= to
  })
}

/** Is the address in a list of addresses, networks, ranges, aliases and `+sets`? Nothing given is everything. */
function inSet(list: string | undefined, address: string, vm: FirewallScope, state: FirewallState): boolean {
  if (list === undefined || list === '') return true
  const alias = (name: string): string | undefined => {
    const plain = name.replace(/^(guest|dc)\//, '').toLowerCase()
    const scopes = name.startsWith('dc/') ? [state.cluster] : name.startsWith('guest/') ? [vm] : [vm, state.cluster]
    return scopes.flatMap((scope) => Object.entries(scope.aliases)).find(([key]) => key.toLowerCase() === plain)?.[1]
  }
  return list
    .split(',')
    .map((part) => part.trim())
    .some((part) => {
      if (!part.startsWith('+')) return within(alias(part) ?? part, address)
      const name = part.slice(1).replace(/^(guest|dc)\//, '')
      const set =
        (part.startsWith('+dc/') ? undefined : vm.ipsets[name]) ?? (part.startsWith('+guest/') ? undefined : state.cluster.ipsets[name])
      if (!set) return false
      const hit = set.some((entry) => !entry.nomatch && within(alias(entry.cidr) ?? entry.cidr, address))
      return hit && !set.some((entry) => entry.nomatch && within(alias(entry.cidr) ?? entry.cidr, address))
    })
}

function within(range: string, address: string): boolean {
  const list = new BlockList()
  const family = isIPv4(address) ? 'ipv4' : 'ipv6'
  const [, from, to] = /^([0-9a-fA-F.:]+)-([0-9a-fA-F.:]+)$/.exec(range) ?? []
  const [net = '', prefix] = range.split('/')
  try {
    if (from !== undefined && to !== undefined) list.addRange(from, to, family)
    else if (prefix !== undefined) list.addSubnet(net, Number(prefix), family)
    else list.addAddress(net, family)
  } catch {
    return false
  } // another family, or a name that stands for nothing
  return list.check(address, family)
}
