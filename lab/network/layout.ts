/**
 * The addresses of the lab's LAN and of what is around it. Pure.
 *
 *     guests ── taps ─┐
 *     services .2 .3 ─┤ bridge vmbr0        router .1 ──┬── 198.51.100.0/30 ── a host on the internet
 *                     └──────────────────────┘          └── slirp4netns ── the real world
 */
import { formatAddress, parseCidr } from './addresses.ts'

export interface Layout {
  readonly subnet: string
  readonly prefix: number
  /** The router's address in the LAN, which is the guests' name server too. */
  readonly gateway: string
  /** Where `dial` comes from, like an administrator's computer; the lab's API is published here. */
  readonly admin: string
  /** Where `dialStranger` comes from: outside of the first eight addresses, which a site may take for its administrators. */
  readonly stranger: string
  /** The lab's registry. */
  readonly registry: string
  /** The router's public address; and that of the one other host out there (RFC 5737, TEST-NET-2). */
  readonly outside: string
  readonly internetHost: string
  /** slirp4netns's own network (RFC 2544, benchmarking): not a LAN that anybody has. */
  readonly slirpCidr: string
  readonly slirpNameserver: string
}

/** The layout for a subnet such as `10.77.0.0/24`. Throws for one that can't hold the lab's services and a guest. */
export function layoutOf(subnet: string): Layout {
  const range = parseCidr(subnet)
  const prefix = Number(subnet.split('/')[1])
  if (range.family !== 4 || !(prefix >= 8 && prefix <= 27))
    throw new Error(`the lab's subnet must be an IPv4 network from /8 to /27, not '${subnet}'`)
  if (formatAddress(range.first, 4) !== subnet.split('/')[0]) throw new Error(`'${subnet}' is not a network: it has host bits set`)
  const at = (offset: number) => formatAddress(range.first + BigInt(offset), 4)
  return {
    subnet,
    prefix,
    gateway: at(1),
    admin: at(2),
    stranger: at(9),
    registry: at(3),
    outside: '198.51.100.1',
    internetHost: '198.51.100.2',
    slirpCidr: '198.18.0.0/24',
    slirpNameserver: '198.18.0.3',
  }
}
