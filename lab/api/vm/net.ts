/** Network card strings such as `virtio=BC:24:11:…,bridge=vmbr0,firewall=1`. */
import { randomBytes } from 'node:crypto'
import { parsePropertyString } from '../check.ts'
import { netFormat } from './options.ts'

export interface Net {
  readonly model: string
  readonly macaddr: string
  readonly options: Readonly<Record<string, string>>
}

/** Proxmox's own vendor prefix. */
export const randomMac = (): string =>
  ['BC', '24', '11', ...[...randomBytes(3)].map((byte) => byte.toString(16).padStart(2, '0').toUpperCase())].join(':')

/** A card without an address gets a new one. */
export function parseNet(value: string): Net {
  const { model = 'virtio', macaddr, ...options } = parsePropertyString(netFormat, value, 'net').values
  return { model, macaddr: macaddr?.toUpperCase() ?? randomMac(), options }
}

export const printNet = (net: Net): string =>
  [
    `${net.model}=${net.macaddr}`,
    ...Object.entries(net.options)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${key}=${value}`),
  ].join(',')
