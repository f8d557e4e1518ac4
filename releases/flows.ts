/**
 * The flow table: who may talk to whom. Proxmox's rules of a VM and the guest's own nftables are both rendered
 * from it (proxmox-rules.ts, nftables.ts), so that each of them alone admits the same.
 */
import { slotNames, type Group, type Site, type SlotName } from '../settings/site.ts'

/** A way in or out that somebody may open a connection on. Answers belong to it. */
export interface Flow {
  readonly direction: 'in' | 'out'
  /** Addresses and networks at the other end; none: anywhere. */
  readonly remote: readonly string[]
  readonly protocol: 'tcp' | 'udp'
  readonly ports: readonly number[]
  /** Those of the VM's addresses that it is for. @default all */
  readonly local?: readonly string[]
  /** For the VM itself only: Proxmox can't tell its containers apart, the guest's own firewall can. @default for both */
  readonly hostOnly?: true
  /** What it is for; becomes the rule's comment. */
  readonly purpose: string
}

/** All flows of one VM. */
export interface VmFlows {
  /** The addresses of the VM itself: its own, then the service address. */
  readonly local: readonly [own: string, service: string]
  readonly flows: readonly Flow[]
  /** What the containers have inside of the VM. @default '172.30.0.0/23' */
  readonly containers?: string
}

const unique = (addresses: readonly string[]): string[] => [...new Set(addresses)]
const slotAddresses = (group: Group): string[] => slotNames.map((slot) => group.slots[slot].address)

/** The rows of the design's table that concern one slot, with this site's addresses. */
export function vmFlows(site: Site, groupName: string, slotName: SlotName): VmFlows {
  const group = site.groups[groupName]
  if (group === undefined) throw new Error(`the site has no group ${groupName}`)
  const own = group.slots[slotName].address
  const peer = group.slots[slotName === 'blue' ? 'green' : 'blue'].address
  const others = Object.values(site.groups)
    .flatMap(slotAddresses)
    .filter((address) => address !== own)
  const loggingGroup = Object.values(site.groups).find((one) => one.roles.includes('logging'))
  const { admin, nameservers, ntp, outgoing } = site.network
  const push = site.logging.port
  const flows: Flow[] = [{ direction: 'in', remote: admin, protocol: 'tcp', ports: [22], purpose: 'SSH from the admin network' }]
  if (group.roles.includes('serena'))
    flows.push({ direction: 'in', remote: [], local: [group.service], protocol: 'tcp', ports: [80, 443], purpose: 'Serena' })
  flows.push({ direction: 'in', remote: [peer], local: [own], protocol: 'tcp', ports: [443], purpose: 'the peer slot' })
  if (group.roles.includes('logging')) {
    flows.push({ direction: 'in', remote: unique([...admin, ...others]), protocol: 'tcp', ports: [push], purpose: 'Grafana and Loki push' })
  }
  // Containers run what people and projects bring along: they get DNS and what the site lists, nothing else.
  flows.push({ direction: 'out', remote: [peer], protocol: 'tcp', ports: [443], hostOnly: true, purpose: 'the peer slot' })
  if (loggingGroup !== undefined) {
    const targets = unique([loggingGroup.service, ...slotAddresses(loggingGroup)]).filter((address) => address !== own)
    flows.push({ direction: 'out', remote: targets, protocol: 'tcp', ports: [push], hostOnly: true, purpose: 'Loki push' })
  }
  flows.push(
    { direction: 'out', remote: unique(nameservers), protocol: 'udp', ports: [53], purpose: 'DNS' },
    { direction: 'out', remote: unique(nameservers), protocol: 'tcp', ports: [53], purpose: 'DNS' },
    // Without servers it would be a way to anywhere: then the host's clock is the VM's (images/guest/clock.ts).
    ...(ntp.length === 0
      ? []
      : [{ direction: 'out', remote: unique(ntp), protocol: 'udp', ports: [123], hostOnly: true, purpose: 'NTP' } as const]),
    ...outgoing.map(
      ({ to, port, protocol }): Flow => ({
        direction: 'out',
        remote: [to],
        protocol,
        ports: [port],
        purpose: 'listed in network.outgoing',
      }),
    ),
  )
  return { local: [own, group.service], flows, containers: site.network.containers }
}
