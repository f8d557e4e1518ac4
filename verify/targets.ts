/** What is tried of a firewall: ports and places, and what should come of it. Pure. */
import { containerNetworks } from '../settings/containers.ts'
import { contains, parseNetwork } from '../settings/address.ts'
import type { Site } from '../settings/site.ts'
import type { VmFlows } from '../releases/flows.ts'

/** Ports that something in the VMs listens on, or that people leave open by mistake. */
const listeners = [22, 80, 443, 2375, 2376, 3000, 3100, 8080, 8099, 8443, 9080, 9095, 9121, 24282]

/** To try of a VM, from outside of it. */
export const tempting = ({ logging }: Pick<Site, 'logging'>): number[] => [...new Set([...listeners, logging.port])].sort((a, b) => a - b)

export interface Target {
  readonly host: string
  readonly port: number
}

export const targetText = ({ host, port }: Target): string => `${host}:${port}`

/** Whether a VM lets this in. @param from undefined: nobody knows where it comes from, so that only what is open to all counts */
export function isOpen({ local, flows }: VmFlows, from: string | undefined, { host, port }: Target): boolean {
  return flows.some(({ direction, protocol, ports, remote, local: own = local }) => {
    const isFrom = remote.length === 0 || (from !== undefined && remote.some((text) => isIn(text, from)))
    return direction === 'in' && protocol === 'tcp' && ports.includes(port) && own.includes(host) && isFrom
  })
}

/** Whether it lets this in from anywhere at all. */
export const isOpenToSome = ({ local, flows }: VmFlows, { host, port }: Target): boolean =>
  flows.some(
    ({ direction, protocol, ports, local: own = local }) =>
      direction === 'in' && protocol === 'tcp' && ports.includes(port) && own.includes(host),
  )

/** Whether it lets this out. @param from what is for the VM itself its containers do not get, and what is for one of its users nobody here */
export const isLetOut = ({ flows }: VmFlows, from: 'containers' | 'itself', { host, port }: Target): boolean =>
  flows.some(
    ({ direction, ports, remote, hostOnly, only, steered }) =>
      direction === 'out' &&
      only === undefined &&
      steered === undefined &&
      (hostOnly !== true || from === 'itself') &&
      ports.includes(port) &&
      (remote.length === 0 || remote.some((text) => isIn(text, host))),
  )

function isIn(text: string, address: string): boolean {
  const network = parseNetwork(text)
  return network !== undefined && contains(network, address)
}

/** Which network a container is in: one of the two of the project, or that of the VM itself. */
export type Inside = 'serena' | 'logging' | 'itself'

/**
 * Where a container could go if it were let: the site's VMs, those of `vms`, the gateway, Proxmox, containers of other
 * networks, the world.
 */
export function temptations(site: Site, vms: readonly string[], from: Inside = 'serena', ports = portsOf(site)): Target[] {
  const inside = containerNetworks(site.network.containers)
  const own = Object.values(site.groups).flatMap(({ service, slots }) => [service, slots.blue.address, slots.green.address])
  const { hostname, port } = new URL(site.proxmox.url)
  // The VM itself gets to its own addresses and to its containers.
  const near = from === 'itself' ? [] : [...vms, firstOf(inside[from])]
  const machines = [...new Set([...own, ...near])]
  return [
    ...machines.flatMap((host) => ports.map((one) => ({ host, port: one }))),
    ...[22, 443].map((one) => ({ host: site.network.gateway, port: one })),
    ...site.network.nameservers.map((host) => ({ host, port: 53 })),
    ...(parseNetwork(hostname) === undefined ? [] : [{ host: hostname, port: Number(port || 443) }]),
    ...(from === 'serena' ? [{ host: inside.loki, port: 3100 }] : []),
    ...(from === 'serena' ? [{ host: inside.grafana, port: 3000 }] : []),
    ...(from === 'logging' ? [inside.serenaMcp, inside.serenaMcpSse].map((host) => ({ host, port: 9121 })) : []),
    { host: '192.0.2.1', port: 443 },
  ]
}

const portsOf = ({ logging }: Pick<Site, 'logging'>): readonly number[] => [22, 80, 443, 8099, logging.port]

/** The VM's own address in a network of its containers. */
const firstOf = (network: string): string => network.replace(/(\d+)\/\d+$/, (_, last: string) => String(Number(last) + 1))

/** What is other than it should be, as sentences. @param wanted undefined: either will do */
export function surprises(tried: readonly Target[], reached: readonly string[], wanted: (target: Target) => boolean | undefined): string[] {
  return tried.flatMap((target) => {
    const open = reached.includes(targetText(target))
    const should = wanted(target)
    return should === undefined || should === open ? [] : [`${targetText(target)} is ${open ? 'open' : 'closed'}`]
  })
}
