/** What a VM's cloud-init drive says: user-data, network-config (version 1) and meta-data, as PVE writes them. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { vmidOf, type Call, type Context, type Handlers } from '../context.ts'
import { pathOf } from '../storage/volumes.ts'
import { smallIso } from './cloudinit-iso.ts'
import { loadVm, shownValue, type Config } from './config.ts'
import { isCloudinit, parseDrive } from './drive.ts'
import { parseNet } from './net.ts'
import { driveSlots } from './options.ts'

const isCloudinitOption = (key: string): boolean =>
  /^(cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+)$/.test(key)

export function userData(vmid: number, config: Readonly<Config>): string {
  const host = config.name ?? `VM${vmid}`
  const domain = config.searchdomain?.trim()
  const keys = decodeURIComponent(config.sshkeys ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return [
    '#cloud-config',
    `hostname: ${host}`,
    'manage_etc_hosts: true',
    ...(domain ? [`fqdn: ${host}.${domain}`] : []),
    ...(config.ciuser?.trim() ? [`user: ${config.ciuser}`] : []),
    ...(config.cipassword ? [`password: ${config.cipassword}`] : []),
    ...(keys.length > 0 ? ['ssh_authorized_keys:', ...keys.map((key) => `  - ${key}`)] : []),
    'chpasswd:',
    '  expire: False',
    ...(config.ciuser === 'root' ? [] : ['users:', '  - default']),
    ...(config.ciupgrade === '0' ? [] : ['package_upgrade: true']),
    '',
  ].join('\n')
}

const netmask = (bits: number): string =>
  [24, 16, 8, 0].map((shift) => ((bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0) >>> shift) & 255).join('.')

function subnets(ipconfig: string): string[] {
  const parts = Object.fromEntries(ipconfig.split(',').map((part) => part.split('=') as [string, string]))
  const lines: string[] = []
  if (parts.ip === 'dhcp') lines.push('      - type: dhcp4')
  else if (parts.ip !== undefined) {
    const [address = '', bits = '32'] = parts.ip.split('/')
    lines.push('      - type: static', `        address: '${address}'`, `        netmask: '${netmask(+bits)}'`)
    if (parts.gw !== undefined) lines.push(`        gateway: '${parts.gw}'`)
  }
  if (parts.ip6 === 'dhcp') lines.push('      - type: dhcp6')
  else if (parts.ip6 === 'auto') lines.push('      - type: ipv6_slaac')
  else if (parts.ip6 !== undefined) {
    lines.push('      - type: static6', `        address: '${parts.ip6}'`)
    if (parts.gw6 !== undefined) lines.push(`        gateway: '${parts.gw6}'`)
  }
  return lines
}

export function networkConfig(config: Readonly<Config>): string {
  const lines = ['version: 1', 'config:']
  const indices = Object.keys(config)
    .flatMap((key) => /^net(\d+)$/.exec(key)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
  for (const index of indices) {
    const ipconfig = config[`ipconfig${index}`]
    if (ipconfig === undefined) continue
    lines.push(
      '    - type: physical',
      `      name: eth${index}`,
      `      mac_address: '${parseNet(config[`net${index}`] as string).macaddr.toLowerCase()}'`,
      '      subnets:',
      ...subnets(ipconfig),
    )
  }
  const servers = (config.nameserver ?? '').split(/[\s,;]+/).filter((word) => word !== '')
  const domains = (config.searchdomain ?? '').split(/[\s,;]+/).filter((word) => word !== '')
  if (servers.length > 0 || domains.length > 0) {
    lines.push('    - type: nameserver')
    if (servers.length > 0) lines.push('      address:', ...servers.map((server) => `      - '${server}'`))
    if (domains.length > 0) lines.push('      search:', ...domains.map((domain) => `      - '${domain}'`))
  }
  return `${lines.join('\n')}\n`
}

/** A new configuration is a new instance. */
export const metaData = (user: string, network: string): string =>
  `instance-id: ${createHash('sha1')
    .update(user + network)
    .digest('hex')}\n`

/** PVE's size of such a drive. */
export const cloudinitBytes = 4 * 1024 * 1024

/**
 * Writes the drive's content. Whatever format its name says, the file holds a plain ISO: there is nothing to gain
 * from a container around it, and drivers are told that it is raw.
 */
export function writeCloudinit(path: string, vmid: number, config: Readonly<Config>): void {
  const user = userData(vmid, config)
  const network = networkConfig(config)
  const files = { 'user-data': user, 'network-config': network, 'meta-data': metaData(user, network), 'vendor-data': '' }
  writeFileSync(path, smallIso('cidata', files, cloudinitBytes), { mode: 0o600 })
}

/** Renders the VM's cloud-init drive anew, if it has one. */
export function refreshCloudinit(context: Context, vmid: number, config: Readonly<Config>): void {
  for (const slot of driveSlots) {
    const drive = config[slot] === undefined ? undefined : parseDrive(slot, config[slot])
    if (drive !== undefined && isCloudinit(drive)) writeCloudinit(pathOf(context, drive.file), vmid, config)
  }
}

function dump(call: Call): string {
  const { config, vmid } = loadVm(call.context, vmidOf(call)).value
  const user = userData(vmid, config)
  const network = networkConfig(config)
  return call.params.type === 'user' ? user : call.params.type === 'network' ? network : metaData(user, network)
}

const at = '/nodes/{node}/qemu/{vmid}/cloudinit'
export const cloudinitHandlers: Handlers = {
  [`GET ${at}`]: (call) => {
    const { config } = loadVm(call.context, vmidOf(call)).value
    return Object.keys(config)
      .filter(isCloudinitOption)
      .sort()
      .map((key) => ({ key, value: shownValue(key, config[key] as string) }))
  },
  [`GET ${at}/dump`]: dump,
  [`PUT ${at}`]: (call) => {
    const { config, vmid } = loadVm(call.context, vmidOf(call)).value
    refreshCloudinit(call.context, vmid, config)
    return null
  },
}
