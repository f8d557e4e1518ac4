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
