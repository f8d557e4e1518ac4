/** The LAN as `golden init` asks it: which addresses are taken. */
import { networkInterfaces } from 'node:os'
import { askNeighbours } from '../core/neighbours.ts'

export interface Lan {
  /** This computer's own addresses, with their prefixes: `192.168.1.7/24`. */
  own(): string[]
  /** @returns those that somebody has; undefined: this computer is not in their network, or can't tell */
  ask(addresses: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string> | undefined>
}

export const realLan: Lan = {
  own: () =>
    Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? []).flatMap(({ family, internal, cidr }) => (family === 'IPv4' && !internal && cidr !== null ? [cidr] : [])),
    ),
  async ask(addresses, signal) {
    const found = await askNeighbours(addresses, { signal })
    if ([...found.values()].some(({ is }) => is === 'unasked')) return undefined
    return new Set(addresses.filter((address) => found.get(address)?.is === 'there'))
  },
}
