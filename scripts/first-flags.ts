/** The flags of `golden init` for a site that is not there yet: an answer each. */
import type { ParseArgsOptionsConfig } from 'node:util'
import { Failure } from '../core/failure.ts'
import type { Given } from '../settings/first/propose.ts'
import { parseSetting, type Setting } from '../settings/first/set.ts'
import {
  oses,
  readAddress,
  readAddresses,
  readName,
  readNetworks,
  readOs,
  readProxmox,
  readProxy,
  readPublicHost,
  readSubnet,
  readTransports,
  readUser,
  readVlan,
  readVmid,
  WordProblem,
} from '../settings/first/words.ts'
import { adminHelp } from './administrator.ts'
import type { VerbContext } from './verb.ts'

const word = { type: 'string' } as const

export const firstFlags: ParseArgsOptionsConfig = {
  host: word,
  admin: word,
  fingerprint: word,
  node: word,
  disks: word,
  bridge: word,
  vlan: word,
  subnet: word,
  gateway: word,
  nameservers: word,
  'admin-networks': word,
  'socks-proxy': word,
  'one-vm': { type: 'boolean' },
  'two-vms': { type: 'boolean' },
  'public-host': word,
  base: word,
  'addresses-from': word,
  'vmids-from': word,
  transports: word,
  name: word,
  user: word,
  set: { type: 'string', multiple: true },
}

export const firstFlagsHelp: Readonly<Record<string, string>> = {
  host: 'Proxmox, by name, address or https://HOST:8006: a first site.ts is made from what it tells. This flag and those down to --set are for that alone',
  admin: `${adminHelp}. It only looks`,
  fingerprint: "SHA-256 fingerprint that the host's certificate must have; for runs without a terminal",
  node: 'node of the VMs; default the one that answers',
  disks: "storage of the VMs' disks; default the fittest",
  bridge: 'bridge, or vnet of SDN; default the one with the way to the world',
  vlan: 'VLAN of the VMs on that bridge, or none; default none',
  subnet: "network of the VMs, as 192.168.1.0/24; default the node's on that bridge",
  gateway: 'its gateway; default as the node has it',
  nameservers: "with commas; default the node's",
  'admin-networks': "who may use SSH, Grafana and the VMs' own addresses, with commas; default the VMs' network and this computer's",
  'socks-proxy': 'HOST:PORT through which this computer reaches the VMs, or none; default none',
  'one-vm': 'Serena and her logs in one VM',
  'two-vms': 'a VM for each; the default',
  'public-host': 'what clients call, HOST or HOST:PORT; default the service address',
  base: `${oses.join(' or ')}; default ${oses[0] ?? ''}`,
  'addresses-from': "first address of the VMs; those that are somebody's are passed over. Default free ones near the end",
  'vmids-from': 'first VMID of the VMs; those that are taken are passed over. Default free ones from 9200 on',
  transports: 'streamable-http, sse or both, with a comma; default streamable-http',
  name: 'name of the site, in the names of its VMs; default home',
  user: 'who may connect; default me',
  set: 'any other setting, as PATH=VALUE, e.g. serena.shell=true; lists as JSON; may be said again',
}

export interface FirstFlags {
  readonly url: string | undefined
  readonly given: Given
  readonly settings: readonly Setting[]
}

/** Whether anybody asks for a site by flags. */
export const asksForSite = ({ flags }: Pick<VerbContext, 'flags'>): boolean =>
  Object.keys(firstFlags).some((name) => flags[name] !== undefined)

/** @throws Failure `usage`, with all that is wrong at once */
export function readFirstFlags({ flags }: Pick<VerbContext, 'flags'>): FirstFlags {
  const problems: string[] = []
  const read = <T>(name: string, as: (text: string) => T): T | undefined => {
    const text = flags[name]
    if (typeof text !== 'string') return undefined
    try {
      return as(text.trim())
    } catch (error) {
      if (!(error instanceof WordProblem)) throw error
      problems.push(`--${name}: ${error.message}`)
      return undefined
    }
  }
  if (flags['one-vm'] === true && flags['two-vms'] === true) problems.push('--one-vm and --two-vms exclude each other')
  const settings = (Array.isArray(flags.set) ? flags.set : []).map((text) => parseSetting(String(text)))
  const given = {
    name: read('name', readName),
    node: read('node', asItIs),
    disks: read('disks', asItIs),
    bridge: read('bridge', asItIs),
    vlan: read('vlan', readVlan),
    subnet: read('subnet', readSubnet),
    gateway: read('gateway', readAddress),
    nameservers: read('nameservers', readAddresses),
    admin: read('admin-networks', readNetworks),
    socksProxy: read('socks-proxy', readProxy),
    oneVm: flags['one-vm'] === true ? true : flags['two-vms'] === true ? false : undefined,
    publicHost: read('public-host', readPublicHost),
    os: read('base', readOs),
    transports: read('transports', readTransports),
    user: read('user', readUser),
    addressesFrom: read('addresses-from', readAddress),
    vmidsFrom: read('vmids-from', readVmid),
  }
  const url = read('host', readProxmox)
  if (problems.length > 0) throw new Failure('usage', problems.join('\n'), 'Run "npx golden init --help".')
  return { url, given: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Given, settings }
}

const asItIs = (text: string): string => text
