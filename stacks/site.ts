/**
 * The site: everything that one installation decides, in one typed file (`site.ts` in the site folder).
 * `defineSite` gives editors completion, `parseSite` checks everything at once.
 */
import { z } from 'zod'
import { addressNumber, contains, overlap, parseNetwork } from './address.ts'

const address = z.string().refine((text) => addressNumber(text) !== undefined, 'must be an IPv4 address like 192.168.1.50')
const network = z.string().refine((text) => parseNetwork(text) !== undefined, 'must be an IPv4 network like 192.168.1.0/24, without host bits')
const name = z.string().regex(/^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$/, 'must be lower-case letters, digits and hyphens, starting with a letter, 32 at most')
const vmid = z.int().min(100).max(999_999_999)
const port = z.int().min(1).max(65_535)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hexadecimal')
const storageId = z.string().regex(/^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$/, 'must be a Proxmox storage id')
const poolId = z.string().regex(/^[A-Za-z0-9._-]+$/, 'must be a Proxmox pool id')
// 64 is what a certificate's common name holds (RFC 5280, ub-common-name), and what nginx takes by default.
const hostName = z.string().regex(/^(?=.{1,64}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/, 'must be a host name in lower case, or an address, 64 characters at most')
/** It becomes the name of a folder and a line of a file in the build VM. */
const registryHost = z.string().regex(/^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[1-9][0-9]{0,4})?$/i, 'must be HOST or HOST:PORT')
/** The message must not say again what may be a password. */
const apiUrl = z.string().refine((text) => /^https:\/\/(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?\/?$/i.test(text) && URL.canParse(text), 'must be https://HOST:8006, without credentials, path, ? or #')
const sshKey = z.string().regex(/^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/=]+( .*)?$/, 'must be an OpenSSH public key in one line')
const gitSource = z.string().min(1).superRefine((text, context) => {
  const message = gitProblem(text)
  if (message !== undefined) context.addIssue({ code: 'custom', message })
})
const leaveOut = 'Leave git out and push the repository over SSH instead (ssh.projectKeys)'

/** Credentials in it would be readable in deployment.json, in the seed and in git's arguments. */
function gitProblem(text: string): string | undefined {
  if (text.startsWith('-')) return 'must not start with a hyphen: git would take it for an option'
  const [, scheme, userinfo] = /^(?:[a-z0-9]+::)*([a-z][a-z0-9+.-]*):\/\/(?:([^/?#]*)@)?/i.exec(text) ?? []
  const overSsh = scheme === undefined ? /^[^/:]+:(?!:)/.test(text) : /ssh/i.test(scheme)
  if (overSsh && userinfo?.includes(':') !== true) return `can't be cloned over SSH: the VM has no key, and knows no hosts. ${leaveOut}`
  if (userinfo !== undefined && (/^https?$/i.test(scheme ?? '') || userinfo.includes(':'))) return `must hold no credentials: they would be readable in deployment.json. ${leaveOut}`
  return undefined
}
const secret = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('file'), path: z.string().min(1) }),
  z.strictObject({ kind: z.literal('env'), name: z.string().min(1) }),
  z.strictObject({ kind: z.literal('command'), command: z.tuple([z.string().min(1)], z.string()) })
], 'must be fromFile(…), fromEnv(…) or fromCommand(…): a secret itself does not belong in the site file')

export const roles = ['serena', 'logging'] as const
export type Role = (typeof roles)[number]
export const slotNames = ['blue', 'green'] as const
export type SlotName = (typeof slotNames)[number]
export const transports = ['streamable-http', 'sse'] as const
export type Transport = (typeof transports)[number]

const templateRange = { first: 9000, last: 9099 }

const slot = z.strictObject({
  /** Fixed VMID of this slot; must be free or already this slot's. */
  vmid,
  /** Fixed private address of this slot. */
  address
})

const group = z.strictObject({
  /** What a VM of this group runs. */
  roles: z.array(z.enum(roles)).min(1),
  /** The address that people and routers use; it moves between the slots. */
  service: address,
  cores: z.int().min(1).max(128).default(2),
  memoryMiB: z.int().min(1024).max(1_048_576).default(4096),
  /** Size of the data disk, made once; the only part of a group that outlives its VMs. */
  dataGiB: z.int().min(1).max(65_536).default(32),
  /** VMID of the depot: a protected VM that is never started and owns the data disk while no slot does. */
  depot: vmid,
  slots: z.strictObject({ blue: slot, green: slot })
})

const base = z.strictObject({
  os: z.enum(['ubuntu-24.04', 'debian-13']),
  /** Where Proxmox downloads the cloud image from, or (`file`) a file on this computer that is uploaded. */
  url: z.url({ protocol: /^https?$/ }).optional(),
  file: z.string().min(1).optional(),
  sha256
}).refine((value) => (value.url === undefined) !== (value.file === undefined), 'needs exactly one of url and file')

const schema = z.strictObject({
  /** Names this installation in VM names, tags and Terraform state. */
  name,
  proxmox: z.strictObject({
    /** e.g. `https://192.168.1.5:8006`, without a path. */
    url: apiUrl,
    node: z.string().min(1),
    /** The CA (or the certificate itself) that the API is verified with; `golden setup` fetches it and shows its fingerprint. */
    caFile: z.string().default('secrets/proxmox-ca.pem'),
    /** `user@realm!name` of the API token. */
    tokenId: z.string().regex(/^[^@!\s]+@[^@!\s]+![A-Za-z][A-Za-z0-9._-]*$/, 'must be like golden@pve!golden').default('golden@pve!golden'),
    /** The token's secret, as `golden setup` writes it. */
    token: secret.default({ kind: 'file', path: 'secrets/proxmox-token' }),
    /** Pool of templates and slots. */
    pool: poolId.default('golden'),
    /** Pool of the depots; the token may do little there. */
    depotPool: poolId.default('golden-depots'),
    storage: z.strictObject({
      /** Where VM disks live. */
      disks: storageId.default('local-lvm'),
      /** Directory storage for seeds and imports, made by `golden setup`. No disk may live there. */
      iso: storageId.default('golden-iso'),
      /** The folder of that storage on the node, used when setup makes it. */
      isoPath: z.string().startsWith('/').default('/var/lib/golden-iso')
    }).prefault({}),
    bridge: z.string().min(1).default('vmbr0'),
    vlan: z.int().min(1).max(4094).optional(),
    /** Templates get VMIDs from this range. */
    templates: z.strictObject({ first: vmid, last: vmid }).default(templateRange),
    /** A SOCKS5 proxy through which this computer reaches the VMs' LAN, if it is not in it. Proxmox's API is reached directly. */
    socksProxy: z.strictObject({ host: z.string().min(1), port }).optional()
  }),
  network: z.strictObject({
    /** The LAN in which all VMs of the site have their addresses. */
    subnet: network,
    gateway: address,
    nameservers: z.array(address).min(1),
    /** NTP servers by address; none: the guest's own default names. */
    ntp: z.array(address).default([]),
    /** Who may use SSH, Grafana and the VMs' own addresses. */
    admin: z.array(network).min(1),
    /** What VMs may reach besides DNS, NTP and each other: git hosts and the like. */
    outgoing: z.array(z.strictObject({ to: network, port, protocol: z.enum(['tcp', 'udp']).default('tcp') })).default([])
  }),
  public: z.strictObject({
    /** The name (or address) in people's MCP settings; in the certificate and nginx's server_name. */
    host: hostName,
    /** Ports as seen from outside, if the router does not forward 443 and 80 as they are. */
    httpsPort: port.default(443),
    httpPort: port.default(80),
    /** Own certificate instead of the one that `golden init` makes. */
    certificate: z.strictObject({ chainFile: z.string().min(1), key: secret }).optional()
  }),
  image: z.strictObject({
    base,
    /** The VM in which Packer bakes: an address that is free for those minutes. */
    build: z.strictObject({
      address,
      cores: z.int().min(1).default(2),
      memoryMiB: z.int().min(1024).default(2048),
      diskGiB: z.int().min(4).default(16),
      /** How long Packer waits for SSH, in minutes. */
      sshTimeoutMinutes: z.int().min(1).max(120).default(15)
    }),
    /** Registries with a CA of their own, for baking only; nothing of it stays in the image. */
    registries: z.array(z.strictObject({ host: registryHost, caFile: z.string().min(1) })).default([])
  }),
  serena: z.strictObject({
    /** One process each: `streamable-http` at /mcp, `sse` at /sse. */
    transports: z.array(z.enum(transports)).min(1).default(['streamable-http']),
    /** All of Serena's tools, or its two-tool REPL interface, which runs any Python that a client writes, whatever `shell` says. */
    interface: z.enum(['tools', 'repl']).default('tools'),
    /** Serena's execute_shell_command; the container is the only wall around it. */
    shell: z.boolean().default(false),
    memoryMiB: z.int().min(512).default(2560),
    /** Made at the first activation: cloned from `git`, or an empty folder. */
    projects: z.array(z.strictObject({ name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be a plain folder name'), git: gitSource.optional() })).default([]),
    /** Who may connect, by Basic auth. */
    users: z.array(z.strictObject({ name: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, dots, hyphens and underscores'), password: secret })).min(1)
  }),
  logging: z.strictObject({
    retentionDays: z.int().min(1).max(3650).default(30),
    /** The port of Grafana and of Loki's push on the logging service address; never forwarded by a router. */
    port: port.default(8443)
  }).prefault({}),
  ssh: z.strictObject({
    /** Keys of the people who work on the projects (git push, SFTP, rsync); user `projects`, owns the projects and nothing else. */
    projectKeys: z.array(sshKey).default([]),
    /** Keys of administrators; user `admin` with sudo. None by default. */
    adminKeys: z.array(sshKey).default([])
  }).prefault({}),
  groups: z.record(name, group),
  /** Where Terraform's state lives. @default a file in the site folder */
  backend: z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('local') }),
    z.strictObject({ type: z.literal('http'), config: z.record(z.string(), z.unknown()) }),
    z.strictObject({ type: z.literal('s3'), config: z.record(z.string(), z.unknown()) }),
    z.strictObject({ type: z.literal('pg'), config: z.record(z.string(), z.unknown()) })
  ]).default({ type: 'local' }),
  /** The program behind CDKTF. @default 'tofu', pinned by tools/ */
  engine: z.enum(['tofu', 'terraform']).default('tofu')
})

/** A checked site with all defaults filled in. */
export type Site = z.output<typeof schema>
/** What a user writes. */
export type SiteInput = z.input<typeof schema>
export type Group = Site['groups'][string]
export type Slot = Group['slots']['blue']

/** Types the site file; the checks come with `parseSite`. */
export const defineSite = (site: SiteInput): SiteInput => site

export interface SiteProblem {
  /** e.g. `groups.serena.slots.blue.address`. */
  readonly path: string
  readonly message: string
}

export type ParsedSite = { readonly ok: true; readonly site: Site } | { readonly ok: false; readonly problems: readonly SiteProblem[] }

/** Checks a site and fills in defaults. All problems at once, never just the first. */
export function parseSite(input: unknown): ParsedSite {
  const parsed = schema.safeParse(input)
  if (parsed.success) {
    const problems = relations(parsed.data)
    return problems.length === 0 ? { ok: true, site: parsed.data } : { ok: false, problems }
  }
  const problems = parsed.error.issues.flatMap(describe)
  const known = new Set(problems.map((problem) => problem.path))
  // What is sound is compared all the same, so that one run lists everything.
  const more = typeof input === 'object' && input !== null ? relations(input as Loose).filter((problem) => !known.has(problem.path)) : []
  return { ok: false, problems: [...problems, ...more] }
}

function describe(issue: z.core.$ZodIssue): SiteProblem[] {
  const path = issue.path.map(String).join('.')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: path === '' ? key : `${path}.${key}`, message: 'is not a setting' }))
  }
  // Of a record's key zod says only that it is invalid; why is one level below.
  if (issue.code === 'invalid_key') return [{ path, message: issue.issues.map((inner) => `this name ${inner.message}`).join('; ') }]
  return [{ path: path === '' ? 'site' : path, message: issue.message }]
}

/** A site of which any part may be missing or of another type. */
type Loose = { readonly [key in keyof Site]?: unknown }

/** A part of a value, if it is there. */
function part(value: unknown, ...keys: readonly string[]): unknown {
  let at: unknown = value
  for (const key of keys) at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[key] : undefined
  return at
}

const entriesOf = (value: unknown): [string, unknown][] => typeof value === 'object' && value !== null ? Object.entries(value) : []

/** What the schema can't say: addresses inside the subnet, nothing used twice, one group a role. */
function relations(site: Loose): SiteProblem[] {
  return [...addressProblems(site), ...vmidProblems(site), ...roleProblems(site), ...nameProblems(site), ...settingProblems(site)]
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
  for (const list of ['nameservers', 'ntp']) for (const [index, value] of entriesOf(part(site, 'network', list))) reserve(`network.${list}.${index}`, value)
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
    if (value >= first && value <= last) problems.push({ path, message: `VMID ${value} is in proxmox.templates ${first}–${last}, where templates get theirs` })
  }
  for (const [name, group] of entriesOf(site.groups)) {
    take(`groups.${name}.depot`, part(group, 'depot'))
    for (const slotName of slotNames) take(`groups.${name}.slots.${slotName}.vmid`, part(group, 'slots', slotName, 'vmid'))
  }
  return problems
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
      if (holder !== undefined) problems.push({ path: `groups.${name}.roles`, message: `role ${String(role)} is already in group ${holder}` })
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
    return names.flatMap((name, index) => name !== undefined && names.indexOf(name) < index ? [{ path: `serena.${list}.${index}.name`, message: `${String(name)} is there twice` }] : [])
  })
}

function settingProblems(site: Loose): SiteProblem[] {
  const problems: SiteProblem[] = []
  const siteName = part(site, 'name')
  const pool = part(site, 'proxmox', 'pool') ?? 'golden'
  if (part(site, 'proxmox', 'depotPool') === pool) problems.push({ path: 'proxmox.depotPool', message: 'must be another pool than proxmox.pool: the token may do less there' })
  const disks = part(site, 'proxmox', 'storage', 'disks') ?? 'local-lvm'
  if (part(site, 'proxmox', 'storage', 'iso') === disks) problems.push({ path: 'proxmox.storage.iso', message: 'must be another storage than proxmox.storage.disks: the token may delete files there' })
  const loggingPort = Number(part(site, 'logging', 'port'))
  if ([22, 80, 443].includes(loggingPort)) problems.push({ path: 'logging.port', message: 'must not be 22, 80 or 443: routers forward those' })
  if (takenPorts.includes(loggingPort)) problems.push({ path: 'logging.port', message: `must not be ${takenPorts.join(' or ')}: Promtail and nginx listen there in every VM` })
  for (const [name, group] of entriesOf(site.groups)) {
    // The longest name that is made of both ends in `-delete`.
    if (typeof siteName === 'string' && `${siteName}-${name}-delete`.length > hostNameLength) problems.push({ path: `groups.${name}`, message: `the names of site and group are too long together: VMs are called like ${siteName}-${name}-delete, with ${hostNameLength} characters at most` })
    const memory = part(group, 'memoryMiB') ?? 4096
    const limit = part(site, 'serena', 'memoryMiB') ?? 2560
    const runsSerena = part(group, 'roles')
    if (Array.isArray(runsSerena) && runsSerena.includes('serena') && typeof memory === 'number' && typeof limit === 'number' && limit + systemMiB > memory) {
      problems.push({ path: `groups.${name}.memoryMiB`, message: `${memory} MiB are too few for one Serena process of serena.memoryMiB ${limit} and ${systemMiB} for the rest` })
    }
  }
  return [...problems, ...containerProblems(site), ...ruleProblems(site), ...backendProblems(site)]
}

/** In every VM: nginx for its own status, Promtail. */
const takenPorts = [8099, 9080]
/** A label of a domain name (RFC 1035), which Proxmox wants a VM's name to be. */
const hostNameLength = 63
/** What a VM needs beside Serena, at the very least. */
const systemMiB = 512

/** What the containers use inside of each VM (images/rootfs). */
const containerNetworks = '172.30.0.0/23'

/** A VM would look for such an address among its containers. */
function containerProblems(site: Loose): SiteProblem[] {
  const inside = parseNetwork(containerNetworks)
  const subnet = part(site, 'network', 'subnet')
  const admin = part(site, 'network', 'admin')
  if (inside === undefined) return []
  const message = (text: string): string => `${text} overlaps ${containerNetworks}, which the VMs use inside for their containers`
  const lan = typeof subnet === 'string' ? parseNetwork(subnet) : undefined
  const problems: SiteProblem[] = lan !== undefined && overlap(lan, inside) ? [{ path: 'network.subnet', message: message(String(subnet)) }] : []
  for (const [index, one] of (Array.isArray(admin) ? admin : []).entries()) {
    const network = typeof one === 'string' ? parseNetwork(one) : undefined
    // A wider one, such as 172.16.0.0/12, is mostly people who are elsewhere in it.
    if (network !== undefined && network.prefix >= inside.prefix && overlap(network, inside)) problems.push({ path: `network.admin.${index}`, message: message(String(one)) })
  }
  return problems
}

/** Proxmox's limit for the addresses of a rule (its API's schema, `source` and `dest`). */
const ruleLength = 512

function ruleProblems(site: Loose): SiteProblem[] {
  const slots = entriesOf(site.groups).flatMap(([, group]) => slotNames.map((slot) => part(group, 'slots', slot, 'address')))
  const lists = { admin: slots, nameservers: [], ntp: [] }
  return Object.entries(lists).flatMap(([setting, others]) => {
    const list = part(site, 'network', setting)
    const length = Array.isArray(list) ? [...list, ...others].join(',').length : 0
    return length <= ruleLength ? [] : [{ path: `network.${setting}`, message: `has too many entries for one rule of Proxmox's firewall: ${length} characters of ${ruleLength}. Put networks together` }]
  })
}

const secretKey = /password|secret|token|private_key|customer_key|access_key/i

/** The stacks are written with these settings to disk, and the state's place is no place for a password. */
function backendProblems(site: Loose): SiteProblem[] {
  const variables: Readonly<Record<string, string>> = { http: 'TF_HTTP_USERNAME and TF_HTTP_PASSWORD', s3: 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY', pg: 'PG_CONN_STR' }
  const variable = variables[String(part(site, 'backend', 'type'))]
  if (variable === undefined) return []
  const look = (path: string, value: unknown): SiteProblem[] => entriesOf(value).flatMap(([key, inner]) => {
    const here = `${path}.${key}`
    if (typeof inner === 'object') return look(here, inner)
    const isSecret = (secretKey.test(key) && !/_file$/i.test(key)) || (typeof inner === 'string' && (/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*:[^/?#]*@/i.test(inner) || /(^|[\s?&])password=/i.test(inner)))
    return isSecret ? [{ path: here, message: `must not be in the site file, because it holds a secret: set ${variable} in the environment instead` }] : []
  })
  return look('backend.config', part(site, 'backend', 'config'))
}

/** The group with this role, if the site has one. */
export function groupWithRole(site: Site, role: Role): { name: string; group: Group } | undefined {
  for (const [groupName, group] of Object.entries(site.groups)) {
    if (group.roles.includes(role)) return { name: groupName, group }
  }
  return undefined
}

/** Name of a slot's VM, also its host name: `home-serena-blue`. */
export const slotVmName = (site: Site, groupName: string, slotName: SlotName): string => `${site.name}-${groupName}-${slotName}`
export const depotVmName = (site: Site, groupName: string): string => `${site.name}-${groupName}-depot`

/**
 * The fixed MAC address of a VMID: in Proxmox's own range (BC:24:11), so that it looks like any other VM's,
 * with the VMID's low 24 bits, so that two VMs of one host never share one.
 */
export function macOf(id: number): string {
  const hex = (id % 0x1000000).toString(16).toUpperCase().padStart(6, '0')
  return `BC:24:11:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}`
}
