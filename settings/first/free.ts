/** What nobody has: addresses of a network, VMIDs of a cluster. Pure. */
import { addressNumber, parseNetwork } from '../address.ts'
import { templateRange } from '../names.ts'

export const dotted = (number: number): string => [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')

/**
 * Addresses of machines in a network, in their order: one after the other where there is such a row, else those that there
 * are. Rows are looked for near the end first, beyond what most routers give out by DHCP.
 * @param taken those that are somebody's
 * @param from the first one that may be. @default near the end, then anywhere
 * @returns fewer than `count` where there are no more; none for what is no network
 */
export function freeAddresses(subnet: string, taken: ReadonlySet<string>, count: number, from?: string): string[] {
  const network = parseNetwork(subnet)
  if (network === undefined || network.prefix > 30) return []
  const [first, last] = [network.first + 1, network.last - 1]
  const isFree = (number: number): boolean => !taken.has(dotted(number))
  if (from !== undefined) {
    const begin = addressNumber(from)
    return begin === undefined ? [] : upTo(count, Math.max(begin, first), last, isFree).map(dotted)
  }
  const late = network.first + Math.floor(((network.last - network.first + 1) / 8) * 7)
  const row = rowOf(count, late, last, isFree) ?? rowOf(count, first, last, isFree)
  return (row ?? upTo(count, first, last, isFree)).map(dotted)
}

export interface VmidBounds {
  /** Guests have them. */
  readonly taken: ReadonlySet<number>
  /** Where templates get theirs. */
  readonly templates: { readonly first: number; readonly last: number }
}

const [firstVmid, lastVmid] = [100, 999_999_999]
/** Beyond what people give their VMs, mostly, and beside the templates. */
const usualVmid = 9200

/** @param from the first one that may be; those that are taken are passed over. @default a row, from 9200 on */
export function freeVmids({ taken, templates }: VmidBounds, count: number, from?: number): number[] {
  const isFree = (vmid: number): boolean => !taken.has(vmid) && (vmid < templates.first || vmid > templates.last)
  if (from !== undefined) return upTo(count, Math.max(from, firstVmid), lastVmid, isFree)
  return rowOf(count, usualVmid, lastVmid, isFree) ?? upTo(count, firstVmid, lastVmid, isFree)
}

/** So many of the range have to be free: each image is one, and each of its bases. */
const templatesWanted = 50

/** The usual range, or one of the same size beyond it. */
export function freeTemplates(taken: ReadonlySet<number>): { readonly first: number; readonly last: number } {
  const size = templateRange.last - templateRange.first + 1
  for (let { first } = templateRange; ; first += size) {
    const used = Array.from({ length: size }, (_, index) => first + index).filter((vmid) => taken.has(vmid)).length
    if (size - used >= templatesWanted) return { first, last: first + size - 1 }
  }
}

/** The first row of so many, all of them free. */
function rowOf(count: number, first: number, last: number, isFree: (number: number) => boolean): number[] | undefined {
  for (let begin = first; begin + count - 1 <= last; ) {
    let length = 0
    while (length < count && isFree(begin + length)) length++
    if (length === count) return Array.from({ length: count }, (_, index) => begin + index)
    begin += length + 1
  }
  return undefined
}

function upTo(count: number, first: number, last: number, isFree: (number: number) => boolean): number[] {
  const found: number[] = []
  for (let number = first; number <= last && found.length < count; number++) if (isFree(number)) found.push(number)
  return found
}
