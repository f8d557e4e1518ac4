/** The network cards of a fake guest and the addresses that its configuration files give them. */
import { parse } from 'yaml'
import type { NicSpec } from '../driver.ts'
import { ROOT, type Vfs } from './vfs.ts'

export interface Address {
  readonly address: string
  readonly prefix: number
}

export interface Interface {
  readonly slot: string
  readonly mac: string
  name: string
  up: boolean
  addresses: Address[]
  nic: NicSpec
}

interface NetplanDevice {
  match?: { macaddress?: string; name?: string }
  'set-name'?: string
  addresses?: (string | Record<string, unknown>)[]
  gateway4?: string
  routes?: { to?: string; via?: string }[]
  nameservers?: { addresses?: string[] }
}

export interface NetworkResult {
  readonly gateway: string | undefined
  readonly nameservers: readonly string[]
}

/** Gives the cards the names and addresses of netplan's and systemd-networkd's files (cards matched by MAC or name). */
export function configureInterfaces(vfs: Vfs, interfaces: readonly Interface[]): NetworkResult {
  let gateway: string | undefined
  const nameservers: string[] = []
  const files = (folder: string, ending: string): string[] =>
    vfs.exists(folder)
      ? [...vfs.readdir(folder, ROOT).entries.keys()]
          .filter((name) => name.endsWith(ending))
          .sort()
          .map((name) => `${folder}/${name}`)
      : []
  for (const card of interfaces) {
    card.up = true
    card.addresses = []
  }
  for (const file of files('/etc/netplan', '.yaml')) {
    const config = (parse(vfs.readText(file)) as { network?: { ethernets?: Record<string, NetplanDevice> } } | null)?.network
    for (const [id, device] of Object.entries(config?.ethernets ?? {})) {
      const mac = device.match?.macaddress?.toUpperCase()
      const card = interfaces.find((each) =>
        mac !== undefined ? each.mac.toUpperCase() === mac : each.name === (device.match?.name ?? id),
      )
      if (!card) continue
      card.name = device['set-name'] ?? card.name
      card.addresses = (device.addresses ?? []).flatMap((each) => toAddress(typeof each === 'string' ? each : (Object.keys(each)[0] ?? '')))
      gateway = device.gateway4 ?? device.routes?.find((route) => ['default', '0.0.0.0/0'].includes(route.to ?? ''))?.via ?? gateway
      nameservers.push(...(device.nameservers?.addresses ?? []))
    }
  }
  for (const file of files('/etc/systemd/network', '.network')) {
    const text = vfs.readText(file)
    const mac = /^(?:Permanent)?MACAddress=(.*)$/m.exec(text)?.[1]?.trim().toUpperCase()
    const name = /^Name=(.*)$/m.exec(text)?.[1]?.trim()
    const card = interfaces.find((each) => (mac !== undefined ? each.mac.toUpperCase() === mac : each.name === name))
    if (!card) continue
    card.addresses = [...text.matchAll(/^Address=(.*)$/gm)].flatMap((match) => toAddress((match[1] ?? '').trim()))
    gateway = /^Gateway=(.*)$/m.exec(text)?.[1]?.trim() ?? gateway
    nameservers.push(...[...text.matchAll(/^DNS=(.*)$/gm)].map((match) => (match[1] ?? '').trim()))
  }
  return { gateway, nameservers }
}

export function toAddress(text: string): Address[] {
  const [, address, prefix] = /^([0-9a-fA-F.:]+)(?:\/(\d+))?$/.exec(text) ?? []
  return address === undefined ? [] : [{ address, prefix: Number(prefix ?? (address.includes(':') ? 128 : 32)) }]
}
