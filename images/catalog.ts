/** Reads what is in the site's pool on the Proxmox host: images and bases. */
import { sideBySide } from '../core/side-by-side.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { listGuests } from '../proxmox/cluster.ts'
import { isVmMissing } from '../proxmox/conditions.ts'
import { onOnlineNodes } from '../proxmox/online.ts'
import { vmAt, type VmConfig } from '../proxmox/vm.ts'
import type { Site } from '../settings/site.ts'
import { Failure } from '../core/failure.ts'
import { doomedTag } from '../proxmox/doomed.ts'
import { channelOf, goldenTag, isNewer, revokedTag, splitTags, type Channel } from './channels.ts'
import { parseRecord, type BaseRecord, type Record, type TemplateRecord } from './record.ts'

interface Template {
  readonly vmid: number
  readonly name: string
  readonly node: string
  /** Where its disk is; undefined when its configuration does not say. */
  readonly storage?: string | undefined
  /** Its disk, as Proxmox calls it. */
  readonly volume?: string | undefined
  /** Proxmox's checksum of the configuration that all of this was read from. */
  readonly digest?: string | undefined
  /** Proxmox removes it for nobody. */
  readonly protected?: true
  /** By its record, by its tag, or because its base is. */
  readonly revoked: boolean
  /** Why, when and by whom, for people; undefined where nobody has said. */
  readonly revokedFor?: string | undefined
}

export interface Image extends Template {
  readonly record: TemplateRecord
  readonly channel: Channel | undefined
  readonly verification: 'passed' | 'failed' | 'none'
}

export interface Base extends Template {
  readonly record: BaseRecord
}

/** What is to be said of a revoked one, after its name. */
export const isRevokedText = ({ revokedFor }: Pick<Template, 'revokedFor'>): string =>
  `is revoked${revokedFor === undefined ? '' : `, because: ${revokedFor}`}`

/** One whose removal has begun, and has not ended. */
export interface Doomed extends Pick<Template, 'vmid' | 'name' | 'node' | 'volume' | 'digest'> {
  readonly record: Record
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

/** A VM's root disk, as Proxmox calls it. */
export const volumeOf = (config: VmConfig): string | undefined => /^([^:,]+:[^,]+)/.exec(String(config.scsi0 ?? ''))?.[1]

/** The storage of a VM's root disk. */
export const storageOf = (config: VmConfig): string | undefined => volumeOf(config)?.split(':')[0]

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
  // What is on a node that is down is of no use to this site's node.
  const found = await sideBySide(await onOnlineNodes(proxmox, site.proxmox.node, inRange), 4, async ({ vmid, node }) => {
    try {
      return { vmid, node, config: await vmAt(proxmox, node, vmid).config() }
    } catch (error) {
      // It was there a moment ago (a clone that failed, a template that somebody removes).
      if (isVmMissing(error)) return undefined
      throw error
    }
  })
  return found.filter((one) => one !== undefined).sort((a, b) => a.vmid - b.vmid)
}

export interface Sorted {
  /** The newest first. */
  readonly images: readonly Image[]
  readonly bases: readonly Base[]
  readonly doomed: readonly Doomed[]
  /** What else is there, with the reason why it is none of these. */
  readonly ignored: readonly Ignored[]
}

/** Pure. */
export function sortRange(range: readonly RangeVm[]): Sorted {
  const images: Image[] = []
  const bases: Base[] = []
  const doomed: Doomed[] = []
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
    const { record } = parsed
    const tags = splitTags(config.tags)
    const place = { vmid, name, node, volume: volumeOf(config), digest: config.digest }
    const template = {
      ...place,
      storage: storageOf(config),
      ...(Number(config.protection ?? 0) === 1 ? { protected: true as const } : {}),
      revoked: record.revoked !== undefined || tags.includes(revokedTag),
      revokedFor: record.revoked && `${record.revoked.reason} (${record.revoked.by}, ${record.revoked.at.slice(0, 10)})`,
    }
    if (record.unfinished) ignore(`is ${record.kind === 'base' ? 'a base' : 'an image'} that was never finished`)
    else if (tags.includes(doomedTag)) {
      ignore('is being removed')
      doomed.push({ ...place, record })
    } else if (record.kind === 'base') bases.push({ ...template, record })
    else if (!tags.includes(goldenTag)) ignore(`has no tag ${goldenTag}`)
    else {
      const { verify } = record
      const verification = verify === undefined ? 'none' : verify.passed ? 'passed' : 'failed'
      images.push({ ...template, record, channel: channelOf(tags, record), verification })
    }
  }
  images.sort((a, b) => (isNewer(a, b) ? -1 : 1))
  return { images: images.map((image) => withBase(image, bases)), bases, doomed, ignored }
}

/** An image of a base that is revoked is, too, whether or not anybody came to write that down. */
function withBase(image: Image, bases: readonly Base[]): Image {
  const base = image.revoked ? undefined : bases.find((one) => one.revoked && one.record.base.sha256 === image.record.base.sha256)
  if (base === undefined) return image
  return { ...image, revoked: true, revokedFor: `its base ${base.name} is${base.revokedFor === undefined ? '' : `: ${base.revokedFor}`}` }
}

/** What the site's template range holds. */
export const listImages = async (proxmox: Proxmox, site: Site): Promise<Sorted> => sortRange(await listRange(proxmox, site))

/** Of a fingerprint. What could be a VMID (999999999 at most) is one, or a mistyped one. */
const isPart = (name: string): boolean => name.length >= 4 && !/^\d{1,9}$/.test(name)

/**
 * The template that somebody has named: by its name, the end of it (a part of its fingerprint), or its VMID.
 * @throws Failure `image-unknown`
 */
export function templateNamed<T extends Pick<Template, 'vmid' | 'name'>>(site: Site, templates: readonly T[], name: string): T {
  const exact = templates.filter((one) => one.name === name || String(one.vmid) === name)
  const found = exact.length > 0 ? exact : templates.filter((one) => isPart(name) && one.name.endsWith(name))
  const [only, ...more] = found
  if (only !== undefined && more.length === 0) return only
  const list = (only === undefined ? templates : found).map((one) => `${one.name} (${one.vmid})`).join(', ')
  throw new Failure(
    'image-unknown',
    only === undefined
      ? `pool ${site.proxmox.pool} has no image ${name}`
      : `${found.length} images are called ${name}: say the VMID of one`,
    list === '' ? 'Run "npx golden bake".' : `There are: ${list}.`,
    only === undefined ? { unknown: { said: name, known: templates.map((one) => one.name) } } : {},
  )
}
