/** IP addresses as numbers, and sets of them as sorted ranges. Pure. */

export type Family = 4 | 6

export interface AddressRange {
  readonly family: Family
  readonly first: bigint
  /** Inclusive. */
  readonly last: bigint
}

/** An address as a number. Throws for anything else. */
export function parseAddress(text: string): { family: Family; value: bigint } {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) {
    const bytes = text.split('.').map(Number)
    if (bytes.every((byte) => byte <= 255)) return { family: 4, value: bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n) }
  }
  const value = text.includes(':') ? parseSix(text) : undefined
  if (value === undefined) throw new Error(`'${text}' is not an IP address`)
  return { family: 6, value }
}

/** RFC 4291 2.2: eight groups, one run of zero groups as `::`, the last two perhaps as an IPv4 address. */
function parseSix(text: string): bigint | undefined {
  const dotted = /^(.*:)(\d{1,3}(?:\.\d{1,3}){3})$/.exec(text)
  if (dotted) {
    const tail = parseAddress(dotted[2]!).value
    return parseSix(`${dotted[1]}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`)
  }
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')))
  if (!groups.flat().every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined
  const [head = [], tail] = groups
  const zeros = 8 - head.length - (tail?.length ?? 0)
  if (tail === undefined ? zeros !== 0 : zeros < 1) return undefined
  const all = [...head, ...Array<string>(zeros).fill('0'), ...(tail ?? [])]
  return all.reduce((sum, group) => (sum << 16n) + BigInt(`0x${group}`), 0n)
}

/** As nft and ip read it; IPv6 without `::`. */
export function formatAddress(value: bigint, family: Family): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.')
  return Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16)).join(':')
}

/** A network such as `10.0.0.0/8` (host bits may be set), an address, or a range `a-b`. Throws for anything else. */
export function parseCidr(text: string): AddressRange {
  const [from, to] = text.split('-')
  if (from !== undefined && to !== undefined) {
    const a = parseAddress(from.trim())
    const b = parseAddress(to.trim())
    if (a.family !== b.family || a.value > b.value) throw new Error(`'${text}' is not a range of addresses`)
    return { family: a.family, first: a.value, last: b.value }
  }
  const [address, length, ...rest] = text.split('/') as [string, ...string[]]
  const { family, value } = parseAddress(address)
  const bits = family === 4 ? 32 : 128
  const prefix = length === undefined ? bits : Number(length)
  if (rest.length > 0 || (length !== undefined && !/^\d{1,3}$/.test(length)) || prefix > bits) throw new Error(`'${text}' is not a network`)
  const host = (1n << BigInt(bits - prefix)) - 1n
  return { family, first: value & ~host, last: value | host }
}

/** As nft writes the elements of an interval set. */
export function formatRange(range: AddressRange): string {
  const first = formatAddress(range.first, range.family)
  return range.first === range.last ? first : `${first}-${formatAddress(range.last, range.family)}`
}

/**
 * The addresses of an ipset: of all entries that hold an address, the narrowest decides, and `nomatch`
 * takes it out (ipset(8), hash:net). Sorted, without overlaps.
 */
export function rangesOf(entries: readonly { range: AddressRange; nomatch: boolean }[], family: Family): AddressRange[] {
  const size = (range: AddressRange) => range.last - range.first
  const widestFirst = entries
    .filter((entry) => entry.range.family === family)
    .sort((a, b) => (size(a.range) < size(b.range) ? 1 : size(a.range) > size(b.range) ? -1 : Number(a.nomatch) - Number(b.nomatch)))
  let ranges: AddressRange[] = []
  for (const { range, nomatch } of widestFirst) {
    ranges = subtract(ranges, range)
    if (!nomatch) ranges.push(range)
  }
  const sorted = ranges.sort((a, b) => (a.first < b.first ? -1 : 1))
  const merged: AddressRange[] = []
  for (const range of sorted) {
    const before = merged.at(-1)
    if (before && before.last + 1n === range.first) merged[merged.length - 1] = { ...before, last: range.last }
    else merged.push(range)
  }
  return merged
}

function subtract(ranges: readonly AddressRange[], hole: AddressRange): AddressRange[] {
  return ranges.flatMap((range) => {
    if (hole.last < range.first || hole.first > range.last) return [range]
    const parts: AddressRange[] = []
    if (range.first < hole.first) parts.push({ ...range, last: hole.first - 1n })
    if (range.last > hole.last) parts.push({ ...range, first: hole.last + 1n })
    return parts
  })
}
