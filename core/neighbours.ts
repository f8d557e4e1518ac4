/**
 * Whether anybody in this computer's own networks has an IPv4 address. A connection is tried, which makes the system ask
 * by ARP; the answer to that is in the system's table of neighbours, whether or not anything listens there.
 */
import { BlockList, connect, isIPv4 } from 'node:net'
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os'
import { ChildFailure, run } from './child.ts'
import { childEnvironment } from './environment.ts'

export type Presence =
  /** @property mac where the system tells, in upper case */
  | { readonly is: 'there'; readonly mac?: string }
  | { readonly is: 'silent' }
  /** @property why nobody here can tell, after "could not be asked: " */
  | { readonly is: 'unasked'; readonly why: string }

/** Takes a second where nobody answers. */
export type WhoHas = (address: string, signal: AbortSignal) => Promise<Presence>

/** What a neighbour that is there and drops what it does not know never answers. */
const knockMs = 1000
/** Any will do: that there is an answer counts, not which. */
const knockPort = 443

export const whoHas: WhoHas = async (address, signal) => {
  const interfaces = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const own = interfaces.find((one) => one.address === address)
  if (own !== undefined) return { is: 'there', mac: own.mac.toUpperCase() }
  if (!isNeighbour(address, interfaces)) return { is: 'unasked', why: 'this computer is not in its network' }
  const answer = await knock(address, signal)
  const neighbour = await inTable(address)
  if (neighbour?.mac !== undefined) return { is: 'there', mac: neighbour.mac }
  if (answer === 'answers') return { is: 'there' }
  if (answer === 'unreachable' || neighbour !== undefined) return { is: 'silent' }
  return { is: 'unasked', why: "it answers no connection, and this system's table of neighbours can't be read" }
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

async function knock(address: string, signal: AbortSignal): Promise<'answers' | 'unreachable' | 'quiet'> {
  const { promise, resolve } = Promise.withResolvers<'answers' | 'unreachable' | 'quiet'>()
  const socket = connect({ host: address, port: knockPort, signal: AbortSignal.any([signal, AbortSignal.timeout(knockMs)]) })
  socket.once('connect', () => resolve('answers'))
  socket.once('error', ({ code }: NodeJS.ErrnoException) =>
    resolve(
      code === 'ECONNREFUSED' || code === 'ECONNRESET'
        ? 'answers'
        : code === 'EHOSTUNREACH' || code === 'EHOSTDOWN' || code === 'ENETUNREACH'
          ? 'unreachable'
          : 'quiet',
    ),
  )
  try {
    return await promise
  } finally {
    socket.destroy()
  }
}

interface Neighbour {
  /** Undefined: it was asked for, and nobody has it. */
  readonly mac: string | undefined
}

/** @returns undefined: the table can't be read */
async function inTable(address: string): Promise<Neighbour | undefined> {
  const env = { ...childEnvironment(process.env), PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` }
  const [program, args, read] =
    process.platform === 'darwin'
      ? (['arp', ['-n', address], fromArp] as const)
      : (['ip', ['-json', 'neigh', 'show', 'to', address], fromIp] as const)
  try {
    return read((await run(program, args, { env, timeoutMs: 2000 })).stdout)
  } catch (error) {
    if (error instanceof ChildFailure) return undefined
    throw error
  }
}

/** Of `ip -json neigh show to ADDRESS` (iproute2). Pure. */
export function fromIp(text: string): Neighbour | undefined {
  try {
    const list = JSON.parse(text.trim() === '' ? '[]' : text) as { lladdr?: string; state?: string[] }[]
    const found = list.find(({ lladdr, state = [] }) => lladdr !== undefined && !state.some((one) => /^(FAILED|INCOMPLETE)$/.test(one)))
    return { mac: found?.lladdr?.toUpperCase() }
  } catch {
    return undefined
  }
}

/** Of `arp -n ADDRESS` (BSD's). Pure. */
export function fromArp(text: string): Neighbour {
  const mac = / at ([0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5})\b/i.exec(text)?.[1]
  return {
    mac: mac
      ?.split(':')
      .map((part) => part.padStart(2, '0').toUpperCase())
      .join(':'),
  }
}
