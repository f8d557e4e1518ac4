/**
 * Who has an IPv4 address in this computer's own networks: by ARP, which whoever is there answers, whatever their firewall says
 * (RFC 826). It takes no root: a packet to an address has the system ask for it, and its table of neighbours tells what
 * came back.
 */
import { createSocket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { BlockList, isIPv4 } from 'node:net'
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { run } from './child.ts'
import { childEnvironment } from './environment.ts'

export type Presence =
  /** @property mac in upper case */
  | { readonly is: 'there'; readonly mac: string }
  | { readonly is: 'silent' }
  /** @property why nobody here can tell, after "could not be asked: " */
  | { readonly is: 'unasked'; readonly why: string }

export interface Asking {
  readonly signal: AbortSignal
  /** How long nobody's answer is waited for, in milliseconds. @default the system's three questions, a second apart (neigh/default/mcast_solicit, retrans_time_ms) */
  readonly patienceMs?: number
  /** What the system knows of its neighbours. Replaced by tests. @throws Error where it does not tell */
  readonly read?: () => Promise<string>
}

/** Of one address, within about a second. */
export type WhoHas = (address: string, signal: AbortSignal) => Promise<Presence>

const pauseMs = 100
/** Discard (RFC 863): nobody listens there, and nobody minds. */
const port = 9

export const whoHas: WhoHas = async (address, signal) => {
  const found = await askNeighbours([address], { signal, patienceMs: 1200 })
  return found.get(address) as Presence
}

/** All at once. @returns of each address what was found */
export async function askNeighbours(addresses: readonly string[], asking: Asking): Promise<Map<string, Presence>> {
  const { signal, patienceMs = 3300, read = process.platform === 'darwin' ? ofMac : ofLinux } = asking
  const interfaces = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const found = new Map<string, Presence>()
  const others: string[] = []
  for (const address of addresses) {
    const own = interfaces.find((one) => one.address === address)
    if (own !== undefined) found.set(address, { is: 'there', mac: own.mac.toUpperCase() })
    else if (isNeighbour(address, interfaces)) others.push(address)
    else found.set(address, { is: 'unasked', why: 'this computer is not in its network' })
  }
  const neighbours = (): Promise<Map<string, string> | undefined> => read().then(neighboursIn, () => undefined)
  if (others.length > 0 && (await neighbours()) !== undefined) await poke(others)
  const until = performance.now() + patienceMs
  for (let open = others; open.length > 0; ) {
    const known = await neighbours()
    for (const address of open) {
      const mac = known?.get(address)
      if (mac !== undefined) found.set(address, { is: 'there', mac })
    }
    open = open.filter((address) => !found.has(address))
    if (known !== undefined && open.length > 0 && performance.now() < until) {
      await delay(pauseMs, undefined, { signal })
      continue
    }
    const rest: Presence =
      known === undefined ? { is: 'unasked', why: "this system's table of neighbours can't be read" } : { is: 'silent' }
    for (const address of open) found.set(address, rest)
    break
  }
  return found
}

/** Pure. */
export function isNeighbour(address: string, interfaces: readonly Pick<NetworkInterfaceInfo, 'family' | 'internal' | 'cidr'>[]): boolean {
  return interfaces.some(({ family, internal, cidr }) => {
    const [start = '', prefix] = cidr?.split('/') ?? []
    if (family !== 'IPv4' || internal || !isIPv4(start)) return false
    const network = new BlockList()
    network.addSubnet(start, Number(prefix), 'ipv4')
    return network.check(address)
  })
}

async function poke(addresses: readonly string[]): Promise<void> {
  const socket = createSocket('udp4')
  // That nobody is there is what is to be found out.
  socket.on('error', () => {})
  await Promise.all(addresses.map((address) => new Promise<void>((done) => socket.send('', port, address, () => done()))))
  socket.close()
}

/** proc_net_arp(5). One that nobody has answered for has no flag. */
const ofLinux = (): Promise<string> => readFile('/proc/net/arp', 'utf8')

/** arp(8) of macOS; what it does not know is `(incomplete)`. */
const ofMac = async (): Promise<string> =>
  (await run('/usr/sbin/arp', ['-an'], { env: childEnvironment(process.env), timeoutMs: 2000 })).stdout

/** @returns the hardware address of each address that has one, by either of the two lists. Pure. */
export function neighboursIn(text: string): Map<string, string> {
  const found = text.split('\n').flatMap((line): [string, string][] => {
    const [, mac, itsMac] = /^\S+ \((\d+(?:\.\d+){3})\) at ((?:[0-9a-f]{1,2}:){5}[0-9a-f]{1,2}) /i.exec(line) ?? []
    if (mac !== undefined && itsMac !== undefined) return [[mac, itsMac]]
    const [, linux, flags, itsHardware] = /^(\d+(?:\.\d+){3})\s+0x\w+\s+(0x\w+)\s+((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\s/i.exec(line) ?? []
    // ATF_COM (if_arp.h): the entry is complete.
    return linux === undefined || itsHardware === undefined || (Number(flags) & 2) === 0 ? [] : [[linux, itsHardware]]
  })
  return new Map(found.map(([address, mac]) => [address, upper(mac)]))
}

/** macOS leaves out zeros. */
const upper = (mac: string): string =>
  mac
    .split(':')
    .map((part) => part.padStart(2, '0').toUpperCase())
    .join(':')
