/**
 * What a slot is told by its seed: `golden/seed.json` on the NoCloud CD. The rollout renders it, the guest reads it.
 * Secrets are not in here but in files of their own next to it (see `seedFiles`).
 */
export interface Seed {
  schema: 1
  /** Random id of the release; a new one makes a new slot. */
  release: string
  /** Name of the installation. */
  site: string
  /** Name of the group that this slot belongs to. */
  group: string
  slot: 'blue' | 'green'
  roles: ('serena' | 'logging')[]
  hostname: string
  image: { fingerprint: string; vmid: number }
  /** This slot's own address and its prefix length. */
  address: string
  prefix: number
  /** The address that moves between the slots of the group. */
  service: string
  /** The other slot's own address. */
  peer: string
  gateway: string
  nameservers: string[]
  /** NTP servers by address; none: the host's clock is the VM's (images/guest/clock.ts). */
  ntp: string[]
  /** What the containers have inside of the VM. @default '172.30.0.0/23' */
  containers?: string
  /** As seen from outside. */
  public: { host: string; httpsPort: number; httpPort: number }
  /** Present with the role `serena`. */
  serena?: {
    transports: ('streamable-http' | 'sse')[]
    interface: 'tools' | 'repl'
    /** Whether `execute_shell_command` is offered. */
    shell: boolean
    /** Limit of one Serena process with its language servers. */
    memoryMiB: number
    projects: { name: string; git?: string }[]
  }
  /** Present with the role `logging`. */
  logging?: { retentionDays: number; port: number }
  /** Where log lines are pushed to, and by which agent; absent when the site has no logging. */
  loki?: { host: string; port: number; user: 'promtail' /** @default 'promtail', which older seeds mean */; agent?: 'otelcol' | 'promtail' }
  ssh: { projectKeys: string[]; adminKeys: string[] }
}

/**
 * Which form of seed this version writes and its images read, files and all. To be raised with every change that an
 * image of before would misread: passwords in another form let nobody in. An image says in its record what it reads.
 */
export const seedForm = 2

/** The files of the seed's folder `golden/`, by what they are for. Paths are relative to that folder. */
export const seedFiles = {
  seed: 'seed.json',
  /** A complete table of our own: `table inet golden`, `delete table inet golden`, `table inet golden { … }`. */
  firewall: 'nftables.nft',
  /** Role serena: the certificate that people see. */
  publicCertificate: 'tls/public.pem',
  publicKey: 'tls/public.key',
  /** Role logging: for the service address. */
  loggingCertificate: 'tls/logging.pem',
  loggingKey: 'tls/logging.key',
  /** The site's own CA; the log agent trusts it. */
  siteCa: 'tls/site-ca.pem',
  /** Role serena. */
  serenaUsers: 'htpasswd/serena',
  /** Role logging: who may push. */
  lokiUsers: 'htpasswd/loki',
  /** Every VM of a site with logging. */
  lokiPushPassword: 'secrets/loki-push-password',
  /** Role logging. */
  grafanaAdminPassword: 'secrets/grafana-admin-password',
  /** One host key a group, so that a new release is the same host to SSH. */
  sshHostKey: 'ssh/ssh_host_ed25519_key',
  sshHostKeyPublic: 'ssh/ssh_host_ed25519_key.pub',
} as const

/** `/etc/golden/image.json`, written by the bake: what the image is and which container images are in it. */
export interface ImageRecord {
  schema: 1
  fingerprint: string
  /** When it was baked, ISO 8601. */
  built: string
  /** Digest references (`repo@sha256:…`). A service without one is not in the image. */
  services: Partial<Record<'serena' | 'nginx' | 'otelcol' | 'promtail' | 'loki' | 'grafana', string>>
}
