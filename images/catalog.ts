/** Reads what is in the site's pool on the Proxmox host: images and bases. */
import type { Proxmox } from '../proxmox/client.ts'
import type { Site } from '../stacks/site.ts'
import { channelOf, goldenTag, revokedTag, splitTags, verifiedTag, type Channel } from './channels.ts'
import { parseRecord, type BaseRecord, type TemplateRecord } from './record.ts'

export interface Image {
  readonly vmid: number
  readonly name: string
  readonly node: string
  readonly record: TemplateRecord
  readonly channel: Channel | undefined
  readonly verified: boolean
  readonly revoked: boolean
}

/** A VM or template of the pool with a VMID of the site's template range, as Proxmox has it. */
export interface RangeVm {
  readonly vmid: number
  readonly node: string
  readonly config: VmConfig
}

export interface VmConfig {
  readonly name?: string
  readonly description?: string
  readonly tags?: string
  readonly template?: number
  readonly lock?: string
  /** Proxmox's checksum of all of it. */
  readonly digest?: string
  readonly [key: string]: unknown
}

export interface Ignored {
  readonly vmid: number
  readonly name: string
  readonly reason: string
}

interface Resource {
  readonly vmid: number
  readonly type: string
  readonly node: string
  readonly pool?: string
}

/**
 * Everything of the pool in the template range. `cluster/resources` tells names and the template flag up to
 * 10 s late, so only who is there, and in which pool, is taken from it, and the rest from each VM's configuration.
 */
export async function listRange(proxmox: Proxmox, site: Site): Promise<RangeVm[]> {
  const { pool, templates } = site.proxmox
  const resources = await proxmox.get<Resource[]>('/cluster/resources', { type: 'vm' })
  const found: RangeVm[] = []
  for (const one of resources) {
    if (one.type !== 'qemu' || one.pool !== pool || one.vmid < templates.first || one.vmid > templates.last) continue
    try {
      const config = await proxmox.get<VmConfig>(`/nodes/${one.node}/qemu/${one.vmid}/config`)
      found.push({ vmid: one.vmid, node: one.node, config })
    } catch (error) {
      // It was there a moment ago (a clone that failed, a template that somebody removes).
      if (!/does not exist/.test(error instanceof Error ? error.message : '')) throw error
    }
  }
  return found.sort((a, b) => a.vmid - b.vmid)
}

/** The images, newest first, and what else is there with the reason why it is none. */
export function sortRange(range: readonly RangeVm[]): { readonly images: readonly Image[]; readonly bases: readonly { vmid: number; name: string; node: string; record: BaseRecord }[]; readonly ignored: readonly Ignored[] } {
  const images: Image[] = []
  const bases: { vmid: number; name: string; node: string; record: BaseRecord }[] = []
  const ignored: Ignored[] = []
  for (const { vmid, node, config } of range) {
    const name = config.name ?? `VM ${vmid}`
    const ignore = (reason: string): void => { ignored.push({ vmid, name, reason }) }
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
      else bases.push({ vmid, name, node, record: parsed.record })
    } else if (parsed.record.unfinished) {
      ignore('is an image that was never finished')
    } else if (!tags.includes(goldenTag)) {
      ignore(`has no tag ${goldenTag}`)
    } else {
      images.push({ vmid, name, node, record: parsed.record, channel: channelOf(tags), verified: tags.includes(verifiedTag), revoked: tags.includes(revokedTag) })
    }
  }
  images.sort((a, b) => (a.record.built < b.record.built ? 1 : -1))
  return { images, bases, ignored }
}

/** The site's images, newest first. */
export async function listImages(proxmox: Proxmox, site: Site): Promise<{ readonly images: readonly Image[]; readonly ignored: readonly Ignored[] }> {
  const { images, ignored } = sortRange(await listRange(proxmox, site))
  return { images, ignored }
}
