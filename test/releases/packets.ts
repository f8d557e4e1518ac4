/** A small firewall: decides for single packets what the two renderings of the flow table say. */
import { addressNumber, contains, parseNetwork } from '../../settings/address.ts'
import type { ProxmoxRule } from '../../releases/proxmox-rules.ts'

/** The first packet of a connection, as the guest's kernel or Proxmox's bridge sees it. */
export interface Packet {
  readonly direction: 'in' | 'out'
  readonly source: string
  readonly dest: string
  readonly protocol: 'tcp' | 'udp' | 'icmp'
  readonly port: number
}

const matches = (list: string | undefined, address: string): boolean =>
  list === undefined ||
  list.split(/\s*,\s*/).some((one) => {
    const network = parseNetwork(one)
    if (network === undefined) throw new Error(`not an address: ${one}`)
    return contains(network, address)
  })

/** Proxmox: first match wins, else the policy, which is DROP both ways. */
export const proxmoxAdmits = (rules: readonly ProxmoxRule[], packet: Packet): boolean =>
  rules.some(
    (rule) =>
      rule.enabled &&
      rule.type === packet.direction &&
      rule.proto === packet.protocol &&
      rule.dport.split(',').includes(String(packet.port)) &&
      matches(rule.source, packet.source) &&
      matches(rule.dest, packet.dest),
  )

export interface NftPacket extends Omit<Packet, 'direction'> {
  readonly chain: 'input' | 'output' | 'forward'
  readonly iifname: string
  readonly oifname: string
  readonly state: 'new' | 'established' | 'related' | 'invalid' | 'untracked'
  /** The machine in the LAN that it goes to next. @default the one that it is for */
  readonly nexthop?: string
  /** Whose program sends it; in the output chain. @default root */
  readonly uid?: number
}

/** Reads the rules of one chain from the text that `nft` gets, and decides. Throws on words that it does not know. */
export function nftAdmits(text: string, packet: NftPacket): boolean {
  const body = new RegExp(`chain ${packet.chain} \\{\\n([\\s\\S]*?)\\n  \\}`).exec(text)?.[1]
  if (body === undefined) throw new Error(`no chain ${packet.chain}`)
  const [head = '', ...rules] = body.split('\n').map((line) => line.trim())
  if (!/^type filter hook (input|output|forward) priority filter; policy drop;$/.test(head)) throw new Error(head)
  for (const rule of rules) {
    const verdict = judge(rule, packet)
    if (verdict !== undefined) return verdict
  }
  return false
}

function judge(rule: string, packet: NftPacket): boolean | undefined {
  const words = rule.replace(/ comment "[^"]*"$/, '').match(/\{[^}]*\}|"[^"]*"|\S+/g) ?? []
  const items = (word: string | undefined): string[] =>
    (word ?? '')
      .replace(/^\{\s*|\s*\}$/g, '')
      .split(/\s*,\s*/)
      .map((item) => item.replaceAll('"', ''))
  for (let at = 0; at < words.length; at++) {
    const word = words[at]
    if (word === 'accept') return true
    if (word === 'drop' || word === 'reject') return false
    if (word === 'iifname' || word === 'oifname') {
      const not = words[at + 1] === '!='
      at += not ? 2 : 1
      if (items(words[at]).includes(packet[word]) === not) return undefined
    } else if (word === 'meta' && words[at + 1] === 'skuid') {
      at += 2
      if (!items(words[at]).includes(String(packet.uid ?? 0))) return undefined
    } else if (word === 'ct' && words[at + 1] === 'state') {
      at += 2
      if (!items(words[at]).includes(packet.state)) return undefined
    } else if (word === 'ip') {
      const address = words[at + 1] === 'saddr' ? packet.source : packet.dest
      const not = words[at + 2] === '!='
      at += not ? 3 : 2
      if (matches(items(words[at]).join(','), address) === not) return undefined
    } else if (word === 'rt' && words[at + 1] === 'ip' && words[at + 2] === 'nexthop') {
      at += 3
      if (words[at] !== (packet.nexthop ?? packet.dest)) return undefined
    } else if (word === 'tcp' || word === 'udp') {
      if (words[at + 1] !== 'dport') throw new Error(rule)
      at += 2
      if (packet.protocol !== word || !items(words[at]).includes(String(packet.port))) return undefined
    } else throw new Error(`unknown word ${word} in: ${rule}`)
  }
  throw new Error(`no verdict: ${rule}`)
}

export const addressOf = (number: number): string => [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')
export { addressNumber }
