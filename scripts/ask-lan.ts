/**
 * Who has an address in the LAN, asked from this computer: by ARP, which whoever is there answers, whatever their firewall
 * says (RFC 826). It takes no root: a packet to an address has the kernel ask for it, and its table tells what came back.
 */
import { execFile } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { contains, parseNetwork } from '../settings/address.ts'

export interface Lan {
  /** This computer's own addresses, with their prefixes: `192.168.1.7/24`. */
  own(): string[]
  /** @returns those that somebody has; undefined: this computer is not in that network, or can't tell */
  ask(subnet: string, addresses: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string> | undefined>
}

/** The kernel asks three times, a second apart (neigh/default/mcast_solicit and retrans_time_ms). */
const patienceMs = 3300
const pauseMs = 100
/** Discard (RFC 863): nobody listens there, and nobody minds. */
const port = 9

/** What the system knows of its neighbours. @throws Error where it does not tell */
export type ReadNeighbours = () => Promise<string>

export const realLan: Lan = lanWith(process.platform === 'darwin' ? ofMac : ofLinux)

/** @param read replaced by tests */
export function lanWith(read: ReadNeighbours): Lan {
  return {
    own: () => ownAddresses().map(({ cidr }) => cidr ?? ''),
    async ask(subnet, addresses, signal) {
      const network = parseNetwork(subnet)
      const own = ownAddresses().filter(({ address }) => network !== undefined && contains(network, address))
      if (own.length === 0) return undefined
      try {
        await read()
      } catch {
        return undefined
      }
      const mine = new Set(own.map(({ address }) => address))
      const others = addresses.filter((address) => !mine.has(address))
      await poke(others)
      const until = performance.now() + patienceMs
      for (;;) {
        const neighbours = neighboursIn(await read())
        const open = others.filter((address) => !neighbours.has(address))
        if (open.length === 0 || performance.now() > until) return new Set(addresses.filter((one) => mine.has(one) || neighbours.has(one)))
        await delay(pauseMs, undefined, { signal })
      }
    },
  }
}

const ownAddresses = () =>
  Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)

async function poke(addresses: readonly string[]): Promise<void> {
  const socket = createSocket('udp4')
  // That nobody is there is what is to be found out.
  socket.on('error', () => {})
  await Promise.all(addresses.map((address) => new Promise<void>((done) => socket.send('', port, address, () => done()))))
  socket.close()
}

/** proc_net_arp(5). One that nobody has answered for has no flag. */
async function ofLinux(): Promise<string> {
  return readFile('/proc/net/arp', 'utf8')
}

/** arp(8) of macOS; what it does not know is `(incomplete)`. */
async function ofMac(): Promise<string> {
  return (await promisify(execFile)('/usr/sbin/arp', ['-an'])).stdout
}

/** Addresses that have a hardware address, by either of the two lists. Pure. */
export function neighboursIn(text: string): Set<string> {
  const found = text.split('\n').flatMap((line) => {
    const [, mac] = /^\S+ \((\d+(?:\.\d+){3})\) at (?:[0-9a-f]{1,2}:){5}[0-9a-f]{1,2} /.exec(line) ?? []
    if (mac !== undefined) return [mac]
    const [, linux, flags] = /^(\d+(?:\.\d+){3})\s+0x\w+\s+(0x\w+)\s/.exec(line) ?? []
    // ATF_COM (if_arp.h): the entry is complete.
    return linux === undefined || (Number(flags) & 2) === 0 ? [] : [linux]
  })
  return new Set(found)
}
