/**
 * A slot's seed: the NoCloud files (cloud-init's "NoCloud" data source) and the folder `golden/` with all that this
 * project's own boot unit reads. Secrets are in that folder's files only, never in user-data.
 */
import { join } from 'node:path'
import { hashPassword } from '../images/guest/password.ts'
import { renderIso } from '../core/formats/iso.ts'
import { seedFiles } from '../images/contract/files.ts'
import { ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { storageAt, type StorageOfNode } from '../proxmox/storage.ts'
import { Failure } from '../core/failure.ts'
import { newRelease, type Release } from './deployment.ts'
import { nftables } from './nftables.ts'
import { readHandedIn } from '../settings/resolve.ts'
import type { AcmeFiles } from '../settings/handed-in-acme.ts'
import { ownCertificateOf, type Site } from '../settings/site.ts'
import { lookAtHandedIn, refuseHandedIn, type HandedInProblem } from '../settings/handed-in.ts'
import { hostKeyFile, peerFiles, secretFiles } from '../settings/secrets/places.ts'
import { changedSentence, changedSince, readGivenKey, seedTag } from './given.ts'

/** The secrets of one seed, in clear. Lives in memory only. */
export interface SeedSecrets {
  readonly siteCa: string
  readonly hostKey: { readonly privateKey: string; readonly publicKey: string }
  /** By which the slots of the group know each other. */
  readonly peer: { readonly certificate: string; readonly key: string }
  /** Role serena. */
  readonly publicTls?: { readonly certificate: string; readonly key: string }
  /** Role serena, with an ACME server. */
  readonly acme?: AcmeFiles
  readonly users?: readonly { readonly name: string; readonly password: string }[]
  /** Role logging. */
  readonly loggingTls?: { readonly certificate: string; readonly key: string }
  readonly grafanaAdminPassword?: string
  /** Every VM of a site with logging. */
  readonly lokiPushPassword?: string
}

/** The files of a seed by path. Pure but for the salts of passwords. */
export async function seedContents(release: Release, secrets: SeedSecrets): Promise<Map<string, string>> {
  const { seed, vm } = release
  // Only now: most verbs look at seeds and write none, and these are 72 files.
  const { stringify } = await import('yaml')
  // Long lines must not be folded, and nothing is an alias of anything.
  const yaml = (value: unknown): string => stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })
  const files = new Map<string, string>([
    ['meta-data', yaml({ 'instance-id': `iid-${release.id}`, 'local-hostname': seed.hostname })],
    [
      'user-data',
      `#cloud-config\n${yaml({
        hostname: seed.hostname,
        preserve_hostname: false,
        manage_etc_hosts: true,
        // The host key that sshd uses comes with the seed, so that every release of a group is the same host to SSH.
        // cloud-init takes no empty list here, and would make keys of all kinds without one: this one nobody uses.
        ssh_deletekeys: false,
        ssh_genkeytypes: ['ed25519'],
        disable_root: true,
        ssh_pwauth: false,
        users: [],
        package_update: false,
        package_upgrade: false,
        // Nothing of a clone is left to the rest, which a distribution runs for whatever a stranger may want at a first boot:
        // everything else is in the image, or comes with the seed.
        cloud_init_modules: ['growpart', 'resizefs', 'set_hostname', 'update_hostname', 'update_etc_hosts'],
        cloud_config_modules: [],
        cloud_final_modules: ['final_message'],
      })}`,
    ],
    [
      'network-config',
      yaml({
        version: 2,
        ethernets: {
          eth0: {
            match: { macaddress: vm.mac.toLowerCase() },
            'set-name': 'eth0',
            dhcp4: false,
            dhcp6: false,
            'accept-ra': false,
            'link-local': [],
            addresses: [`${seed.address}/${seed.prefix}`],
            routes: [{ to: '0.0.0.0/0', via: seed.gateway }],
            nameservers: { addresses: seed.nameservers },
          },
        },
      }),
    ],
  ])
  const add = (name: string, content: string): void => {
    files.set(`golden/${name}`, content)
  }
  add(seedFiles.seed, `${JSON.stringify(seed, null, 2)}\n`)
  add(seedFiles.firewall, nftables(release.flows))
  add(seedFiles.siteCa, secrets.siteCa)
  add(seedFiles.sshHostKey, secrets.hostKey.privateKey)
  add(seedFiles.sshHostKeyPublic, secrets.hostKey.publicKey)
  add(seedFiles.peerCertificate, secrets.peer.certificate)
  add(seedFiles.peerKey, secrets.peer.key)
  if (secrets.publicTls) {
    add(seedFiles.publicCertificate, secrets.publicTls.certificate)
    add(seedFiles.publicKey, secrets.publicTls.key)
  }
  const { environment, hook, externalKey, serverCa } = secrets.acme ?? {}
  if (environment !== undefined) add(seedFiles.acmeEnvironment, environment)
  if (hook !== undefined) add(seedFiles.acmeHook, hook)
  if (externalKey !== undefined) add(seedFiles.acmeExternalKey, `${externalKey}\n`)
  if (serverCa !== undefined) add(seedFiles.acmeServerCa, serverCa)
  if (secrets.users) add(seedFiles.serenaUsers, await htpasswd(secrets.users))
  if (secrets.loggingTls) {
    add(seedFiles.loggingCertificate, secrets.loggingTls.certificate)
    add(seedFiles.loggingKey, secrets.loggingTls.key)
  }
  if (secrets.lokiPushPassword !== undefined) {
    add(seedFiles.lokiPushPassword, `${secrets.lokiPushPassword}\n`)
    if (seed.roles.includes('logging'))
      add(seedFiles.lokiUsers, await htpasswd([{ name: seed.loki?.user ?? 'promtail', password: secrets.lokiPushPassword }]))
  }
  if (secrets.grafanaAdminPassword !== undefined) add(seedFiles.grafanaAdminPassword, `${secrets.grafanaAdminPassword}\n`)
  return files
}

async function htpasswd(users: readonly { readonly name: string; readonly password: string }[]): Promise<string> {
  const lines = await Promise.all(users.map(async ({ name, password }) => `${name}:${await hashPassword(password)}\n`))
  return lines.join('')
}

/**
 * Reads from the site folder what this release's seed needs.
 * @throws Failure `secret-unavailable`, `secret-unfit`, `handed-in-unfit` (all that is wrong, at once)
 */
export async function readSeedSecrets(
  site: Site,
  folder: string,
  { seed }: Pick<Release, 'seed'>,
  env: NodeJS.ProcessEnv = process.env,
): Promise<SeedSecrets> {
  const { secrets, problems } = await gather(site, folder, seed, env)
  refuseHandedIn(problems)
  return secrets
}

/**
 * Whether all is there that these groups' first seeds need: asked before anything is made for the first of them.
 * @throws Failure as `readSeedSecrets`
 */
export const checkSeedSecrets = async (
  site: Site,
  folder: string,
  groups: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> => refuseHandedIn(await seedProblems(site, folder, groups, env))

/** What these groups' first seeds lack. @param askPrograms as `lookAtHandedIn` has it */
export async function seedProblems(
  site: Site,
  folder: string,
  groups: readonly string[],
  env: NodeJS.ProcessEnv,
  askPrograms = true,
): Promise<HandedInProblem[]> {
  const problems = new Map<string, HandedInProblem>()
  const nothing = { id: '', created: new Date(), image: { vmid: 0, name: '', fingerprint: '' } }
  for (const group of groups) {
    for (const problem of (await gather(site, folder, newRelease(site, group, 'blue', nothing).seed, env, askPrograms)).problems)
      problems.set(`${problem.path} ${problem.message}`, problem)
  }
  return [...problems.values()]
}

async function gather(
  site: Site,
  folder: string,
  seed: Release['seed'],
  env: NodeJS.ProcessEnv,
  askPrograms = true,
): Promise<{ readonly secrets: SeedSecrets; readonly problems: readonly HandedInProblem[] }> {
  const problems: HandedInProblem[] = []
  const read = async (kind: 'line' | 'pem', path: string): Promise<string> => {
    try {
      return await readHandedIn(join(folder, path), kind)
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure
      problems.push({ path, message: failure.message, failure })
      return ''
    }
  }
  const tls = async (certificate: string, key: string): Promise<{ certificate: string; key: string }> => ({
    certificate: await read('pem', certificate),
    key: await read('pem', key),
  })
  const serena = seed.roles.includes('serena')
  const logging = seed.roles.includes('logging')
  const handedIn = serena ? await lookAtHandedIn({ site, folder, env, askPrograms }) : undefined
  problems.push(...(handedIn?.problems ?? []))
  const secrets: SeedSecrets = {
    siteCa: await read('pem', secretFiles.ca),
    hostKey: {
      privateKey: await read('pem', hostKeyFile(seed.group)),
      publicKey: `${await read('line', `${hostKeyFile(seed.group)}.pub`)}\n`,
    },
    peer: await tls(peerFiles(seed.group).certificate, peerFiles(seed.group).key),
    ...(handedIn === undefined
      ? {}
      : {
          users: handedIn.found.users,
          publicTls:
            handedIn.found.publicTls ??
            // Until an ACME server has given one, and where it gives none, people see the site's own.
            (ownCertificateOf(site.public) === undefined
              ? await tls(secretFiles.publicCertificate, secretFiles.publicKey)
              : { certificate: '', key: '' }),
          ...(handedIn.found.acme === undefined ? {} : { acme: handedIn.found.acme }),
        }),
    ...(seed.loki === undefined ? {} : { lokiPushPassword: await read('line', secretFiles.lokiPushPassword) }),
    ...(logging
      ? {
          loggingTls: await tls(secretFiles.loggingCertificate, secretFiles.loggingKey),
          grafanaAdminPassword: await read('line', secretFiles.grafanaAdminPassword),
        }
      : {}),
  }
  return { secrets, problems }
}

/**
 * What of the site folder's secrets is not what a release was given, by name; what can't be read is said elsewhere.
 * @returns undefined where nobody can tell
 */
export async function changedSecrets(
  site: Site,
  folder: string,
  release: Release,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string[] | undefined> {
  if (release.given === undefined) return undefined
  const { secrets, problems } = await gather(site, folder, release.seed, env)
  return problems.length > 0 ? undefined : changedSince(release, await readGivenKey(folder), secrets)
}

/** The same as a sentence, of a group that the site has. */
export async function secretDifferences(
  site: Site,
  folder: string,
  group: string,
  release: Release | undefined,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string[]> {
  if (release === undefined || site.groups[group] === undefined) return []
  return changedSentence(group, (await changedSecrets(site, folder, release, env)) ?? [])
}

/** Splits `STORAGE:iso/FILE`. */
export function seedPlace(release: Release): { readonly storage: string; readonly file: string } {
  const [storage = '', path = ''] = release.vm.seed.split(':')
  return { storage, file: path.replace(/^iso\//, '') }
}

const storageOfSeed = (proxmox: Proxmox, release: Release): StorageOfNode => storageAt(proxmox, release.vm.node, seedPlace(release).storage)

export async function seedIsThere(proxmox: Proxmox, release: Release): Promise<boolean> {
  const content = await storageOfSeed(proxmox, release)
    .files('iso')
    .catch((error: unknown) => {
      if (!(error instanceof ProxmoxError) || ![400, 403, 500].includes(error.status)) throw error
      throw new Failure(
        'storage-missing',
        `storage ${seedPlace(release).storage}, where the seed of ${release.vm.name} is, is not there on node ${release.vm.node}, or the token may not use it: ${error.message}`,
        `Bring it back in Proxmox; or begin a new release, whose seed is on proxmox.storage.iso of site.ts: "npx golden destroy ${release.seed.group}", then "npx golden deploy". The data is kept.`,
        { cause: error },
      )
    })
  return content.some((entry) => entry.volid === release.vm.seed)
}

/** Renders the seed in memory and uploads it; nothing of it touches this computer's disk. */
export async function uploadSeed(proxmox: Proxmox, release: Release, secrets: SeedSecrets, signal?: AbortSignal): Promise<void> {
  const { storage, file } = seedPlace(release)
  await proxmox.upload({
    node: release.vm.node,
    storage,
    content: 'iso',
    filename: file,
    data: renderIso('cidata', await seedContents(release, secrets)),
    ...(signal === undefined ? {} : { signal }),
  })
}

/** Removing one that is not there is no error to Proxmox either. */
export async function removeSeed(proxmox: Proxmox, release: Release): Promise<void> {
  await storageOfSeed(proxmox, release).remove(release.vm.seed)
}

/** The parts of a seed's volume id. @returns undefined: it is none */
function seedParts(volid: string): { readonly vmid: number; readonly release: string; readonly tag: string | undefined } | undefined {
  const [, vmid, release, tag] = /:iso\/seed-(\d+)-([0-9a-f]{12})([0-9a-f]{12})?\.iso$/.exec(volid) ?? []
  return vmid === undefined || release === undefined ? undefined : { vmid: Number(vmid), release, tag }
}

/** Whether this site made that seed. Other sites may have seeds of the same VMIDs there, even sites of the same name on other hosts. */
function isOwnSeed(site: Pick<Site, 'name'>, key: Buffer | undefined, volid: string): boolean {
  const seed = seedParts(volid)
  return seed !== undefined && key !== undefined && seed.tag === seedTag(key, site.name, seed.vmid, seed.release)
}

/**
 * This site's seeds that nobody needs. Pure.
 * @param volumes what the storage has
 * @param needed by a pin, or in a VM's drive
 */
export const straySeeds = (
  site: Pick<Site, 'name'>,
  key: Buffer | undefined,
  volumes: readonly string[],
  needed: ReadonlySet<string>,
): string[] => volumes.filter((volid) => isOwnSeed(site, key, volid) && !needed.has(volid))

/**
 * Removes the seeds of these VMIDs that nobody knows of any more, such as those of a deployment.json that was lost: only
 * those that bear this site's tag, and those that one of its own VMs has had in its drive.
 * @param had volumes that the group's own VMs had in a drive
 */
export async function removeStraySeeds(
  proxmox: Proxmox,
  site: Site,
  node: string,
  vmids: readonly number[],
  key: Buffer | undefined,
  had: readonly string[] = [],
): Promise<void> {
  const storage = storageAt(proxmox, node, site.proxmox.storage.iso)
  for (const { volid } of await storage.files('iso')) {
    const seed = seedParts(volid)
    if (seed === undefined || !vmids.includes(seed.vmid)) continue
    if (isOwnSeed(site, key, volid) || had.includes(volid)) await storage.remove(volid)
  }
}
