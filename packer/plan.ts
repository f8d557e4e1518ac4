/** Decides what a bake has to do. Pure. */
import { canonical, sha256 } from '../images/canonical.ts'
import { sortRange, type Image, type RangeVm } from '../images/catalog.ts'
import { goldenTag, splitTags } from '../images/channels.ts'
import { parseRecord } from '../images/record.ts'
import type { Site } from '../stacks/site.ts'
import { baseName, imageName, isBaseName, isBuildName, isImageName } from './names.ts'

/** A VM that an earlier run left behind. */
export interface Leftover {
  readonly vmid: number
  readonly node: string
  readonly name: string
  readonly what: 'build VM' | 'unfinished base' | 'unfinished image'
}

export interface BasePlan {
  readonly fingerprint: string
  readonly name: string
  /** VMID of the base template that is there; undefined: it has to be made. */
  readonly vmid: number | undefined
}

export type BakePlan =
  /** An image with this fingerprint is there. */
  | { readonly kind: 'unchanged'; readonly image: Image }
  /** It is there but must not be used. */
  | { readonly kind: 'revoked'; readonly image: Image }
  /** Packer has finished it, but the run ended before it was tidied up and tagged. */
  | { readonly kind: 'finish'; readonly vmid: number; readonly node: string; readonly name: string }
  | { readonly kind: 'bake'; readonly base: BasePlan; readonly name: string; readonly leftovers: readonly Leftover[] }

/** What makes a base template: the same fingerprint, the same template. */
export const baseFingerprint = (site: Site): string =>
  sha256(canonical({ schema: 1, os: site.image.base.os, sha256: site.image.base.sha256, diskGiB: site.image.build.diskGiB, storage: site.proxmox.storage.disks }))

export function planBake(site: Site, fingerprint: string, range: readonly RangeVm[]): BakePlan {
  const { images, bases } = sortRange(range)
  const same = images.filter((image) => image.record.fingerprint === fingerprint)
  const usable = same.find((image) => !image.revoked)
  if (usable !== undefined) return { kind: 'unchanged', image: usable }
  if (same[0] !== undefined) return { kind: 'revoked', image: same[0] }
  const name = imageName(site, fingerprint)
  const untagged = range.find((vm) => isUntagged(site, vm) && vm.config.name === name)
  if (untagged !== undefined) return { kind: 'finish', vmid: untagged.vmid, node: untagged.node, name }
  const wanted = baseFingerprint(site)
  const base = bases.find((one) => one.record.fingerprint === wanted && one.name === baseName(site, wanted))
  return { kind: 'bake', base: { fingerprint: wanted, name: baseName(site, wanted), vmid: base?.vmid }, name, leftovers: findLeftovers(site, range) }
}

/** A template with our record but without our tag: what Packer leaves until tidy.ts has been there. */
function isUntagged(site: Site, vm: RangeVm): boolean {
  const parsed = parseRecord(vm.config.description)
  return Number(vm.config.template ?? 0) === 1 && isImageName(site, vm.config.name ?? '') &&
    parsed.ok && parsed.record.kind === 'image' && parsed.record.site === site.name && !splitTags(vm.config.tags).includes(goldenTag)
}

/** Packer's own description of a VM that it builds. */
const packersMark = 'Packer ephemeral build VM'

/**
 * VMs that an ended run of this site left behind. Each has to have both a name and a description that only a bake
 * gives: a VM of somebody else's is never among them.
 */
export function findLeftovers(site: Site, range: readonly RangeVm[]): Leftover[] {
  return range.flatMap((vm): Leftover[] => {
    const name = vm.config.name ?? ''
    const leftover = (what: Leftover['what']): Leftover[] => [{ vmid: vm.vmid, node: vm.node, name, what }]
    const parsed = parseRecord(vm.config.description)
    const ours = parsed.ok && parsed.record.site === site.name
    // Until Packer's first configuration a clone has the description of its base.
    if (isBuildName(site, name) && ((vm.config.description ?? '').trim() === packersMark || ours)) return leftover('build VM')
    if (isBaseName(site, name) && ours && parsed.record.kind === 'base' && (parsed.record.unfinished || Number(vm.config.template ?? 0) !== 1)) return leftover('unfinished base')
    if (isUntagged(site, vm)) return leftover('unfinished image')
    return []
  })
}
