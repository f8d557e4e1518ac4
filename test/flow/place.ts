/** A lab with fake guests, a user's computer, and a site folder of that user for that lab. */
import { readdirSync } from 'node:fs'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createFakeDriver, type FakeDriver } from '../../lab/compute/fake/driver.ts'
import { startLab, type Lab } from '../../lab/index.ts'
import type { Recorded } from '../../lab/record.ts'
import { connect, type Proxmox } from '../../proxmox/client.ts'
import { guestContents } from '../../demo/guest-contents.ts'
import { emptyBase, labSite, type LabSiteOptions } from '../../demo/lab-site.ts'
import type { SiteInput } from '../../settings/site.ts'
import { testLock } from '../set-up.ts'
import { userComputer, type Computer, type Ended, type Running } from './computer.ts'

/** The parts of a site that tests change are plain data here. */
type Mutable<T> = T extends object ? { -readonly [Key in keyof T]: Mutable<T[Key]> } : T
export type SiteDraft = Mutable<SiteInput>

export interface SiteFolder {
  readonly folder: string
  readonly site: SiteInput
  /** Changes the site file, as its owner would with an editor. */
  edit(change: (site: SiteDraft) => void): Promise<void>
  /** `golden VERB … --json` for this site. */
  golden(...args: string[]): Promise<Ended>
  /** The same for what has to succeed: its document. */
  done<T = Record<string, unknown>>(...args: string[]): Promise<T>
  start(...args: string[]): Running
  /** `golden setup`, with the host's certificate trusted. */
  prepare(): Promise<void>
  /** What the site's own token may do: a connection with it, as any program could make one. */
  token(): Promise<Proxmox>
  /** A copy of this folder with something changed. */
  copy(name: string, change?: (site: SiteDraft) => void): Promise<SiteFolder>
}

export interface Place {
  readonly computer: Computer
  readonly lab: Lab
  readonly driver: FakeDriver
  /** What guests were asked. */
  readonly recorded: Recorded[]
  /** With the lab's root token: for looking around, and for playing somebody else. */
  readonly root: Proxmox
  /** A site folder as it is after `golden init`, with a lock. */
  site(options?: Partial<LabSiteOptions>): Promise<SiteFolder>
  /** Stops the lab and starts it again. */
  restart(): Promise<void>
  inventory(): Promise<Inventory>
  close(): Promise<void>
}

/** What is on the lab's host and on the user's computer; two of them compare what a command left behind. */
export interface Inventory {
  readonly vms: readonly { vmid: number; name: string | undefined; status: string; template: boolean; pool: string | undefined }[]
  /** Of all storages: disks, ISO files, imports. */
  readonly volumes: readonly string[]
  readonly temporary: readonly string[]
  readonly processes: readonly string[]
}

/** The list of VMs is behind, as on a real host, if not as far: only Packer's search for its base waits for it. */
const listingLagMs = 2000

/** The provider keeps this empty file, by which all its processes of a computer take turns. */
const providersLock = 'terraform-provider-proxmox-id-gen.lock'

export async function openPlace(): Promise<Place> {
  const computer = await userComputer()
  // On the lab's side, which is another computer in real life: root's, when this runs as root.
  const hostFolder = join(computer.folder, 'host')
  await mkdir(hostFolder, { mode: 0o700 })
  let driver: FakeDriver | undefined
  const recorded: Recorded[] = []
  const open = async (): Promise<Lab> =>
    startLab({
      stateDir: join(hostFolder, 'lab'),
      driver: 'fake',
      authDelayMs: 100,
      listingLagMs,
      record: (each) => recorded.push(each),
      createDriver: async (options) => (driver = await createFakeDriver({ ...options, contents: guestContents })),
    })
  let lab: Lab
  try {
    lab = await open()
  } catch (error) {
    await computer.close()
    throw error
  }
  const [id = '', secret = ''] = lab.connection.rootToken.split(/=(.*)/s)
  const asRoot = async (): Promise<Proxmox> =>
    connect({ url: lab.connection.apiUrl, caPem: await readFile(lab.connection.caFile, 'utf8'), auth: { id, secret } })
  let root = await asRoot()
  const base = await emptyBase(join(computer.folder, 'base.qcow2'))
  const place: Place = {
    computer,
    get lab() {
      return lab
    },
    get driver() {
      return driver as FakeDriver
    },
    get root() {
      return root
    },
    recorded,
    site: async (options = {}) => {
      const name = options.name ?? 'test'
      const input = labSite(lab.connection, { layout: 'two-vms', base, isoPath: join(hostFolder, `${name}-iso`), ...options, name })
      const site = siteFolder(place, join(computer.folder, 'sites', name), input)
      await site.edit(() => {})
      await mkdir(join(site.folder, 'secrets'), { recursive: true, mode: 0o700 })
      await writeFile(join(site.folder, 'images.lock.json'), JSON.stringify(testLock))
      await computer.give(join(computer.folder, 'sites'))
      await site.done('init')
      return site
    },
    restart: async () => {
      root.close()
      await lab.close()
      lab = await open()
      root = await asRoot()
    },
    inventory: async () => {
      // The cluster's list tells of pools; names and statuses are late there, as on a real host.
      const pools = new Map(
        (await root.get<{ vmid: number; pool?: string }[]>('/cluster/resources', { type: 'vm' })).map(({ vmid, pool }) => [vmid, pool]),
      )
      const vms = await root.get<{ vmid: number; name?: string; status: string; template?: number }[]>(`/nodes/${lab.connection.node}/qemu`)
      const storages = await root.get<{ storage: string }[]>('/storage')
      const volumes: string[] = []
      for (const { storage } of storages) {
        const content = await root.get<{ volid: string }[]>(`/nodes/${lab.connection.node}/storage/${storage}/content`)
        volumes.push(...content.map(({ volid }) => volid))
      }
      return {
        vms: vms
          .map((vm) => ({ vmid: vm.vmid, name: vm.name, status: vm.status, template: vm.template === 1, pool: pools.get(vm.vmid) }))
          .sort((a, b) => a.vmid - b.vmid),
        volumes: [...new Set(volumes)].sort(),
        temporary: readdirSync(computer.temporary)
          .filter((name) => name !== providersLock)
          .sort(),
        processes: computer.processes(),
      }
    },
    close: async () => {
      root.close()
      await lab.close()
      await computer.close()
    },
  }
  return place
}

function siteFolder(place: Place, folder: string, input: SiteInput): SiteFolder {
  const { computer } = place
  let current = input
  const env = { GOLDEN_SITE: folder }
  const site: SiteFolder = {
    folder,
    get site() {
      return current
    },
    edit: async (change) => {
      const draft = structuredClone(current) as SiteDraft
      change(draft)
      current = draft as SiteInput
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await writeFile(
        join(folder, 'site.ts'),
        `import { defineSite } from 'serena-golden'\n\nexport default defineSite(${JSON.stringify(current, null, 2)})\n`,
      )
      await computer.give(folder)
    },
    golden: (...args) => site.start(...args).ended,
    done: async <T>(...args: string[]) => {
      const ended = await site.golden(...args)
      if (ended.code !== 0) throw new Error(`golden ${args.join(' ')} ended with ${ended.code}:\n${ended.stderr}`)
      return ended.json<T>()
    },
    start: (...args) =>
      computer.start(join(computer.clone, 'scripts/golden'), [...args, '--json'], {
        env: { ...env, PROXMOX_ADMIN_PASSWORD: place.lab.connection.admin.password },
      }),
    prepare: async () => {
      const { error } = await site.golden('setup', '--admin', 'admin@pve')
      const fingerprint = /([0-9A-F]{2}:){31}[0-9A-F]{2}/.exec(error?.hint ?? '')?.[0] ?? ''
      await site.done('setup', '--admin', 'admin@pve', '--fingerprint', fingerprint)
    },
    token: async () => {
      const secret = (await readFile(join(folder, 'secrets/proxmox-token'), 'utf8')).trim()
      return connect({
        url: current.proxmox.url,
        caPem: await readFile(place.lab.connection.caFile, 'utf8'),
        auth: { id: current.proxmox.tokenId ?? '', secret },
      })
    },
    copy: async (name, change = () => {}) => {
      const other = siteFolder(place, join(computer.folder, 'sites', name), current)
      await other.edit(change)
      await mkdir(join(other.folder, 'secrets'), { recursive: true, mode: 0o700 })
      for (const file of ['images.lock.json', 'secrets/proxmox-token', 'secrets/proxmox-ca.pem']) {
        await copyFile(join(folder, file), join(other.folder, file)).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOENT') throw error
        })
      }
      await computer.give(other.folder)
      return other
    },
  }
  return site
}
