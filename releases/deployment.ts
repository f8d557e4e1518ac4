/**
 * `deployment.json` of the site folder: what runs. It pins for each slot a release (the image and all settings of
 * that day), so that a later edit of the site changes nothing that runs. It holds no secret and belongs in git.
 *
 *     { "schema": 1,
 *       "groups": {
 *         "serena": {
 *           "dataDisk": "made",             "new" from before the disk is made until it was first mounted
 *           "depot": 9200,                  where it was at the first release; it goes back there
 *           "active": "blue",               the slot that owns, or is about to own, the data disk
 *           "rollout": { … },               only while one is under way, or has failed
 *           "slots": { "blue": { …release… } } } } }
 */
import { z } from 'zod'
import type { DeepReadonly } from '../core/deep-readonly.ts'
import { seedSchema } from '../images/contract/seed.ts'
import { directoryOf } from '../settings/acme.ts'
import { vmFlows, vmFlowsSchema } from './flows.ts'
import {
  acmeOf,
  groupWithRole,
  macOf,
  otherSlot,
  ownCertificateOf,
  slotNames,
  slotVmName,
  type Site,
  type SlotName,
} from '../settings/site.ts'

const vmid = z.int().min(100)
const text = z.string().min(1)

const release = z.strictObject({
  /** Random: it tells nothing about what is in it. */
  id: z.string().regex(/^[0-9a-f]{12}$/),
  /** When it was pinned, ISO 8601. */
  created: z.iso.datetime(),
  image: z.strictObject({ vmid, name: text, fingerprint: text }),
  vm: z.strictObject({
    vmid,
    name: text,
    node: text,
    pool: text,
    cores: z.int().min(1),
    memoryMiB: z.int().min(1),
    bridge: text,
    vlan: z.int().exactOptional(),
    mac: text,
    /** The storage makes no linked clones: the VM is a full copy of the image. */
    fullClone: z.literal(true).exactOptional(),
    /** Volume id of the seed ISO. */
    seed: text,
  }),
  flows: vmFlowsSchema,
  /** Of what the seed holds beside its settings, the names: by them an edit of the site is seen. */
  access: z
    .strictObject({
      users: z.array(text),
      certificate: text.exactOptional(),
      /** Whom clients are to trust, where no system does. */ rootFile: text.exactOptional(),
    })
    .exactOptional(),
  /** What the seed holds of secrets, as keyed digests by name (releases/given.ts), and when its certificates end. */
  given: z
    .strictObject({
      key: z.string().regex(/^[0-9a-f]{16}$/),
      digests: z.record(text, z.string().regex(/^[0-9a-f]{64}$/)),
      ends: z.record(text, z.iso.datetime()),
    })
    .exactOptional(),
  /** What the guest is told, but for the secrets. */
  seed: seedSchema,
})

const group = z
  .strictObject({
    dataDisk: z.enum(['new', 'made']).exactOptional(),
    /** VMID of the depot that the data disk comes from and goes to, whatever the site says by now. */
    depot: vmid.exactOptional(),
    active: z.enum(slotNames).exactOptional(),
    /** A rollout that has begun and has not come to a good end, so that the next run, or a person, knows what was meant. */
    rollout: z
      .strictObject({
        /** The slot that was to become the active one. */
        to: z.enum(slotNames),
        /** `take-back`: it does not serve, and the data goes back; `failed`: it has gone back. */
        phase: z.enum(['prepare', 'hand-over', 'watch', 'take-back', 'failed']),
        since: z.iso.datetime(),
        /** Whichever slot gets the data puts back the services' state as its own image had left it. */
        state: z.literal('before').exactOptional(),
        reason: text.exactOptional(),
      })
      .exactOptional(),
    slots: z.strictObject({ blue: release.exactOptional(), green: release.exactOptional() }),
  })
  .superRefine(({ active, slots }, context) => {
    if (active === undefined && Object.values(slots).some((one) => one !== undefined))
      context.addIssue({ code: 'custom', path: ['active'], message: 'must name the slot that owns the data disk' })
    if (active !== undefined && slots[active] === undefined)
      context.addIssue({ code: 'custom', path: ['active'], message: `slot ${active} has no release` })
  })

const schema = z.strictObject({ schema: z.literal(1), groups: z.record(z.string(), group) })

export type Release = DeepReadonly<z.infer<typeof release>>
export type GroupPins = DeepReadonly<z.infer<typeof group>>
export type RolloutNote = NonNullable<GroupPins['rollout']>

/** Whether the data may be anywhere between the slots, or with one that does not use it yet. */
export const isMoving = (note: RolloutNote | undefined): boolean => note?.phase === 'hand-over' || note?.phase === 'take-back'

/** Whether what was to take over does not serve: the data goes back, or has gone. */
export const isTakenBack = (note: RolloutNote | undefined): note is RolloutNote => note?.phase === 'take-back' || note?.phase === 'failed'

export type Deployment = DeepReadonly<z.infer<typeof schema>>

export const noDeployment: Deployment = { schema: 1, groups: {} }

export type ParsedDeployment =
  | { readonly ok: true; readonly deployment: Deployment }
  | { readonly ok: false; readonly problems: readonly { readonly path: string; readonly message: string }[] }

/** Reads what `deployment.json` says. Never throws; problems name their place. */
export function parseDeployment(content: string): ParsedDeployment {
  let data: unknown
  try {
    data = JSON.parse(content)
  } catch (error) {
    return { ok: false, problems: [{ path: '', message: `it is not JSON: ${error instanceof Error ? error.message : String(error)}` }] }
  }
  const parsed = schema.safeParse(data)
  if (!parsed.success) return { ok: false, problems: parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })) }
  const problems = Object.entries(parsed.data.groups).flatMap(([groupName, pins]) =>
    Object.entries(pins.slots).flatMap(([slot, one]) =>
      one !== undefined && (one.seed.group !== groupName || one.seed.slot !== slot || one.seed.release !== one.id)
        ? [{ path: `groups.${groupName}.slots.${slot}`, message: 'its seed belongs to another release' }]
        : [],
    ),
  )
  return problems.length === 0 ? { ok: true, deployment: parsed.data } : { ok: false, problems }
}

export const renderDeployment = (deployment: Deployment): string => `${JSON.stringify(deployment, null, 2)}\n`

export interface ReleaseOrigin {
  readonly id: string
  readonly created: Date
  readonly image: Release['image']
  /** Because of the storage. @default false */
  readonly fullClone?: boolean
  /** By which a site knows its own seeds again; releases/given.ts. */
  readonly seedTag?: string
}

/** ISO storages are shared, by sites with the same VMIDs too. */
export const seedName = (vmid: number, release: string, tag = ''): string => `seed-${vmid}-${release}${tag}.iso`

/** All settings of a slot as the site has them now. */
export function newRelease(site: Site, groupName: string, slot: SlotName, origin: ReleaseOrigin): Release {
  const group = site.groups[groupName]
  if (group === undefined) throw new Error(`the site has no group ${groupName}`)
  const { vmid: id, address } = group.slots[slot]
  const { proxmox, network } = site
  const logging = groupWithRole(site, 'logging')
  return {
    id: origin.id,
    created: origin.created.toISOString(),
    image: origin.image,
    vm: {
      vmid: id,
      name: slotVmName(site, groupName, slot),
      node: proxmox.node,
      pool: proxmox.pool,
      cores: group.cores,
      memoryMiB: group.memoryMiB,
      bridge: proxmox.bridge,
      ...(proxmox.vlan === undefined ? {} : { vlan: proxmox.vlan }),
      mac: macOf(id, address),
      ...(origin.fullClone ? { fullClone: true } : {}),
      seed: `${proxmox.storage.iso}:iso/${seedName(id, origin.id, origin.seedTag)}`,
    },
    flows: vmFlows(site, groupName, slot),
    ...(group.roles.includes('serena') ? { access: accessOf(site) } : {}),
    seed: {
      schema: 1,
      release: origin.id,
      site: site.name,
      group: groupName,
      slot,
      roles: [...group.roles],
      hostname: slotVmName(site, groupName, slot),
      image: { fingerprint: origin.image.fingerprint, vmid: origin.image.vmid },
      address,
      prefix: Number(network.subnet.split('/')[1] ?? 32),
      service: group.service,
      peer: group.slots[otherSlot(slot)].address,
      gateway: network.gateway,
      nameservers: [...network.nameservers],
      ntp: [...network.ntp],
      containers: network.containers,
      admin: [...network.admin],
      public: { host: site.public.host, httpsPort: site.public.httpsPort, httpPort: site.public.httpPort },
      ...(group.roles.includes('serena')
        ? {
            serena: {
              transports: [...site.serena.transports],
              interface: site.serena.interface,
              shell: site.serena.shell,
              memoryMiB: site.serena.memoryMiB,
              parking: { ...site.serena.parking },
              projects: site.serena.projects.map(({ name, git }) => (git === undefined ? { name } : { name, git })),
            },
          }
        : {}),
      ...(group.roles.includes('serena') ? acmeSeed(site) : {}),
      ...(group.roles.includes('logging') ? { logging: { retentionDays: site.logging.retentionDays, port: site.logging.port } } : {}),
      ...(logging === undefined
        ? {}
        : { loki: { host: logging.group.service, port: site.logging.port, user: 'promtail' as const, agent: site.logging.agent } }),
      ssh: { projectKeys: [...site.ssh.projectKeys], adminKeys: [...site.ssh.adminKeys] },
    },
  }
}

/** What the slot's ACME client is told; what is secret of it comes in files. */
function acmeSeed({ public: settings }: Site): Pick<Release['seed'], 'acme'> {
  const acme = acmeOf(settings)
  if (acme === undefined) return {}
  const { email, profile, externalAccount, dns } = acme
  return {
    acme: {
      server: directoryOf(acme),
      ...(email === undefined ? {} : { email }),
      ...(profile === undefined ? {} : { profile }),
      ...(externalAccount === undefined ? {} : { externalAccount: externalAccount.id }),
      ...(dns === undefined
        ? {}
        : { dns: { provider: dns.provider, ...(dns.waitSeconds === undefined ? {} : { waitSeconds: dns.waitSeconds }) } }),
    },
  }
}

/** Names only: a digest of a password is a way to guess it. */
function accessOf(site: Site): NonNullable<Release['access']> {
  const [own, acme] = [ownCertificateOf(site.public), acmeOf(site.public)]
  return {
    users: site.serena.users.map((user) => user.name),
    ...(own === undefined ? {} : { certificate: own.chainFile }),
    ...(acme?.rootFile === undefined ? {} : { rootFile: acme.rootFile }),
  }
}

/** Every pinned release with its place. */
export function pinnedSlots(deployment: Deployment): { readonly group: string; readonly slot: SlotName; readonly release: Release }[] {
  return Object.entries(deployment.groups).flatMap(([groupName, pins]) =>
    (['blue', 'green'] as const).flatMap((slot) => {
      const one = pins.slots[slot]
      return one === undefined ? [] : [{ group: groupName, slot, release: one }]
    }),
  )
}

/** Of each group the release that owns, or is about to own, its data. */
export function activeReleases(deployment: Deployment): { readonly group: string; readonly slot: SlotName; readonly release: Release }[] {
  return pinnedSlots(deployment).filter(({ group, slot }) => deployment.groups[group]?.active === slot)
}
