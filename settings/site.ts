/**
 * The site: everything that one installation decides, in one typed file (`site.ts` in the site folder).
 * `defineSite` gives editors completion, `parseSite` checks everything at once.
 */
import { z } from 'zod'
import { acmeSchema, type Acme } from './acme.ts'
import { defaultContainers } from './containers.ts'
import type { PlaceWanted } from '../proxmox/place.ts'
import { isOneMachine, isPrivate, parseNetwork } from './address.ts'
import { gitProblem } from './git-source.ts'
import { parkingDefaults } from './parking.ts'
import { channels, roles, templateRange, transports, type Role, type SlotName } from './names.ts'
import { secretFiles } from './secrets/places.ts'
import { nightlySchema } from './nightly.ts'
import { relationProblems, type SiteProblem } from './relations.ts'
import { secretSchema as secret } from './secret-schema.ts'
import { sshKeyProblem } from './ssh-key.ts'

export { macOf } from './mac.ts'
export { otherSlot, roles, slotNames, transports, type Role, type SlotName, type Transport } from './names.ts'
export type { SiteProblem } from './relations.ts'

/** With the words of a function that says what is wrong, if anything is. */
const checked = <Schema extends z.ZodType<string>>(schema: Schema, problem: (text: string) => string | undefined): Schema =>
  schema.superRefine((text, context) => {
    const message = problem(text)
    if (message !== undefined) context.addIssue({ code: 'custom', message })
  })
const address = z.string().refine(isOneMachine, 'must be the IPv4 address of one machine, like 192.168.1.50')
const network = z
  .string()
  .refine((text) => parseNetwork(text) !== undefined, 'must be an IPv4 network like 192.168.1.0/24, without host bits')
const name = z
  .string()
  .regex(/^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$/, 'must be lower-case letters, digits and hyphens, starting with a letter, 32 at most')
const vmid = z.int().min(100).max(999_999_999)
const port = z.int().min(1).max(65_535)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hexadecimal')
const storageId = z.string().regex(/^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$/, 'must be a Proxmox storage id')
/** PVE's `pve-node`. A host name with a domain is refused by every call. */
const nodeName = z
  .string()
  .regex(/^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/, "must be the node's short name as Proxmox shows it, such as pve, without a domain")
const poolId = z.string().regex(/^[A-Za-z0-9._-]+$/, 'must be a Proxmox pool id')
// 64 is what a certificate's common name holds (RFC 5280, ub-common-name).
const hostName = z
  .string()
  .regex(
    /^(?=.{1,64}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
    'must be a host name in lower case, or an address, 64 characters at most',
  )
  // Clients take what ends in a number for an address, and 1.2.3 for 1.2.0.3 (URL standard, "ends in a number").
  .refine(
    (text) => !/(^|\.)(\d+|0x[0-9a-f]*)$/.test(text) || isOneMachine(text),
    'must be a host name or an IPv4 address, and this is neither',
  )
/** It becomes the name of a folder and a line of a file in the build VM. */
const registryHost = z
  .string()
  .regex(/^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[1-9][0-9]{0,4})?$/i, 'must be HOST or HOST:PORT')
/** The message must not say again what may be a password. */
const apiUrl = z
  .string()
  .refine(
    (text) => /^https:\/\/(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?\/?$/i.test(text) && URL.canParse(text),
    'must be https://HOST:8006, without credentials, path, ? or #',
  )
const sshKey = checked(z.string().trim(), sshKeyProblem)
const gitSource = checked(z.string().min(1), gitProblem)
const slot = z.strictObject({
  /** Fixed VMID of this slot; must be free or already this slot's. */
  vmid,
  /** Fixed private address of this slot. */
  address,
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
  slots: z.strictObject({ blue: slot, green: slot }),
})

/** It gets into files that people commit. */
const server = z
  .url({ protocol: /^https?$/, error: 'must be an http:// or https:// address' })
  .refine((text) => !/^[a-z]+:\/\/[^/]*@/i.test(text), 'must have no credentials in it')
  .transform((text) => text.replace(/\/+$/, ''))

/** @see outside.ts of doctor/, which asks it. */
export const outsideHelper = z
  .url({ protocol: /^https$/, error: 'must be an https:// address' })
  .refine((text) => !/^[a-z]+:\/\/[^/]*@/i.test(text) && !text.includes('#'), 'must have no credentials and no # in it')

const base = z
  .strictObject({
    os: z.enum(['ubuntu-24.04', 'debian-13']),
    /**
     * Where Proxmox downloads the cloud image from, or (`file`) a file on this computer that is uploaded. Without both, and
     * without `sha256`, `golden lock` takes the distribution's newest one and keeps to it until `golden lock --base`.
     */
    url: z.url({ protocol: /^https?$/ }).optional(),
    file: z.string().min(1).optional(),
    sha256: sha256.optional(),
    /** For `golden lock`: a mirror of the distribution's folder of builds. */
    builds: server.optional(),
  })
  .refine((value) => value.url === undefined || value.file === undefined, 'needs one of url and file, not both')
  .refine(
    (value) => (value.url === undefined && value.file === undefined) === (value.sha256 === undefined),
    'needs sha256 with url or file; without all three the lock has them',
  )
  // Everybody who has the lock fills it in (images/base-image.ts): no image is of a base without a checksum.
  .transform((value) => ({ ...value, sha256: value.sha256 ?? '' }))

/** Word of a repository: it becomes part of addresses and of a line for apt. */
const archiveWord = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._+/-]{0,63}$/, 'must be a name like trixie-updates or main')
const archive = z.strictObject({
  /** As in apt's sources, e.g. http://deb.debian.org/debian */
  url: server,
  suites: z.array(archiveWord).min(1),
  components: z.array(archiveWord).min(1).default(['main']),
  /** Public keys that sign it, in text form. @default the distribution's */
  keyFile: z.string().min(1).optional(),
  /** A service that keeps its states: a time like 20261129T120000Z behind this address is one. @default none: it is read as it is */
  snapshots: server.optional(),
})

const ownCertificate = z.strictObject({
  kind: z.literal('own').optional(),
  /** The certificate with its issuers, in PEM. */
  chainFile: z.string().min(1),
  key: secret,
})

const schema = z.strictObject({
  /** Names this installation in VM names, tags and Terraform state. */
  name,
  proxmox: z.strictObject({
    /** e.g. `https://192.168.1.5:8006`, without a path. */
    url: apiUrl,
    /** The node's short name, as Proxmox shows it. */
    node: nodeName,
    /** What the API is verified with: the CA that `golden setup` asks the host for, after it has shown the certificate's fingerprint. */
    caFile: z.string().default(secretFiles.proxmoxCa),
    /** `user@realm!name` of the API token. */
    tokenId: z
      .string()
      .regex(/^[^@!\s]+@[^@!\s]+![A-Za-z][A-Za-z0-9._-]*$/, 'must be like golden@pve!golden')
      .default('golden@pve!golden'),
    /** The token's secret, as `golden setup` writes it. */
    token: secret.default({ kind: 'file', path: secretFiles.proxmoxToken }),
    /** Pool of templates and slots. */
    pool: poolId.default('golden'),
    /** Pool of the depots; the token may do little there. */
    depotPool: poolId.default('golden-depots'),
    storage: z
      .strictObject({
        /** Where VM disks live: LVM-thin, ZFS, Ceph RBD, Btrfs, a directory, NFS or SMB/CIFS. */
        disks: storageId.default('local-lvm'),
        /** Directory storage for seeds and imports, made by `golden setup`. No disk may live there. */
        iso: storageId.default('golden-iso'),
        /** The folder of that storage on the node, used when setup makes it. */
        isoPath: z.string().startsWith('/').default('/var/lib/golden-iso'),
      })
      .prefault({}),
    /** A bridge of the node, or a vnet of SDN. */
    bridge: z.string().min(1).default('vmbr0'),
    vlan: z.int().min(1).max(4094).optional(),
    /** Templates get VMIDs from this range. */
    templates: z.strictObject({ first: vmid, last: vmid }).default(templateRange),
    /** A SOCKS5 proxy through which this computer reaches the VMs' LAN, if it is not in it. Proxmox's API is reached directly. */
    socksProxy: z.strictObject({ host: z.string().min(1), port }).optional(),
  }),
  network: z.strictObject({
    /** The LAN in which all VMs of the site have their addresses. */
    subnet: network.refine((text) => {
      const found = parseNetwork(text)
      return found !== undefined && found.prefix >= 8 && isOneMachine(text.split('/')[0] ?? '')
    }, 'must be a network of machines, a /8 at most'),
    gateway: address,
    nameservers: z.array(address).min(1),
    /** NTP servers by address; none: the VMs go by the clock that Proxmox gives them, and nothing is let out for it. */
    ntp: z.array(address).default([]),
    /** What the containers use inside of each VM: a private network of a /23 at least that nothing else of the site is in. */
    containers: network
      .refine((text) => {
        const found = parseNetwork(text)
        return found !== undefined && found.prefix <= 23 && isPrivate(found)
      }, 'must be a /23 or larger in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16')
      .default(defaultContainers),
    /** Who may use SSH, Grafana and the VMs' own addresses. */
    admin: z.array(network).min(1),
    /** What VMs and their containers may reach besides DNS: git hosts and the like. */
    outgoing: z.array(z.strictObject({ to: network, port, protocol: z.enum(['tcp', 'udp']).default('tcp') })).default([]),
  }),
  public: z.strictObject({
    /** The name (or address) in people's MCP settings; in the certificate and nginx's server_name. */
    host: hostName.refine((text) => text !== 'golden-peer', 'must be another name: by this one the slots know each other'),
    /** Ports as seen from outside, if the router does not forward 443 and 80 as they are. */
    httpsPort: port.default(443),
    httpPort: port.default(80),
    /**
     * A program of your own somewhere on the internet that tells `golden doctor` whether a connection from there comes
     * through your router: an https:// address that is asked with `?host=…&port=…` added (docs/doctor.md). @default nobody asks
     */
    lookFromOutside: outsideHelper.optional(),
    /** A certificate of one's own, or an ACME server's (`acme({…})`), instead of the one that `golden init` makes. */
    certificate: z.discriminatedUnion('kind', [ownCertificate, acmeSchema], 'must be { chainFile, key } or acme({…})').optional(),
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
      sshTimeoutMinutes: z.int().min(1).max(120).default(15),
    }),
    /** Where packages come from while locking and baking. @default the distribution's archives, by its snapshot service */
    archives: z.array(archive).min(1).optional(),
    /** Registries with a CA of their own, for baking only; nothing of it stays in the image. */
    registries: z.array(z.strictObject({ host: registryHost, caFile: z.string().min(1) })).default([]),
    /** What first deployments and rollouts take by themselves: the newest image of this channel (`golden promote`) or a better one. */
    channel: z.enum(channels).default('candidate'),
    /** Deploy, roll out and promote only images that have passed `golden verify`. One that has failed it never is, either way. */
    onlyVerified: z.boolean().default(true),
    /** Deploy, roll out and promote only images whose record somebody of `allowed-signers` in the site folder has signed. */
    signed: z.boolean().default(true),
    /** The private key, without a passphrase, that records are signed with: a file, in the site folder or by its whole path. */
    signingKey: z.string().min(1).default(secretFiles.imageKey),
    /** So many of the newest images stay when `golden prune` removes others; what is in use stays in any case. */
    keep: z.int().min(1).max(1000).default(3),
  }),
  serena: z.strictObject({
    /** One process each: `streamable-http` at /mcp, `sse` at /sse. */
    transports: z.array(z.enum(transports)).min(1).default(['streamable-http']),
    /** All of Serena's tools, or its two-tool REPL interface, which runs any Python that a client writes, whatever `shell` says. */
    interface: z.enum(['tools', 'repl']).default('tools'),
    /** Serena's execute_shell_command; the container is the only wall around it. */
    shell: z.boolean().default(false),
    memoryMiB: z.int().min(512).default(2560),
    /** While the other slot takes over, calls wait for it. What is beyond these bounds is told to come again (503). */
    parking: z
      .strictObject({
        /** So many calls at once. */
        calls: z.int().min(1).max(1000).default(parkingDefaults.calls),
        /** The bodies of all of them. nginx, which has 512 MiB, holds them in memory; one alone may have 16 MiB. */
        mebibytes: z.int().min(16).max(128).default(parkingDefaults.mebibytes),
        /** How long each waits; Serena herself gives up a tool after 240 s. */
        seconds: z.int().min(1).max(3600).default(parkingDefaults.seconds),
      })
      .prefault({}),
    /** Made at the first activation: cloned from `git`, or an empty folder. */
    projects: z
      .array(
        z.strictObject({
          name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be a plain folder name'),
          git: gitSource.optional(),
        }),
      )
      .default([]),
    /** Who may connect, by Basic auth. */
    users: z
      .array(
        z.strictObject({
          name: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, dots, hyphens and underscores'),
          password: secret,
        }),
      )
      .min(1),
  }),
  logging: z
    .strictObject({
      retentionDays: z.int().min(1).max(3650).default(30),
      /**
       * What brings the log lines to Loki. `otelcol`, the OpenTelemetry Collector, loses nothing that there is room for;
       * `promtail` has reached its end of life and does (docs/logging.md).
       */
      agent: z.enum(['otelcol', 'promtail']).default('otelcol'),
      /** The port of Grafana and of Loki's push on the logging service address; never forwarded by a router. */
      port: port.default(8443),
    })
    .prefault({}),
  ssh: z
    .strictObject({
      /** Keys of the people who work on the projects (git push, SFTP, rsync); user `projects`, owns the projects and nothing else. */
      projectKeys: z.array(sshKey).default([]),
      /** Keys of administrators; user `admin` with sudo. None by default. */
      adminKeys: z.array(sshKey).default([]),
    })
    .prefault({}),
  groups: z.record(name, group),
  /** How one slot takes over from the other. */
  rollout: z
    .strictObject({
      /** How long a new slot may take until it serves; then the data goes back. */
      healthMinutes: z.int().min(1).max(240).default(15),
      /** How long it is watched after that; one that gets ill in that time loses the data again. */
      soakMinutes: z.int().min(0).max(1440).default(5),
      /** How long calls that are running are waited for. Serena gives a tool 240 s. */
      drainSeconds: z.int().min(0).max(600).default(60),
      /** What the old slot does until the next rollout: `running` it is there at once for the way back, and uses its memory. */
      old: z.enum(['stopped', 'running']).default('stopped'),
    })
    .prefault({}),
  /** What `golden nightly` may do by itself. */
  nightly: nightlySchema,
  /** Where Terraform's state lives. @default a file in the site folder */
  backend: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('local') }),
      z.strictObject({ type: z.literal('http'), config: z.record(z.string(), z.unknown()) }),
      z.strictObject({ type: z.literal('s3'), config: z.record(z.string(), z.unknown()) }),
      z.strictObject({ type: z.literal('pg'), config: z.record(z.string(), z.unknown()) }),
    ])
    .default({ type: 'local' }),
  /** The program behind CDKTF. @default 'tofu', pinned by tools/ */
  engine: z.enum(['tofu', 'terraform']).default('tofu'),
  /** Other versions than those that this project has been run with (tools/README.md), e.g. a newer one that mends something. */
  programs: z
    .strictObject({
      /** bpg/proxmox, the engine's provider. */
      provider: z
        .string()
        .regex(/^0\.\d+\.\d+$/, 'must be a version of bpg/proxmox before 1.0, such as 0.112.0')
        .optional(),
      /** Packer's plugin for Proxmox. */
      packerPlugin: z
        .string()
        .regex(/^1\.\d+\.\d+$/, 'must be a version of hashicorp/proxmox, such as 1.2.4')
        .optional(),
    })
    .default({}),
})

/** A checked site with all defaults filled in. */
export type Site = z.output<typeof schema>
/** What a user writes. */
export type SiteInput = z.input<typeof schema>
export type Group = Site['groups'][string]
export type Slot = Group['slots']['blue']

/** Types the site file; the checks come with `parseSite`. */
export const defineSite = (site: SiteInput): SiteInput => site

export type ParsedSite = { readonly ok: true; readonly site: Site } | { readonly ok: false; readonly problems: readonly SiteProblem[] }

/** Checks a site and fills in defaults. All problems at once, never just the first. */
export function parseSite(input: unknown): ParsedSite {
  const parsed = schema.safeParse(input)
  if (parsed.success) {
    const problems = relationProblems(parsed.data)
    return problems.length === 0 ? { ok: true, site: parsed.data } : { ok: false, problems }
  }
  const problems = parsed.error.issues.flatMap(describe)
  const known = new Set(problems.map((problem) => problem.path))
  // What is sound is compared all the same, so that one run lists everything.
  const more = typeof input === 'object' && input !== null ? relationProblems(input).filter((problem) => !known.has(problem.path)) : []
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

/** The group with this role, if the site has one. */
export function groupWithRole(site: Site, role: Role): { name: string; group: Group } | undefined {
  for (const [groupName, group] of Object.entries(site.groups)) {
    if (group.roles.includes(role)) return { name: groupName, group }
  }
  return undefined
}

/** Where the public certificate is an ACME server's. */
export const acmeOf = ({ certificate }: Pick<Site['public'], 'certificate'>): Acme | undefined =>
  certificate?.kind === 'acme' ? certificate : undefined

/** Where it is one that somebody has handed in. */
export const ownCertificateOf = ({ certificate }: Pick<Site['public'], 'certificate'>): z.output<typeof ownCertificate> | undefined =>
  certificate?.kind === 'acme' ? undefined : certificate

/** What of the Proxmox host the site makes use of. */
export const placeOf = ({ proxmox }: Site): PlaceWanted => ({
  node: proxmox.node,
  disks: proxmox.storage.disks,
  iso: proxmox.storage.iso,
  bridge: proxmox.bridge,
})

/** Name of a slot's VM, also its host name: `home-serena-blue`. */
export const slotVmName = (site: Site, groupName: string, slotName: SlotName): string => `${site.name}-${groupName}-${slotName}`
export const depotVmName = (site: Site, groupName: string): string => `${site.name}-${groupName}-depot`
