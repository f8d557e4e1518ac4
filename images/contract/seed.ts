/**
 * What a slot is told by its seed: `golden/seed.json` on the NoCloud CD. The rollout renders it, deployment.json keeps it,
 * the guest reads it. Secrets are not in here but in files of their own next to it (images/contract/files.ts).
 *
 * The guest takes the type only: its programs start often, and zod is large.
 */
import { z } from 'zod'
import type { DeepReadonly } from '../../core/deep-readonly.ts'
import { roles, slotNames, transports } from '../../settings/names.ts'

const text = z.string().min(1)
const port = z.int().min(1).max(65_535)

export const seedSchema = z.strictObject({
  schema: z.literal(1),
  /** Random id of the release; a new one makes a new slot. */
  release: text,
  /** Name of the installation. */
  site: text,
  /** Name of the group that this slot belongs to. */
  group: text,
  slot: z.enum(slotNames),
  roles: z.array(z.enum(roles)).min(1),
  hostname: text,
  image: z.strictObject({ fingerprint: text, vmid: z.int().min(100) }),
  /** This slot's own address and its prefix length. */
  address: z.ipv4(),
  prefix: z.int().min(1).max(32),
  /** The address that moves between the slots of the group. */
  service: z.ipv4(),
  /** The other slot's own address. */
  peer: z.ipv4(),
  gateway: z.ipv4(),
  nameservers: z.array(z.ipv4()),
  /** NTP servers by address; none: the host's clock is the VM's (images/guest/clock.ts). */
  ntp: z.array(z.ipv4()),
  /** What the containers have inside of the VM. @default `defaultContainers` of settings/containers.ts */
  containers: text.exactOptional(),
  /** Who may use SSH, Grafana and the page with the site's CA; older seeds do not say, and have no such page. */
  admin: z.array(text).exactOptional(),
  /** As seen from outside. */
  public: z.strictObject({ host: text, httpsPort: port, httpPort: port }),
  /** Present with the role `serena`. */
  serena: z
    .strictObject({
      transports: z.array(z.enum(transports)),
      interface: z.enum(['tools', 'repl']),
      /** Whether `execute_shell_command` is offered. */
      shell: z.boolean(),
      /** Limit of one Serena process with its language servers. */
      memoryMiB: z.int(),
      projects: z.array(z.strictObject({ name: text, git: text.exactOptional() })),
      /** How much may wait while the slots hand over. @default `parkingDefaults` of settings/parking.ts, which older seeds mean */
      parking: z.strictObject({ calls: z.int().min(1), mebibytes: z.int().min(1), seconds: z.int().min(1) }).exactOptional(),
    })
    .exactOptional(),
  /** Present with the role `serena` where the public certificate is an ACME server's, which the slot gets by itself. */
  acme: z
    .strictObject({
      /** Its directory. */
      server: z.url(),
      email: text.exactOptional(),
      profile: text.exactOptional(),
      /** Id of an account that is there already; its key is a file of the seed. */
      externalAccount: text.exactOptional(),
      /** DNS-01 by this provider. @default HTTP-01 */
      dns: z.strictObject({ provider: text, waitSeconds: z.int().exactOptional() }).exactOptional(),
    })
    .exactOptional(),
  /** Present with the role `logging`. */
  logging: z.strictObject({ retentionDays: z.int(), port }).exactOptional(),
  /** Where log lines are pushed to, and by which agent; absent when the site has no logging. */
  loki: z
    .strictObject({
      host: z.ipv4(),
      port,
      user: z.literal('promtail'),
      /** @default 'promtail', which older seeds mean */
      agent: z.enum(['otelcol', 'promtail']).exactOptional(),
    })
    .exactOptional(),
  ssh: z.strictObject({ projectKeys: z.array(text), adminKeys: z.array(text) }),
})

export type Seed = DeepReadonly<z.infer<typeof seedSchema>>

/**
 * Which form of seed this version writes and its images read, files and all. To be raised with every change that an
 * image of before would misread: passwords in another form let nobody in. An image says in its record what it reads.
 */
export const seedForm = 2
