/**
 * The flow table: who may talk to whom. Proxmox's rules of a VM and the guest's own nftables are both rendered
 * from it (proxmox-rules.ts, nftables.ts), so that each of them alone admits the same.
 */
import { z } from 'zod'
import type { DeepReadonly } from '../core/deep-readonly.ts'
import { acmeWays } from '../settings/acme.ts'
import { acmeOf, otherSlot, slotNames, type Group, type Site, type SlotName } from '../settings/site.ts'

const address = z.string().min(1)

const flowSchema = z.strictObject({
  direction: z.enum(['in', 'out']),
  /** Addresses and networks at the other end; none: anywhere. */
  remote: z.array(address),
  protocol: z.enum(['tcp', 'udp']),
  ports: z.array(z.int().min(1).max(65_535)).min(1),
  /** Those of the VM's addresses that it is for. @default all */
  local: z.array(z.ipv4()).min(1).exactOptional(),
  /** For the VM itself only: Proxmox can't tell its containers apart, the guest's own firewall can. @default for both */
  hostOnly: z.literal(true).exactOptional(),
  /** For one of the VM's programs only, as which the guest's own firewall knows it by its user. @default for all */
  only: z.literal('acme').exactOptional(),
  /**
   * Not of the VM's own: segments from `remote` to the service address, which is `local`, that belong to a connection of the
   * peer slot; they go out again, to that slot at `via` (images/guest/steer.ts). @default the VM's own
   */
  steered: z.strictObject({ via: z.ipv4() }).exactOptional(),
  /** What it is for; becomes the rule's comment. */
  purpose: z.string().regex(/^[^"\\\n]+$/),
})

/** As deployment.json keeps them. */
export const vmFlowsSchema = z.strictObject({
  /** The addresses of the VM itself: its own, then the service address. */
  local: z.tuple([z.ipv4(), z.ipv4()]),
  flows: z.array(flowSchema),
  /** What the containers have inside of the VM. @default `defaultContainers` of settings/containers.ts */
  containers: z.string().min(1).exactOptional(),
})

/** A way in or out that somebody may open a connection on. Answers belong to it. */
export type Flow = DeepReadonly<z.infer<typeof flowSchema>>

/** All flows of one VM. */
export type VmFlows = DeepReadonly<z.infer<typeof vmFlowsSchema>>

const unique = (addresses: readonly string[]): string[] => [...new Set(addresses)]
const slotAddresses = (group: Group): string[] => slotNames.map((slot) => group.slots[slot].address)

/** The rows of the design's table that concern one slot, with this site's addresses. */
export function vmFlows(site: Site, groupName: string, slotName: SlotName): VmFlows {
  const group = site.groups[groupName]
  if (group === undefined) throw new Error(`the site has no group ${groupName}`)
  const own = group.slots[slotName].address
  const peer = group.slots[otherSlot(slotName)].address
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
  // What one of the slots is sent while its peer has the connection goes on to the peer: as much as the rows above let in.
  const handover = { direction: 'out', local: [group.service], protocol: 'tcp', steered: { via: peer } } as const
  if (group.roles.includes('serena')) flows.push({ ...handover, remote: [], ports: [80, 443], purpose: 'Serena on the peer slot' })
  if (group.roles.includes('logging'))
    flows.push({ ...handover, remote: unique([...admin, ...others]), ports: [push], purpose: 'Grafana and Loki push on the peer slot' })
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
    ...(group.roles.includes('serena') ? acmeFlows(site) : []),
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

/** Its server may be anywhere; nobody else in the VM goes there by that. */
const acmeFlows = ({ public: settings }: Site): Flow[] => {
  const acme = acmeOf(settings)
  return (acme === undefined ? [] : acmeWays(acme)).map(({ to, port, protocol }) => ({
    direction: 'out',
    remote: to === '0.0.0.0/0' ? [] : [to],
    protocol,
    ports: [port],
    hostOnly: true,
    only: 'acme',
    purpose: 'the ACME client',
  }))
}
