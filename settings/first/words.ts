/** Answers as people write them, on the command line or at a question. Pure; each throws a `WordProblem`, which says what it wants. */
import { isIP } from 'node:net'
import { contains, isOneMachine, parseNetwork } from '../address.ts'
import { transports, type Transport } from '../names.ts'
import type { Os } from './answers.ts'
import type { Lan } from './place.ts'

export class WordProblem extends Error {}

/** @returns what is wrong with it, if anything */
export function problemWith(read: (text: string) => unknown, text: string): string | undefined {
  try {
    read(text)
    return undefined
  } catch (error) {
    if (error instanceof WordProblem) return error.message
    throw error
  }
}

const words = (text: string): string[] => text.split(/[\s,]+/).filter((word) => word !== '')

/** Proxmox's own port. */
const usualPort = 8006

/** A name, an address, or what a browser shows while it is in Proxmox. @returns `https://HOST:8006` */
export function readProxmox(text: string): string {
  const wanted = 'wanted is a host name or an address, like pve.example.org or 192.168.1.5'
  const bare = isIP(text) === 6 ? `[${text}]` : text
  const full = bare.includes('://') ? bare : `https://${bare}`
  if (/\s/.test(text) || !URL.canParse(full)) throw new WordProblem(wanted)
  const { protocol, hostname, port, username } = new URL(full)
  if (protocol !== 'https:' || username !== '' || hostname === '') throw new WordProblem(wanted)
  // A URL does not tell of its own usual port; only where it was written, it was meant.
  const meant = port !== '' ? port : /^[^/]*\/\/[^/]*:443(\/|$)/.test(full) ? '443' : String(usualPort)
  return `https://${hostname}:${meant}`
}

export interface PublicHost {
  readonly host: string
  readonly port: number | undefined
}

/** `HOST` or `HOST:PORT`. */
export function readPublicHost(text: string): PublicHost {
  const [, host, port] = /^([a-z0-9.-]+)(?::(\d{1,5}))?$/.exec(text.toLowerCase()) ?? []
  if (host === undefined || (port !== undefined && !isPort(port)))
    throw new WordProblem('wanted is a host name or an IPv4 address, with :PORT where it is not 443')
  return { host, port: port === undefined || port === '443' ? undefined : Number(port) }
}

const isPort = (text: string): boolean => Number(text) >= 1 && Number(text) <= 65_535

/** `HOST:PORT` of a SOCKS5 proxy; nothing, or `none`: there is no need of one. */
export function readProxy(text: string): { readonly host: string; readonly port: number } | null {
  if (text === '' || text === 'none') return null
  const [, host, port] = /^(?:socks5h?:\/\/)?([A-Za-z0-9.-]+):(\d{1,5})$/.exec(text) ?? []
  if (host === undefined || port === undefined || !isPort(port)) throw new WordProblem('wanted is HOST:PORT of a SOCKS5 proxy, or none')
  return { host, port: Number(port) }
}

export function readSubnet(text: string): string {
  const network = parseNetwork(text)
  if (network === undefined || network.prefix < 8 || network.prefix > 30 || !isOneMachine(text.split('/')[0] ?? ''))
    throw new WordProblem(`${text === '' ? 'nothing' : text} is no network like 192.168.1.0/24, without host bits`)
  return text
}

export function readAddress(text: string): string {
  if (!isOneMachine(text)) throw new WordProblem(`${text === '' ? 'nothing' : text} is not the IPv4 address of a machine`)
  return text
}

/** Those of machines, with blanks or commas between them. */
export const readAddresses = (text: string): string[] => atLeastOne(words(text).map(readAddress), 'an IPv4 address')

/** Networks of any size, a bare address being one of one machine. */
export const readNetworks = (text: string): string[] =>
  atLeastOne(
    words(text).map((word) => {
      if (parseNetwork(word) === undefined) throw new WordProblem(`${word} is no network like 192.168.1.0/24, without host bits`)
      return word
    }),
    'a network',
  )

function atLeastOne<T>(list: T[], what: string): T[] {
  if (list.length === 0) throw new WordProblem(`wanted is ${what} at least`)
  return list
}

/** `SUBNET GATEWAY NAMESERVER …`; without name servers the gateway is asked for names. */
export function readLan(text: string): Lan & { readonly nameservers: string[] } {
  const [subnet = '', gateway = '', ...nameservers] = words(text)
  const network = parseNetwork(readSubnet(subnet))
  readAddress(gateway)
  if (network === undefined || !contains(network, gateway)) throw new WordProblem(`the gateway ${gateway} is not in ${subnet}`)
  return { subnet, gateway, nameservers: nameservers.length === 0 ? [gateway] : nameservers.map(readAddress) }
}

/** Nothing, or `none`: without. */
export function readVlan(text: string): number | null {
  if (text === '' || text === 'none') return null
  if (!/^\d{1,4}$/.test(text) || Number(text) < 1 || Number(text) > 4094) throw new WordProblem('wanted is a VLAN from 1 to 4094, or none')
  return Number(text)
}

export function readVmid(text: string): number {
  // Some have to be left after it, up to Proxmox's last.
  if (!/^\d{3,9}$/.test(text) || Number(text) < 100 || Number(text) > 999_000_000)
    throw new WordProblem('wanted is a VMID from 100 to 999000000')
  return Number(text)
}

export const oses: readonly Os[] = ['ubuntu-24.04', 'debian-13']

export function readOs(text: string): Os {
  const os = oses.find((one) => one === text)
  if (os === undefined) throw new WordProblem(`wanted is ${oses.join(' or ')}`)
  return os
}

export function readTransports(text: string): Transport[] {
  return atLeastOne(
    words(text).map((word) => {
      const found = transports.find((one) => one === word)
      if (found === undefined) throw new WordProblem(`wanted is ${transports.join(', or ')}, or both`)
      return found
    }),
    transports.join(' or '),
  )
}

/** As `name` and `serena.users` of a site want it. */
export function readName(text: string): string {
  if (!/^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$/.test(text))
    throw new WordProblem('wanted are lower-case letters, digits and hyphens, a letter first')
  return text
}

export function readUser(text: string): string {
  if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/.test(text)) throw new WordProblem('wanted are letters, digits, dots, hyphens and underscores')
  return text
}
