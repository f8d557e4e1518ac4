/** The site that the demo and the lab use: an ordinary site file whose Proxmox happens to be the lab. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { SiteInput } from '../settings/site.ts'
import { writeSecret } from '../settings/secrets/files.ts'
import { generateSshKey } from '../settings/secrets/generate-ssh-key.ts'
import { secretFiles, secretsFolder } from '../settings/secrets/places.ts'

interface WebPorts {
  readonly https: { readonly port: number }
  readonly http: { readonly port: number }
}

/** What the lab says about itself (connection.json); only what a site needs of it. */
export interface LabEndpoint {
  readonly apiUrl: string
  readonly caFile: string
  readonly node: string
  readonly bridge: string
  readonly storages: { readonly disks: string; readonly iso: string }
  readonly socksProxy: { readonly host: string; readonly port: number }
  readonly network: { readonly subnet: string; readonly gateway: string; readonly nameserver: string }
  readonly router: WebPorts & { readonly second: WebPorts }
  readonly registry?: { readonly host: string; readonly caFile: string }
}

export interface LabSiteOptions {
  readonly name: string
  /** A VM for each role, or one for both. */
  readonly layout: 'two-vms' | 'one-vm'
  readonly base: { readonly file: string; readonly sha256: string }
  /** Where packages come from. @default as any site's */
  readonly archives?: SiteInput['image']['archives']
  readonly projectKeys?: readonly string[]
  readonly transports?: SiteInput['serena']['transports']
  readonly projects?: SiteInput['serena']['projects']
  /** Name of another site whose pools, storage, token and images this one uses as well. @default its own */
  readonly sharedWith?: string
  /** First VMID of depots and slots. @default 9010 */
  readonly firstVmid?: number
  /** Last part of the first address; a site uses 12 from there. @default 20 */
  readonly firstHost?: number
  readonly memoryMiB?: number
  /** Which of the router's ports lead to it. @default 'first' */
  readonly behind?: 'first' | 'second'
  readonly isoPath: string
}

/** The host part of the address that the router forwards to: the service address of the group with Serena. */
export function labSite(lab: LabEndpoint, options: LabSiteOptions): SiteInput {
  const vmid = options.firstVmid ?? 9010
  const owner = options.sharedWith ?? options.name
  const host = options.firstHost ?? 20
  const prefix = lab.network.subnet.replace(/\d+\/\d+$/, '')
  const router = options.behind === 'second' ? lab.router.second : lab.router
  const address = (offset: number): string => `${prefix}${host + offset}`
  const group = (roles: ('serena' | 'logging')[], index: number) => ({
    roles,
    service: address(1 + index * 4),
    cores: 2,
    memoryMiB: options.memoryMiB ?? 3072,
    dataGiB: 2,
    depot: vmid + index * 10,
    slots: {
      blue: { vmid: vmid + 1 + index * 10, address: address(2 + index * 4) },
      green: { vmid: vmid + 2 + index * 10, address: address(3 + index * 4) },
    },
  })
  return {
    name: options.name,
    proxmox: {
      url: lab.apiUrl,
      node: lab.node,
      pool: owner,
      depotPool: `${owner}-depots`,
      tokenId: `golden-${owner}@pve!golden`,
      storage: { disks: lab.storages.disks, iso: `${owner}-iso`, isoPath: options.isoPath },
      bridge: lab.bridge,
      templates: { first: 9000, last: 9009 },
      socksProxy: lab.socksProxy,
    },
    network: {
      subnet: lab.network.subnet,
      gateway: lab.network.gateway,
      nameservers: [lab.network.nameserver],
      // The lab's admin network is its router's own address and the lab's services.
      admin: [`${prefix}0/29`],
    },
    public: { host: 'localhost', httpsPort: router.https.port, httpPort: router.http.port },
    image: {
      base: { os: 'debian-13', file: options.base.file, sha256: options.base.sha256 },
      build: { address: address(0), cores: 2, memoryMiB: 2048, diskGiB: 8, sshTimeoutMinutes: 20 },
      ...(options.archives === undefined ? {} : { archives: options.archives }),
      // To verify an image takes emulated guests half an hour.
      onlyVerified: false,
      registries: lab.registry ? [{ host: lab.registry.host, caFile: lab.registry.caFile }] : [],
    },
    serena: {
      transports: options.transports ?? ['streamable-http', 'sse'],
      projects: options.projects ?? [{ name: 'playground' }],
      memoryMiB: 1536,
      users: [{ name: 'demo', password: { kind: 'file', path: `${secretsFolder}/users/demo` } }],
    },
    ssh: { projectKeys: [...(options.projectKeys ?? [])] },
    groups:
      options.layout === 'one-vm'
        ? { all: group(['serena', 'logging'], 0) }
        : { serena: group(['serena'], 0), logging: group(['logging'], 1) },
  }
}

/** Private key, below the site folder, of the person who works on this site's projects over SSH. */
export const projectsKeyFile = `${secretsFolder}/ssh/projects_key`

/**
 * Writes it as a site folder, with the lab's CA pinned, as `golden setup` would after a look at the fingerprint, and
 * with a key for work on the projects.
 */
export async function writeLabSite(folder: string, site: SiteInput, lab: LabEndpoint): Promise<void> {
  const key = join(folder, projectsKeyFile)
  await mkdir(dirname(key), { recursive: true, mode: 0o700 })
  if (!existsSync(key)) {
    const made = generateSshKey('lab')
    await writeSecret(key, made.privateKey)
    await writeFile(`${key}.pub`, made.publicKey)
  }
  const projectKeys = [...(site.ssh?.projectKeys ?? []), (await readFile(`${key}.pub`, 'utf8')).trim()]
  await writeFile(
    join(folder, 'site.ts'),
    `import { defineSite } from 'serena-golden'\n\nexport default defineSite(${JSON.stringify({ ...site, ssh: { ...site.ssh, projectKeys } }, null, 2)})\n`,
  )
  await copyFile(lab.caFile, join(folder, secretFiles.proxmoxCa))
}

/** An empty disk as base, for fake guests and for labs without images: a qcow2 header of 2 GiB (qcow2 specification, version 3). */
export async function emptyBase(file: string): Promise<{ file: string; sha256: string }> {
  const cluster = 1 << 16
  const image = Buffer.alloc(cluster * 4)
  image.write('QFI\xfb', 0, 'latin1')
  image.writeUInt32BE(3, 4)
  image.writeUInt32BE(16, 20) // cluster bits
  image.writeBigUInt64BE(2n << 30n, 24) // virtual size
  image.writeUInt32BE(4, 36) // L1 entries: 512 MiB each
  image.writeBigUInt64BE(BigInt(cluster * 3), 40) // L1 table
  image.writeBigUInt64BE(BigInt(cluster), 48) // refcount table
  image.writeUInt32BE(1, 56)
  image.writeUInt32BE(4, 96) // refcounts of 16 bits
  image.writeUInt32BE(104, 100) // header length
  image.writeBigUInt64BE(BigInt(cluster * 2), cluster) // first refcount block
  for (let used = 0; used < 4; used++) image.writeUInt16BE(1, cluster * 2 + used * 2)
  await writeFile(file, image)
  return { file, sha256: createHash('sha256').update(image).digest('hex') }
}
