/** IPv4 arithmetic for site checks and the flow table. */

/** The 32-bit number of a dotted address, or undefined when it is not one. */
export function addressNumber(address: string): number | undefined {
  const parts = address.split('.')
  if (parts.length !== 4) return undefined
  let number = 0
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined
    number = number * 256 + Number(part)
  }
  return number
}

export interface Network {
  readonly first: number
  readonly last: number
  readonly prefix: number
}

/** The address range of `a.b.c.d/prefix` (a bare address is a /32), or undefined when it is not one or has host bits set. */
export function parseNetwork(cidr: string): Network | undefined {
  const [address = '', prefixText = '32', ...rest] = cidr.split('/')
  const first = addressNumber(address)
  if (first === undefined || rest.length > 0 || !/^(0|[1-9][0-9]?)$/.test(prefixText)) return undefined
  const prefix = Number(prefixText)
  if (prefix > 32) return undefined
  const size = 2 ** (32 - prefix)
  if (first % size !== 0) return undefined
  return { first, last: first + size - 1, prefix }
}

export function contains(network: Network, address: string): boolean {
  const number = addressNumber(address)
  return number !== undefined && number >= network.first && number <= network.last
}

export const overlap = (one: Network, other: Network): boolean => one.first <= other.last && other.first <= one.last

/** Whether it can be the address of a machine in some network: none of the loopback, groups or the reserved ends. */
export function isOneMachine(address: string): boolean {
  const number = addressNumber(address)
  if (number === undefined) return false
  const first = Math.floor(number / 2 ** 24)
  return first !== 0 && first !== 127 && first < 224
}

const privateNetworks = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16']

/** All of it in the ranges that everybody may use at home (RFC 1918). */
export const isPrivate = ({ first, last }: Network): boolean =>
  privateNetworks.some((text) => {
    const network = parseNetwork(text)
    return network !== undefined && network.first <= first && last <= network.last
  })
