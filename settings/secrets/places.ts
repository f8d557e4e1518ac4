/** Where the site folder keeps secrets, keys and certificates: the one list, by what they are for. Paths are from that folder. */
export const secretsFolder = 'secrets'

const below = <Path extends string>(path: Path): `${typeof secretsFolder}/${Path}` => `${secretsFolder}/${path}`

export const secretFiles = {
  /** What Proxmox's certificate is verified with, unless the site names another place. */
  proxmoxCa: below('proxmox-ca.pem'),
  /** The API token's secret, unless the site names another place. */
  proxmoxToken: below('proxmox-token'),
  /** A new one, where the site reads it from elsewhere. */
  newProxmoxToken: below('proxmox-token.new'),
  /** The site's own CA. */
  ca: below('ca.pem'),
  caKey: below('ca.key'),
  /** The one before, once there is a new one. */
  caBefore: below('ca-before.pem'),
  /** What people see, unless the site names a certificate of its own. */
  publicCertificate: below('tls/public.pem'),
  publicKey: below('tls/public.key'),
  loggingCertificate: below('tls/logging.pem'),
  loggingKey: below('tls/logging.key'),
  lokiPushPassword: below('loki-push-password'),
  grafanaAdminPassword: below('grafana-admin-password'),
  /** What the records of images are signed with, unless the site names another place; its public part is beside it. */
  imageKey: below('image-key'),
  /** By which a site knows again what it has given (releases/given.ts). */
  releaseKey: below('release-key'),
} as const

/** The SSH host key of a group; its public part is beside it. */
export const hostKeyFile = (group: string): string => below(`ssh/${group}_ed25519`)

/** By which the two slots of a group know each other while one takes over from the other. */
export const peerFiles = (group: string): { readonly certificate: string; readonly key: string } => ({
  certificate: below(`tls/${group}-peer.pem`),
  key: below(`tls/${group}-peer.key`),
})
