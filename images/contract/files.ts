/**
 * The files of the seed's folder `golden/`, by what they are for: the one list of their names, for who writes them and for
 * the guest. Paths are relative to that folder. Without an import: the guest's programs load it as it is.
 */
export const seedFiles = {
  /** What is no secret: images/contract/seed.ts. */
  seed: 'seed.json',
  /** A complete table of our own: `table inet golden`, `delete table inet golden`, `table inet golden { … }`. */
  firewall: 'nftables.nft',
  /** Role serena: the certificate that people see. */
  publicCertificate: 'tls/public.pem',
  publicKey: 'tls/public.key',
  /** Role logging: for the service address. */
  loggingCertificate: 'tls/logging.pem',
  loggingKey: 'tls/logging.key',
  /** The same in both slots of a group: by it they know each other, and from it comes what clients' session ids are sealed with. */
  peerCertificate: 'tls/peer.pem',
  peerKey: 'tls/peer.key',
  /** The site's own CA; the log agent trusts it. */
  siteCa: 'tls/site-ca.pem',
  /** With an ACME server, as far as the site has them: what its client's DNS provider is told, and the hook. */
  acmeEnvironment: 'acme/environment',
  acmeHook: 'acme/hook',
  /** Key of an account that is there already. */
  acmeExternalKey: 'acme/external-key',
  /** CA of the server's own certificate. */
  acmeServerCa: 'acme/server-ca.pem',
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

/** What a slot calls its peer over TLS: the one name of `peerCertificate`. */
export const peerName = 'golden-peer'
