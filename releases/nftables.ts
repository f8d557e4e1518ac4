/**
 * A VM's flows as the guest's own nftables table. Docker's tables stay as they are: an accept here does not
 * override a drop there, and a drop here is final (nft(8), "base chains").
 */
import { containerNetworks } from '../settings/containers.ts'
import { owner } from '../images/guest/places.ts'
import type { Flow, VmFlows } from './flows.ts'

/** The one of Loki and Grafana (compose.yaml). Serena's is kept apart from it: Loki has no password of its own. */
const loggingNetwork = 'golden-logging'
/** Users of the guest: people who work on the projects over SSH, and the first clone of projects; their numbers in earlier images, too. */
const users = { projects: [owner.projects, 1000], serena: [owner.serena, 1002] } as const
/** The name that the seed's network configuration gives to the VM's one NIC. */
const nic = 'eth0'

const setOf = (items: readonly (string | number)[]): string => `{ ${items.join(', ')} }`

/**
 * What `nft -f` loads: it replaces the table as a whole, in one transaction, and touches no other.
 * Containers, which publish no port, get out only where the VM itself does, and not to what is for that alone. ICMP
 * errors come with `related`.
 */
export function nftables({ local, flows, containers }: VmFlows): string {
  const inside = containerNetworks(containers).all
  const remote = (flow: Flow, side: 'saddr' | 'daddr'): string => (flow.remote.length === 0 ? '' : `ip ${side} ${setOf(flow.remote)} `)
  const service = (flow: Flow): string =>
    `${flow.only === undefined ? '' : `meta skuid ${owner[flow.only]} `}${flow.protocol} dport ${setOf(flow.ports)} accept comment "${flow.purpose}"`
  const inward = flows.filter((flow) => flow.direction === 'in')
  const outward = flows.filter((flow) => flow.direction === 'out' && flow.steered === undefined)
  // From another machine, so it is steered; and the kernel sends it to the peer slot. That it does not track (images/guest/steer.ts).
  const steered = flows.flatMap((flow) => {
    if (flow.steered === undefined) return []
    const from = flow.remote.length === 0 ? `ip saddr != ${setOf(local)} ` : remote(flow, 'saddr')
    return `oifname "${nic}" ct state untracked rt ip nexthop ${flow.steered.via} ${from}ip daddr ${setOf(flow.local ?? local)} ${service(flow)}`
  })
  const rules = (lines: readonly string[]): string => lines.map((line) => `    ${line}\n`).join('')
  return `table inet golden
delete table inet golden
table inet golden {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state invalid drop
    ct state { established, related } accept
${rules(inward.map((flow) => `iifname "${nic}" ip daddr ${setOf(flow.local ?? local)} ${remote(flow, 'saddr')}${service(flow)}`))}  }
  chain output {
    type filter hook output priority filter; policy drop;
    meta skuid ${setOf(users.projects)} ct state new reject comment "git may run what a project brings along: it gets nowhere"
    meta skuid ${setOf(users.serena)} ip daddr ${inside} reject
    oifname "lo" accept
    ct state invalid drop
    ct state { established, related } accept
    oifname != "${nic}" ip daddr ${inside} accept comment "to the containers"
${rules(outward.map((flow) => `oifname "${nic}" ip saddr ${setOf(flow.local ?? local)} ${remote(flow, 'daddr')}${service(flow)}`))}${rules(steered)}  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state invalid drop
    ct state { established, related } accept
    iifname "${loggingNetwork}" oifname "${loggingNetwork}" accept comment "Grafana asks Loki"
${rules(outward.filter((flow) => flow.hostOnly !== true).map((flow) => `iifname != "${nic}" oifname "${nic}" ip saddr ${inside} ${remote(flow, 'daddr')}${service(flow)}`))}  }
}
`
}
