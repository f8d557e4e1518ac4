/** Makes clones of an image on the Proxmox host, and takes them away. */
import { renderIso } from '../core/formats/iso.ts'
import { Failure } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import { joinTags } from '../images/channels.ts'
import type { Image } from '../images/catalog.ts'
import { deleteFile, destroyVm } from '../packer/host.ts'
import { cloneNotes, cloneSeedName } from '../packer/names.ts'
import { isOf } from '../packer/plan.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { vmAt } from '../proxmox/vm.ts'
import type { Release } from '../releases/deployment.ts'
import { seedContents, type SeedSecrets } from '../releases/seed.ts'
import type { Role, Site } from '../settings/site.ts'
import { rolesText } from './plan.ts'

export const cloneTags = joinTags(['golden', 'golden-verify'])

/** One that is to be made, or was. */
export interface Clone {
  /** Its place among those of this run. */
  readonly at: number
  readonly group: string
  readonly roles: readonly Role[]
  readonly release: Release
}

/** Serena's containers in it: one for each transport. */
export const containersOf = ({ release: { seed } }: Pick<Clone, 'release'>): string[] =>
  (seed.serena?.transports ?? []).map((transport) => (transport === 'sse' ? 'serena_mcp_sse' : 'serena_mcp'))

export interface Cloning {
  readonly site: Site
  readonly proxmox: Proxmox
  readonly progress: Progress
  readonly signal: AbortSignal
  readonly run: string
  readonly image: Image
}

const cloneTimeoutMs = 1_800_000

/** Its seed goes to the storage of ISO files, with secrets that nothing else has. */
async function uploadCloneSeed({ site, proxmox, signal, run }: Cloning, { at, release }: Clone, secrets: SeedSecrets): Promise<void> {
  await proxmox.upload({
    node: site.proxmox.node,
    storage: site.proxmox.storage.iso,
    content: 'iso',
    filename: cloneSeedName(site, run, at),
    data: renderIso('cidata', await seedContents(release, secrets)),
    signal,
  })
}

/** From the image to a VM that is being started: with the hardware of a slot, and without its firewall in Proxmox, so that it is the guest's own that is tried. */
export async function makeClone(cloning: Cloning, clone: Clone, secrets: SeedSecrets): Promise<void> {
  const { site, proxmox, signal, image } = cloning
  const { vm } = clone.release
  const node = site.proxmox.node
  await uploadCloneSeed(cloning, clone, secrets)
  signal.throwIfAborted()
  const upid = await vmAt(proxmox, node, image.vmid).clone({
    vmid: vm.vmid,
    name: vm.name,
    description: cloneNotes(site, image.name, rolesText(clone.roles)),
    pool: vm.pool,
    full: vm.fullClone ?? false,
  })
  await proxmox.task(upid, { signal, stop: true, timeoutMs: cloneTimeoutMs })
  const made = vmAt(proxmox, node, vm.vmid)
  await made.change({
    tags: cloneTags,
    cores: vm.cores,
    memory: vm.memoryMiB,
    net0: `virtio=${vm.mac},bridge=${vm.bridge}${vm.vlan === undefined ? '' : `,tag=${vm.vlan}`}`,
    scsi13: `${vm.seed},media=cdrom`,
    onboot: false,
  })
  await proxmox.task(await made.start(), { signal })
}

/**
 * Takes away what there may be of a clone: its VM with all its disks, its seed.
 * @returns what could not be removed, for people, and why
 */
export async function removeClone({ site, proxmox, progress, run }: Omit<Cloning, 'image'>, { at, release }: Clone): Promise<string[]> {
  const { node, storage } = site.proxmox
  const { vmid, name } = release.vm
  const file = cloneSeedName(site, run, at)
  const left: string[] = []
  const attempt = async (what: string, remove: () => Promise<void>): Promise<void> => {
    await remove().catch((error: unknown) => {
      if (!(error instanceof Failure)) throw error
      progress.warn(`${what} could not be removed: ${error.message}`)
      left.push(what)
    })
  }
  await attempt(`VM ${vmid} (${name})`, () => destroyVm(proxmox, node, vmid, isOf(site, { vmid, node, run })))
  await attempt(`the file ${file} on storage ${storage.iso}`, () => deleteFile(proxmox, site, 'iso', file))
  return left
}
