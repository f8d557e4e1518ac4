/** Reads what is in the site's pool on the Proxmox host: images and bases. */
import type { Proxmox } from '../proxmox/client.ts'
import { listGuests } from '../proxmox/cluster.ts'
import { isVmMissing } from '../proxmox/conditions.ts'
import { onOnlineNodes } from '../proxmox/online.ts'
import { vmAt, type VmConfig } from '../proxmox/vm.ts'
import type { Site } from '../settings/site.ts'
import { channelOf, goldenTag, revokedTag, splitTags, verifiedTag, type Channel } from './channels.ts'
import { parseRecord, type BaseRecord, type TemplateRecord } from './record.ts'

export interface Image {
  readonly vmid: number
  readonly name: string
  readonly node: string
  /** Where its disk is; undefined when its configuration does not say. */
  readonly storage?: string | undefined
  readonly record: TemplateRecord
  readonly channel: Channel | undefined
  readonly verified: boolean
  readonly revoked: boolean
}

export interface Base {
  readonly vmid: number
  readonly name: string
  readonly node: string
  readonly storage: string | undefined
  readonly record: BaseRecord
}

/** A VM or template of the pool with a VMID of the site's template range, as Proxmox has it. */
export interface RangeVm {
  readonly vmid: number
  readonly node: string
  readonly config: VmConfig
}

export interface Ignored {
  readonly vmid: number
  readonly name: string
  readonly reason: string
}

/** The storage of a VM's root disk. */
export const storageOf = (config: VmConfig): string | undefined => /^([^:,]+):/.exec(String(config.scsi0 ?? ''))?.[1]

/** Why clones of this template can't be made where the site has its VMs, for people; undefined: they can. */
export function elsewhere(
  site: Site,
  { node, storage }: { readonly node: string; readonly storage?: string | undefined },
): string | undefined {
  const { proxmox } = site
  if (node !== proxmox.node) return `on node ${node}, and proxmox.node is ${proxmox.node}`
  if (storage !== undefined && storage !== proxmox.storage.disks)
    return `on storage ${storage}, and proxmox.storage.disks is ${proxmox.storage.disks}`
  return undefined
}

/** How to have it after all, without baking. */
export const bringHere = (
  site: Site,
  { vmid, node, storage }: { readonly vmid: number; readonly node: string; readonly storage?: string | undefined },
): string =>
  node !== site.proxmox.node
    ? `migrate it ("qm migrate ${vmid} ${site.proxmox.node}" on node ${node}), or set proxmox.node to ${node}`
    : `move its disk ("qm disk move ${vmid} scsi0 ${site.proxmox.storage.disks} --delete 1" on node ${node}), or set proxmox.storage.disks to ${storage ?? ''}`

/**
 * Everything of the pool in the template range. `cluster/resources` tells names and the template flag up to
 * 10 s late, so only who is there, and in which pool, is taken from it, and the rest from each VM's configuration.
 */
export async function listRange(proxmox: Proxmox, site: Site): Promise<RangeVm[]> {
  const { pool, templates } = site.proxmox
  const resources = await listGuests(proxmox)
  const inRange = resources.filter(
    (one) => one.type === 'qemu' && one.pool === pool && one.vmid >= templates.first && one.vmid <= templates.last,
  )
  const found: RangeVm[] = []
  // What is on a node that is down is of no use to this site's node.
  for (const one of await onOnlineNodes(proxmox, site.proxmox.node, inRange)) {
    try {
      const config = await vmAt(proxmox, one.node, one.vmid).config()
      found.push({ vmid: one.vmid, node: one.node, config })
    } catch (error) {
      // It was there a moment ago (a clone that failed, a template that somebody removes).
      if (!isVmMissing(error)) throw error
    }
  }
  return found.sort((a, b) => a.vmid - b.vmid)
}

/** The images, newest first, and what else is there with the reason why it is none. */
export function sortRange(range: readonly RangeVm[]): {
  readonly images: readonly Image[]
  readonly bases: readonly Base[]
  readonly ignored: readonly Ignored[]
} {
  const images: Image[] = []
  const bases: Base[] = []
  const ignored: Ignored[] = []
  for (const { vmid, node, config } of range) {
    const name = config.name ?? `VM ${vmid}`
    const ignore = (reason: string): void => {
      ignored.push({ vmid, name, reason })
    }
    if (Number(config.template ?? 0) !== 1) {
      ignore('is no template')
      continue
    }
    const parsed = parseRecord(config.description)
    if (!parsed.ok) {
      ignore(parsed.reason)
      continue
    }
    const tags = splitTags(config.tags)
    if (parsed.record.kind === 'base') {
      if (parsed.record.unfinished) ignore('is a base that was never finished')
      else bases.push({ vmid, name, node, storage: storageOf(config), record: parsed.record })
    } else if (parsed.record.unfinished) {
      ignore('is an image that was never finished')
    } else if (!tags.includes(goldenTag)) {
      ignore(`has no tag ${goldenTag}`)
    } else {
      images.push({
        vmid,
        name,
        node,
        storage: storageOf(config),
        record: parsed.record,
        channel: channelOf(tags),
        verified: tags.includes(verifiedTag),
        revoked: tags.includes(revokedTag),
      })
    }
  }
  images.sort((a, b) => (a.record.built < b.record.built ? 1 : -1))
  return { images, bases, ignored }
}

/** The site's images, newest first. */
export async function listImages(
  proxmox: Proxmox,
  site: Site,
): Promise<{ readonly images: readonly Image[]; readonly ignored: readonly Ignored[] }> {
  const { images, ignored } = sortRange(await listRange(proxmox, site))
  return { images, ignored }
}
