/** What the schema of a site can't say: how its settings fit each other. */
import { isIP } from 'node:net'
import { acmeProblems } from './acme.ts'
import { defaultContainers } from './containers.ts'
import { addressNumber, contains, overlap, parseNetwork } from './address.ts'
import { gitHost } from './git-source.ts'
import { macOf } from './mac.ts'
import { slotNames, templateRange } from './names.ts'
import type { Site } from './site.ts'

/** A site of which any part may be missing or of another type. */
type Loose = { readonly [key in keyof Site]?: unknown }

export interface SiteProblem {
  /** e.g. `groups.serena.slots.blue.address`. */
  readonly path: string
  readonly message: string
}

/** A part of a value, if it is there. */
function part(value: unknown, ...keys: readonly string[]): unknown {
  let at: unknown = value
  for (const key of keys) at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[key] : undefined
  return at
}

const entriesOf = (value: unknown): [string, unknown][] => (typeof value === 'object' && value !== null ? Object.entries(value) : [])

/** What the schema can't say: addresses inside the subnet, nothing used twice, one group a role. */
export function relationProblems(site: Loose): SiteProblem[] {
  return [
    ...addressProblems(site),
    ...vmidProblems(site),
    ...macProblems(site),
    ...roleProblems(site),
    ...nameProblems(site),
    ...settingProblems(site),
    ...gitProblems(site),
    ...acmeProblems(part(site, 'public')),
  ]
}

function addressProblems(site: Loose): SiteProblem[] {
  const problems: SiteProblem[] = []
  const subnet = part(site, 'network', 'subnet')
  const lan = typeof subnet === 'string' ? parseNetwork(subnet) : undefined
  const holders = new Map<string, string>()
  const take = (path: string, value: unknown): void => {
    if (typeof value !== 'string' || addressNumber(value) === undefined) return
    const holder = holders.get(value)
    if (holder !== undefined) problems.push({ path, message: `${value} is already used by ${holder}` })
    else holders.set(value, path)
    if (lan === undefined) return
    if (!contains(lan, value)) problems.push({ path, message: `${value} is not in network.subnet ${String(subnet)}` })
    else if (lan.prefix < 31 && (addressNumber(value) === lan.first || addressNumber(value) === lan.last)) {
      problems.push({ path, message: `${value} is the network's or the broadcast address of ${String(subnet)}` })
    }
  }
  take('network.gateway', part(site, 'network', 'gateway'))
  // Hosts of others, which may be one and the same: a node that routes and resolves names for its VMs.
  const reserve = (path: string, value: unknown): void => {
    if (typeof value === 'string' && addressNumber(value) !== undefined && !holders.has(value)) holders.set(value, path)
  }
  const url = part(site, 'proxmox', 'url')
  if (typeof url === 'string' && URL.canParse(url)) reserve('proxmox.url', new URL(url).hostname)
  for (const list of ['nameservers', 'ntp'])
    for (const [index, value] of entriesOf(part(site, 'network', list))) reserve(`network.${list}.${index}`, value)
  take('image.build.address', part(site, 'image', 'build', 'address'))
  for (const [name, group] of entriesOf(site.groups)) {
    take(`groups.${name}.service`, part(group, 'service'))
    for (const slotName of slotNames) take(`groups.${name}.slots.${slotName}.address`, part(group, 'slots', slotName, 'address'))
  }
  return problems
}

function vmidProblems(site: Loose): SiteProblem[] {
  const problems: SiteProblem[] = []
  const range = (part(site, 'proxmox', 'templates') ?? templateRange) as { first?: unknown; last?: unknown }
  const first = Number(range.first)
  const last = Number(range.last)
  if (first > last) problems.push({ path: 'proxmox.templates', message: 'first is greater than last' })
  const holders = new Map<unknown, string>()
  const take = (path: string, value: unknown): void => {
    if (typeof value !== 'number') return
    const holder = holders.get(value)
    if (holder !== undefined) problems.push({ path, message: `VMID ${value} is already used by ${holder}` })
    else holders.set(value, path)
    if (value >= first && value <= last)
      problems.push({ path, message: `VMID ${value} is in proxmox.templates ${first}–${last}, where templates get theirs` })
  }
  for (const [name, group] of entriesOf(site.groups)) {
    take(`groups.${name}.depot`, part(group, 'depot'))
    for (const slotName of slotNames) take(`groups.${name}.slots.${slotName}.vmid`, part(group, 'slots', slotName, 'vmid'))
  }
  return problems
}

/** 24 bits are few enough to meet by chance. */
function macProblems(site: Loose): SiteProblem[] {
  const holders = new Map<string, string>()
  return entriesOf(site.groups).flatMap(([name, group]) =>
    slotNames.flatMap((slot) => {
      const [vmid, address] = [part(group, 'slots', slot, 'vmid'), part(group, 'slots', slot, 'address')]
      if (typeof vmid !== 'number' || typeof address !== 'string') return []
      const path = `groups.${name}.slots.${slot}.vmid`
      const holder = holders.get(macOf(vmid, address))
      holders.set(macOf(vmid, address), path)
      return holder === undefined
        ? []
        : [{ path, message: `the MAC address made of it and of its address is that of ${holder}, too: take another VMID` }]
    }),
  )
}

function roleProblems(site: Loose): SiteProblem[] {
  const problems: SiteProblem[] = []
  const holders = new Map<unknown, string>()
  for (const [name, group] of entriesOf(site.groups)) {
    const list = part(group, 'roles')
    if (!Array.isArray(list)) continue
    if (new Set(list).size !== list.length) problems.push({ path: `groups.${name}.roles`, message: 'names a role twice' })
    for (const role of new Set<unknown>(list)) {
      const holder = holders.get(role)
      if (holder !== undefined)
        problems.push({ path: `groups.${name}.roles`, message: `role ${String(role)} is already in group ${holder}` })
      else holders.set(role, name)
    }
  }
  if (!holders.has('serena')) problems.push({ path: 'groups', message: 'no group has the role serena' })
  return problems
}

function nameProblems(site: Loose): SiteProblem[] {
  return ['users', 'projects'].flatMap((list) => {
    const entries = part(site, 'serena', list)
    if (!Array.isArray(entries)) return []
    const names = entries.map((entry) => part(entry, 'name'))
    return names.flatMap((name, index) =>
      name !== undefined && names.indexOf(name) < index
        ? [{ path: `serena.${list}.${index}.name`, message: `${String(name)} is there twice` }]
        : [],
    )
  })
}

function settingProblems(site: Loose): SiteProblem[] {
  const problems: SiteProblem[] = []
  const siteName = part(site, 'name')
  const pool = part(site, 'proxmox', 'pool') ?? 'golden'
  if (part(site, 'proxmox', 'depotPool') === pool)
    problems.push({ path: 'proxmox.depotPool', message: 'must be another pool than proxmox.pool: the token may do less there' })
  const disks = part(site, 'proxmox', 'storage', 'disks') ?? 'local-lvm'
  if (part(site, 'proxmox', 'storage', 'iso') === disks)
    problems.push({
      path: 'proxmox.storage.iso',
      message: 'must be another storage than proxmox.storage.disks: the token may delete files there',
    })
  const loggingPort = Number(part(site, 'logging', 'port'))
  if ([22, 80, 443].includes(loggingPort))
    problems.push({ path: 'logging.port', message: 'must not be 22, 80 or 443: routers forward those' })
  if (loggingPort < unprivilegedPorts)
    problems.push({
      path: 'logging.port',
      message: `must be above ${unprivilegedPorts}: nginx runs without root, and may have no lower one`,
    })
  const { httpsPort = 443, httpPort = 80 } = (part(site, 'public') ?? {}) as { httpsPort?: unknown; httpPort?: unknown }
  if (httpsPort === httpPort)
    problems.push({ path: 'public.httpPort', message: 'must not be public.httpsPort: a router forwards a port to one place' })
  if (takenPorts.includes(loggingPort))
    problems.push({
      path: 'logging.port',
      message: `must not be ${takenPorts.join(' or ')}: the log agent and nginx listen there in every VM`,
    })
  for (const [name, group] of entriesOf(site.groups)) {
    // The longest name that is made of both ends in `-delete`.
    if (typeof siteName === 'string' && `${siteName}-${name}-delete`.length > hostNameLength)
      problems.push({
        path: `groups.${name}`,
        message: `the names of site and group are too long together: VMs are called like ${siteName}-${name}-delete, with ${hostNameLength} characters at most`,
      })
    const memory = part(group, 'memoryMiB') ?? 4096
    const limit = part(site, 'serena', 'memoryMiB') ?? 2560
    const runsSerena = part(group, 'roles')
    if (
      Array.isArray(runsSerena) &&
      runsSerena.includes('serena') &&
      typeof memory === 'number' &&
      typeof limit === 'number' &&
      limit + systemMiB > memory
    ) {
      problems.push({
        path: `groups.${name}.memoryMiB`,
        message: `${memory} MiB are too few for one Serena process of serena.memoryMiB ${limit} and ${systemMiB} for the rest`,
      })
    }
  }
  return [...problems, ...containerProblems(site), ...ruleProblems(site), ...backendProblems(site)]
}

/** In every VM: nginx for its own status, the log agent. */
const takenPorts = [8099, 9080]
/** net.ipv4.ip_unprivileged_port_start in images/rootfs. */
const unprivilegedPorts = 80
/** A label of a domain name (RFC 1035), which Proxmox wants a VM's name to be. */
const hostNameLength = 63
/** What a VM needs beside Serena, at the very least. */
const systemMiB = 512

/** A VM would look for such an address among its containers. */
function containerProblems(site: Loose): SiteProblem[] {
  const containers = part(site, 'network', 'containers') ?? defaultContainers
  const inside = typeof containers === 'string' ? parseNetwork(containers) : undefined
  if (inside === undefined) return []
  const of = (setting: string): [string, unknown][] =>
    entriesOf(part(site, 'network', setting)).map(([index, value]) => [`network.${setting}.${index}`, value])
  const addresses: [string, unknown][] = [
    ['network.subnet', part(site, 'network', 'subnet')],
    ...of('nameservers'),
    ...of('ntp'),
    ...of('admin'),
    ...of('outgoing').map(([path, value]): [string, unknown] => [`${path}.to`, part(value, 'to')]),
    ...sources(site).map(({ path, host }): [string, unknown] => [path, host]),
  ]
  return addresses.flatMap(([path, value]) => {
    const network = typeof value === 'string' ? parseNetwork(value) : undefined
    // A wider one, such as 172.16.0.0/12, is mostly people and hosts that are elsewhere in it.
    const inTheWay = network !== undefined && overlap(network, inside) && (network.prefix >= inside.prefix || path === 'network.subnet')
    return inTheWay
      ? [
          {
            path,
            message: `${String(value)} overlaps ${String(containers)}, which the VMs use inside for their containers: set network.containers to another network`,
          },
        ]
      : []
  })
}

interface Source {
  readonly path: string
  readonly host: string
  readonly port: number
}

/** The projects' git hosts. */
function sources(site: Loose): Source[] {
  return entriesOf(part(site, 'serena', 'projects')).flatMap(([index, project]) => {
    const git = part(project, 'git')
    const found = typeof git === 'string' ? gitHost(git) : undefined
    return found === undefined ? [] : [{ path: `serena.projects.${index}.git`, ...found }]
  })
}

/** A clone that the VM's own firewall stops. Of a host by name only the port is known here. */
function gitProblems(site: Loose): SiteProblem[] {
  const ways = entriesOf(part(site, 'network', 'outgoing')).map(([, way]) => way)
  return sources(site).flatMap(({ path, host, port }) => {
    const isWay = (way: unknown): boolean => {
      const to = part(way, 'to')
      const network = typeof to === 'string' ? parseNetwork(to) : undefined
      return (
        part(way, 'port') === port &&
        (part(way, 'protocol') ?? 'tcp') === 'tcp' &&
        network !== undefined &&
        (isIP(host) === 0 || contains(network, host))
      )
    }
    return ways.some(isWay)
      ? []
      : [
          {
            path,
            message: `can't be reached: nothing in network.outgoing lets the VMs out to ${host}, port ${port}. Add { to: '${isIP(host) === 0 ? 'ADDRESS/PREFIX' : `${host}/32`}', port: ${port} } there`,
          },
        ]
  })
}

/** Proxmox's limit for the addresses of a rule (its API's schema, `source` and `dest`). */
const ruleLength = 512

function ruleProblems(site: Loose): SiteProblem[] {
  const slots = entriesOf(site.groups).flatMap(([, group]) => slotNames.map((slot) => part(group, 'slots', slot, 'address')))
  const lists = { admin: slots, nameservers: [], ntp: [] }
  return Object.entries(lists).flatMap(([setting, others]) => {
    const list = part(site, 'network', setting)
    const length = Array.isArray(list) ? [...list, ...others].join(',').length : 0
    return length <= ruleLength
      ? []
      : [
          {
            path: `network.${setting}`,
            message: `has too many entries for one rule of Proxmox's firewall: ${length} characters of ${ruleLength}. Put networks together`,
          },
        ]
  })
}

const secretKey = /password|secret|token|private_key|customer_key|access_key/i

/** The stacks are written with these settings to disk, and the state's place is no place for a password. */
function backendProblems(site: Loose): SiteProblem[] {
  const variables: Readonly<Record<string, string>> = {
    http: 'TF_HTTP_USERNAME and TF_HTTP_PASSWORD',
    s3: 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    pg: 'PG_CONN_STR',
  }
  const variable = variables[String(part(site, 'backend', 'type'))]
  if (variable === undefined) return []
  const look = (path: string, value: unknown): SiteProblem[] =>
    entriesOf(value).flatMap(([key, inner]) => {
      const here = `${path}.${key}`
      if (typeof inner === 'object') return look(here, inner)
      const isSecret =
        (secretKey.test(key) && !/_file$/i.test(key)) ||
        (typeof inner === 'string' && (/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*:[^/?#]*@/i.test(inner) || /(^|[\s?&])password=/i.test(inner)))
      return isSecret
        ? [{ path: here, message: `must not be in the site file, because it holds a secret: set ${variable} in the environment instead` }]
        : []
    })
  return look('backend.config', part(site, 'backend', 'config'))
}
