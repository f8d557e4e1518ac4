/** Seeds for tests: one VM for each role, and one for both. */
import { seedFiles } from '../../images/contract/files.ts'
import type { ImageRecord } from '../../images/contract/record.ts'
import type { Seed } from '../../images/contract/seed.ts'

export const image: ImageRecord = {
  schema: 1,
  fingerprint: 'f'.repeat(64),
  built: '2026-11-24T00:00:00Z',
  services: Object.fromEntries(
    ['serena', 'nginx', 'otelcol', 'promtail', 'loki', 'grafana'].map((name) => [
      name,
      `registry.invalid/${name}@sha256:${'a'.repeat(64)}`,
    ]),
  ),
}

const { grafana: _grafana, ...servicesWithoutGrafana } = image.services
export const imageWithoutGrafana: ImageRecord = { ...image, services: servicesWithoutGrafana }

const common: Seed = {
  schema: 1,
  release: 'r1',
  site: 'home',
  group: 'serena',
  slot: 'blue',
  roles: ['serena'],
  hostname: 'home-serena-blue',
  image: { fingerprint: image.fingerprint, vmid: 9000 },
  address: '10.77.0.51',
  prefix: 24,
  service: '10.77.0.50',
  peer: '10.77.0.52',
  gateway: '10.77.0.1',
  nameservers: ['10.77.0.1'],
  ntp: ['10.77.0.1'],
  public: { host: 'serena.example.org', httpsPort: 443, httpPort: 80 },
  ssh: { projectKeys: ['ssh-ed25519 AAAA person'], adminKeys: [] },
}

const serena: NonNullable<Seed['serena']> = {
  transports: ['streamable-http', 'sse'],
  interface: 'tools',
  shell: false,
  memoryMiB: 2048,
  projects: [{ name: 'playground' }, { name: 'website', git: 'https://someone:t0ken@git.invalid/website.git' }],
}

export const seeds: Record<'serena' | 'logging' | 'both', Seed> = {
  serena: { ...common, serena, loki: { host: '10.77.0.60', port: 8443, user: 'promtail', agent: 'otelcol' } },
  logging: {
    ...common,
    group: 'logging',
    roles: ['logging'],
    hostname: 'home-logging-blue',
    service: '10.77.0.60',
    logging: { retentionDays: 7, port: 8443 },
    loki: { host: '10.77.0.60', port: 8443, user: 'promtail', agent: 'otelcol' },
  },
  both: {
    ...common,
    roles: ['serena', 'logging'],
    serena: { ...serena, transports: ['streamable-http'] },
    logging: { retentionDays: 7, port: 8443 },
    loki: { host: '10.77.0.50', port: 8443, user: 'promtail', agent: 'otelcol' },
  },
}

/** Every file that a seed can have; certificates are stand-ins unless given. */
export function contents(certificate = 'certificate\n', key = 'key\n'): Record<string, string> {
  const text: Record<keyof typeof seedFiles, string> = {
    seed: '{}',
    firewall: '',
    publicCertificate: certificate,
    publicKey: key,
    loggingCertificate: certificate,
    loggingKey: key,
    peerCertificate: certificate,
    peerKey: key,
    siteCa: certificate,
    acmeEnvironment: 'NAME="value"\n',
    acmeHook: '#!/bin/sh\n',
    acmeExternalKey: 'external-key\n',
    acmeServerCa: certificate,
    serenaUsers: 'me:$2y$10$abcdefghijklmnopqrstuv\n',
    lokiUsers: 'promtail:$2y$10$abcdefghijklmnopqrstuv\n',
    lokiPushPassword: 'push-secret\n',
    grafanaAdminPassword: 'admin-secret\n',
    sshHostKey: 'host-key\n',
    sshHostKeyPublic: 'ssh-ed25519 AAAA host\n',
  }
  return Object.fromEntries(Object.entries(seedFiles).map(([name, path]) => [path, text[name as keyof typeof seedFiles]]))
}
