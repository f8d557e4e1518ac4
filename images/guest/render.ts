/** Everything that a boot renders into /run/golden, as data: pure, so that tests see all of it. */
import { seedFiles } from '../contract/files.ts'
import type { ImageRecord } from '../contract/record.ts'
import type { Seed } from '../contract/seed.ts'
import { caPage, isSignedBy } from './ca-page.ts'
import { timesyncdConfiguration } from './clock.ts'
import { grafanaProvisioning } from './grafana.ts'
import { legoConfiguration, legoFiles, serverCaPath } from './lego.ts'
import { lokiConfiguration } from './loki.ts'
import { containerNetworks } from '../../settings/containers.ts'
import { nginxConfiguration } from './nginx.ts'
import { otelcolConfiguration } from './otelcol.ts'
import { owner, run, wantedProjects, type RenderedFile } from './places.ts'
import { promtailConfiguration } from './promtail.ts'

/** Contents of the seed's files by their path in its folder; a secret never leaves this map but into a file. */
export type SeedContents = Readonly<Record<string, string>>

/** A seed that can't be used; the message names the file or setting. */
export class SeedProblem extends Error {
  readonly code = 'bad-seed'
}

/** Parses `seed.json`. Only the shape that this image knows is accepted: a newer rollout must not half work. */
export function parseSeed(text: string): Seed {
  const seed = JSON.parse(text) as Seed
  if (seed.schema !== 1) throw new SeedProblem(`seed.json has schema ${String(seed.schema)}; this image knows 1`)
  for (const field of [
    'release',
    'group',
    'slot',
    'hostname',
    'address',
    'prefix',
    'service',
    'public',
    'image',
    'roles',
    'ssh',
  ] as const) {
    if (seed[field] === undefined) throw new SeedProblem(`seed.json has no ${field}`)
  }
  return seed
}

/** All files, with owners and modes. Their folders belong to the same owner and are closed to others where the files are. */
export function renderFiles(seed: Seed, image: ImageRecord, contents: SeedContents): RenderedFile[] {
  const secret = (name: string): string => {
    const content = contents[name]
    if (content === undefined) throw new SeedProblem(`the seed has no file golden/${name}, which the roles ${seed.roles.join(', ')} need`)
    return content
  }
  const files: RenderedFile[] = []
  const add = (path: string, content: string, of: number, mode: number): void => {
    files.push({ path: `${run}/${path}`, content, owner: of, mode })
  }
  add('compose.env', composeEnvironment(seed, image, contents), owner.root, 0o600)
  add('address.env', `SERVICE_ADDRESS=${seed.service}\n`, owner.root, 0o644)
  for (const role of seed.roles) add(`role/${role}`, '', owner.root, 0o644)
  const hasPeerKey = contents[seedFiles.peerCertificate] !== undefined
  add('nginx/nginx.conf', nginxConfiguration(seed, image, hasPeerKey), owner.nginx, 0o400)
  if (hasPeerKey) {
    add('nginx/tls/peer.pem', secret(seedFiles.peerCertificate), owner.nginx, 0o400)
    add('nginx/tls/peer.key', secret(seedFiles.peerKey), owner.nginx, 0o400)
  }
  if (seed.roles.includes('serena')) {
    add('nginx/tls/public.pem', secret(seedFiles.publicCertificate), owner.nginx, 0o400)
    add('nginx/tls/public.key', secret(seedFiles.publicKey), owner.nginx, 0o400)
    add('auth/serena', secret(seedFiles.serenaUsers), owner.root, 0o400)
    const ca = contents[seedFiles.siteCa] ?? ''
    const page = caPage({ ca, host: seed.public.host, signsHost: isSignedBy(secret(seedFiles.publicCertificate), ca) })
    if (seed.admin !== undefined && page !== undefined) {
      add('nginx/ca/index.html', page, owner.nginx, 0o400)
      add('nginx/ca/ca.pem', ca, owner.nginx, 0o400)
    }
    const wanted = (seed.serena?.projects ?? []).filter((project) => project.git !== undefined)
    // A URL may hold a token.
    if (wanted.length > 0) files.push({ path: wantedProjects, content: JSON.stringify(wanted), owner: owner.serena, mode: 0o400 })
  }
  if (seed.acme !== undefined) {
    const externalKey = seed.acme.externalAccount === undefined ? undefined : secret(seedFiles.acmeExternalKey).trimEnd()
    add('acme/lego.yaml', legoConfiguration({ ...seed, acme: seed.acme }, externalKey), owner.acme, 0o400)
    for (const { name, content, mode } of legoFiles(seed, contents)) add(`acme/${name}`, content, owner.acme, mode)
  }
  if (seed.roles.includes('logging')) {
    add('nginx/tls/logging.pem', secret(seedFiles.loggingCertificate), owner.nginx, 0o400)
    add('nginx/tls/logging.key', secret(seedFiles.loggingKey), owner.nginx, 0o400)
    add('auth/loki', secret(seedFiles.lokiUsers), owner.root, 0o400)
  }
  const otelcol = otelcolConfiguration(seed)
  if (otelcol !== undefined) {
    add('otelcol/otelcol.yaml', otelcol, owner.root, 0o400)
    const credentials = `${seed.loki?.user}:${secret(seedFiles.lokiPushPassword).trimEnd()}`
    add('otelcol/authorization', `Basic ${Buffer.from(credentials).toString('base64')}`, owner.root, 0o400)
    add('otelcol/site-ca.pem', secret(seedFiles.siteCa), owner.root, 0o400)
  }
  const promtail = promtailConfiguration(seed)
  if (promtail !== undefined) {
    add('promtail/promtail.yaml', promtail, owner.root, 0o400)
    add('promtail/push-password', secret(seedFiles.lokiPushPassword).trimEnd(), owner.root, 0o400)
    add('promtail/site-ca.pem', secret(seedFiles.siteCa), owner.root, 0o400)
  }
  const loki = lokiConfiguration(seed)
  if (loki !== undefined) {
    add('loki/loki.yaml', loki, owner.loki, 0o400)
    add('loki/overrides.yaml', '{}\n', owner.loki, 0o400)
    add('grafana/admin-password', secret(seedFiles.grafanaAdminPassword).trimEnd(), owner.grafana, 0o400)
    for (const file of grafanaProvisioning(seed)) files.push({ ...file, owner: owner.grafana, mode: 0o400 })
  }
  add('ssh/ssh_host_ed25519_key', secret(seedFiles.sshHostKey), owner.root, 0o600)
  // sshd reads these as the user who logs in; they are no secret.
  add('ssh/authorized_keys/projects', lines(seed.ssh.projectKeys), owner.root, 0o644)
  add('ssh/authorized_keys/admin', lines(seed.ssh.adminKeys), owner.root, 0o644)
  files.push({ path: '/run/systemd/timesyncd.conf.d/golden.conf', content: timesyncdConfiguration(seed.ntp), mode: 0o644 })
  return files
}

const lines = (list: readonly string[]): string => list.map((line) => line.trim() + '\n').join('')

/** What compose.yaml calls the images of the lock: `SERENA_IMAGE` and so on. */
export const imageVariables = (services: ImageRecord['services']): Record<string, string> =>
  Object.fromEntries(Object.entries(services).map(([service, reference]) => [`${service.toUpperCase()}_IMAGE`, reference]))

/** What it calls the containers' networks and their addresses in them. */
export function networkVariables(containers: Seed['containers']): Record<string, string> {
  const at = containerNetworks(containers)
  return {
    SERENA_NETWORK: at.serena,
    SERENA_MCP_ADDRESS: at.serenaMcp,
    SERENA_MCP_SSE_ADDRESS: at.serenaMcpSse,
    LOGGING_NETWORK: at.logging,
    LOKI_ADDRESS: at.loki,
    GRAFANA_ADDRESS: at.grafana,
  }
}

/** dockerd's settings with a pool of addresses that goes with this site's networks; undefined where they are so already. */
export function dockerSettings(found: string, seed: Pick<Seed, 'containers'>): string | undefined {
  const settings = JSON.parse(found) as { 'default-address-pools'?: unknown }
  const pools = [{ base: containerNetworks(seed.containers).spare, size: 28 }]
  if (JSON.stringify(settings['default-address-pools']) === JSON.stringify(pools)) return undefined
  return `${JSON.stringify({ ...settings, 'default-address-pools': pools }, null, 2)}\n`
}

/** For compose.yaml: images by digest, addresses and limits. */
export function composeEnvironment(seed: Seed, image: ImageRecord, contents: SeedContents = {}): string {
  const values: Record<string, string> = { ...networkVariables(seed.containers) }
  Object.assign(values, imageVariables(image.services))
  if (seed.serena) {
    values.SERENA_MEMORY = `${seed.serena.memoryMiB}m`
    values.SERENA_INTERFACE = seed.serena.interface
  }
  const serverCa = seed.acme === undefined ? undefined : serverCaPath(contents)
  if (serverCa !== undefined) values.ACME_SERVER_CA = serverCa
  if (seed.logging) values.GRAFANA_URL = `https://${seed.service}:${seed.logging.port}/`
  // Quoted so that systemd's and Compose's readers both take the value as it is.
  return Object.entries(values)
    .map(([name, value]) => `${name}="${value}"\n`)
    .join('')
}
