/** The flow table as a picture has it: not address by address, but who opens connections to whom, on which ports. */
import { slotNames, type Site, type SlotName } from '../../settings/site.ts'
import { vmFlows, type Flow } from '../../releases/flows.ts'

/** Who is no VM of the site, by the settings that name them; no group can be called so. */
export const outsiders = ['the internet', 'network.admin', 'network.nameservers', 'network.ntp', 'network.outgoing'] as const
export type Outsider = (typeof outsiders)[number]

export interface Port {
  readonly protocol: 'tcp' | 'udp'
  readonly port: number
}

export interface Arrow {
  /** A group's name, or who else. */
  readonly from: string
  /** Between the two slots of a group where it is the same as `from`. */
  readonly to: string
  readonly ports: readonly Port[]
  /** What the table says that they are for. */
  readonly purposes: readonly string[]
}

/** All arrows of a site, in the order of its groups and of the table. Pure. */
export function arrowsOf(site: Site): Arrow[] {
  const arrows = new Map<string, Arrow>()
  for (const group of Object.keys(site.groups))
    for (const slot of slotNames)
      for (const flow of vmFlows(site, group, slot).flows)
        for (const other of flow.remote.length === 0 ? [undefined] : flow.remote) {
          const [from, to] = ends(site, group, slot, flow, other)
          const before = arrows.get(`${from} ${to}`)
          const ports = [...(before?.ports ?? []), ...flow.ports.map((port) => ({ protocol: flow.protocol, port }))]
          arrows.set(`${from} ${to}`, {
            from,
            to,
            ports: uniqueBy(ports, ({ protocol, port }) => `${port} ${protocol}`).sort((a, b) => a.port - b.port),
            purposes: uniqueBy([...(before?.purposes ?? []), flow.purpose], (purpose) => purpose),
          })
        }
  return [...arrows.values()]
}

function ends(site: Site, group: string, slot: SlotName, flow: Flow, other: string | undefined): [from: string, to: string] {
  // What a slot hands on of connections that its peer has: between the two, whoever has opened them.
  if (flow.steered !== undefined) return [group, group]
  const who = other === undefined ? 'the internet' : ownerOf(site, group, slot, flow, other)
  return flow.direction === 'in' ? [who, group] : [group, who]
}

function ownerOf(site: Site, group: string, slot: SlotName, { ports, protocol }: Flow, address: string): string | Outsider {
  for (const [name, { service, slots }] of Object.entries(site.groups)) {
    const own = name === group ? slots[slot].address : undefined
    if ([service, slots.blue.address, slots.green.address].some((one) => one === address && one !== own)) return name
  }
  const { admin, nameservers, ntp, outgoing } = site.network
  if (admin.includes(address)) return 'network.admin'
  if (nameservers.includes(address) && ports.includes(53)) return 'network.nameservers'
  if (ntp.includes(address) && ports.includes(123)) return 'network.ntp'
  if (outgoing.some((one) => one.to === address && ports.includes(one.port) && protocol === one.protocol)) return 'network.outgoing'
  throw new Error(`nobody knows who ${address} is`)
}

const uniqueBy = <T>(items: readonly T[], key: (item: T) => string): T[] => [...new Map(items.map((item) => [key(item), item])).values()]
