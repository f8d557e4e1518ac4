/** Decides what a bake has to do. Pure. */
import { canonical, sha256 } from '../core/canonical.ts'
import { splitTags } from '../images/channels.ts'
import { elsewhere, sortRange, storageOf, type Base, type Image, type RangeVm } from '../images/catalog.ts'
import { parseRecord, type Record } from '../images/record.ts'
import { doomedTag } from '../proxmox/doomed.ts'
import type { VmConfig } from '../proxmox/vm.ts'
import { packersMark } from '../proxmox/ours.ts'
import type { Site } from '../settings/site.ts'
import { baseDisk, baseVm } from './base-vm.ts'
import { baseName, beginOf, imageName, isBaseName, isBuildName, isCloneName, isCloneNotes, isImageName, runOf } from './names.ts'

/** A VM that a bake or a verification has made and is to remove or finish: an ended one left it, or it is at it now. */
export interface Leftover {
  readonly vmid: number
  readonly node: string
  readonly name: string
  readonly what: 'build VM' | 'unfinished base' | 'unfinished image' | 'clone'
  /** Which run made it; empty: unknown. */
  readonly run: string
  /** When that run began, in milliseconds. */
  readonly begin: number
  /** What Proxmox has locked it for. */
  readonly lock: string | undefined
}

export interface BasePlan {
  readonly fingerprint: string
  readonly name: string
  /** VMID of the base template that is there; undefined: it has to be made. */
  readonly vmid: number | undefined
  /** One of this name is on another node. Packer's plugin, which asks by name, could take that. */
  readonly elsewhere?: Base
}

export type BakePlan =
  /** An image with this fingerprint is there. */
  | { readonly kind: 'unchanged'; readonly image: Image; readonly leftovers: readonly Leftover[] }
  /** It is there but must not be used. */
  | { readonly kind: 'revoked'; readonly image: Image }
  /** Nothing is made from this base any more. */
  | { readonly kind: 'base-revoked'; readonly base: Base }
  /** Packer has finished it, but the run ended before it was tidied up and tagged. */
  | {
      readonly kind: 'finish'
      readonly vmid: number
      readonly node: string
      readonly name: string
      readonly leftovers: readonly Leftover[]
    }
  | {
      readonly kind: 'bake'
      readonly base: BasePlan
      readonly name: string
      /** Images of the same inputs of which the site can make no clones. */
      readonly elsewhere?: readonly Image[]
      readonly leftovers: readonly Leftover[]
    }

/** What makes a base template: the same fingerprint, the same template. */
export const baseFingerprint = (site: Site): string =>
  sha256(
    canonical({
      schema: 1,
      os: site.image.base.os,
      sha256: site.image.base.sha256,
      diskGiB: site.image.build.diskGiB,
      node: site.proxmox.node,
      storage: site.proxmox.storage.disks,
      vm: baseVm,
      disk: baseDisk,
    }),
  )

export function planBake(site: Site, fingerprint: string, range: readonly RangeVm[]): BakePlan {
  const { images, bases } = sortRange(range)
  const leftovers = findLeftovers(site, range)
  const same = images.filter((image) => image.record.fingerprint === fingerprint)
  const good = same.filter((image) => !image.revoked)
  const usable = good.find((image) => elsewhere(site, image) === undefined)
  if (usable !== undefined) return { kind: 'unchanged', image: usable, leftovers }
  if (good.length === 0 && same[0] !== undefined) return { kind: 'revoked', image: same[0] }
  const revokedBase = bases.find((base) => base.revoked && base.record.base.sha256 === site.image.base.sha256)
  if (revokedBase !== undefined) return { kind: 'base-revoked', base: revokedBase }
  const name = imageName(site, fingerprint)
  const isDoomed = (vmid: number): boolean => range.some((vm) => vm.vmid === vmid && splitTags(vm.config.tags).includes(doomedTag))
  const isHere = ({ vmid, node }: Leftover): boolean =>
    range.some((vm) => vm.vmid === vmid && elsewhere(site, { node, storage: storageOf(vm.config) }) === undefined)
  const unfinished = leftovers.find((one) => one.what === 'unfinished image' && one.name === name && !isDoomed(one.vmid) && isHere(one))
  if (unfinished !== undefined)
    return { kind: 'finish', vmid: unfinished.vmid, node: unfinished.node, name, leftovers: leftovers.filter((one) => one !== unfinished) }
  const wanted = baseFingerprint(site)
  const named = bases.filter((one) => one.record.fingerprint === wanted && one.name === baseName(site, wanted))
  const away = named.find((one) => elsewhere(site, one) !== undefined)
  const base: BasePlan = {
    fingerprint: wanted,
    name: baseName(site, wanted),
    vmid: named.find((one) => one !== away)?.vmid,
    ...(away === undefined ? {} : { elsewhere: away }),
  }
  return { kind: 'bake', base, name, ...(good.length === 0 ? {} : { elsewhere: good }), leftovers }
}

/** The record of a template of ours that Packer has made and tidy.ts has not finished. */
function unfinishedImage(site: Site, vm: RangeVm): Record | undefined {
  const parsed = parseRecord(vm.config.description)
  const found =
    Number(vm.config.template ?? 0) === 1 &&
    isImageName(site, vm.config.name ?? '') &&
    parsed.ok &&
    parsed.record.kind === 'image' &&
    parsed.record.site === site.name &&
    parsed.record.unfinished
  return found ? parsed.record : undefined
}

/**
 * VMs that bakes of this site have made and not finished, and clones that verifications have. Each has to have both a name
 * and a description that only such a run gives: a VM of somebody else's is never among them, nor a finished template, whatever its tags have become.
 */
export function findLeftovers(site: Site, range: readonly RangeVm[]): Leftover[] {
  return range.flatMap((vm): Leftover[] => {
    const {
      vmid,
      node,
      config: { name = '', description, lock },
    } = vm
    const parsed = parseRecord(description)
    const record = parsed.ok && parsed.record.site === site.name ? parsed.record : undefined
    // Until Packer's first configuration a clone has the description of its base.
    if (isBuildName(site, name) && ((description ?? '').trim() === packersMark || record !== undefined)) {
      return [{ vmid, node, name, what: 'build VM', run: runOf(name), begin: beginOf(runOf(name)), lock }]
    }
    if (isCloneName(site, name) && isCloneNotes(site, description ?? '') && Number(vm.config.template ?? 0) !== 1)
      return [{ vmid, node, name, what: 'clone', run: runOf(name), begin: beginOf(runOf(name)), lock }]
    const what = unfinishedImage(site, vm)
      ? 'unfinished image'
      : isBaseName(site, name) && record?.kind === 'base' && record.unfinished
        ? 'unfinished base'
        : undefined
    return what === undefined || record === undefined
      ? []
      : [{ vmid, node, name, what, run: record.run ?? '', begin: Date.parse(record.built), lock }]
  })
}

/** Whether the VM with this configuration is one of those that the given run has made. */
export const isOf =
  (site: Site, { vmid, node, run }: { readonly vmid: number; readonly node: string; readonly run: string }) =>
  (config: VmConfig): boolean =>
    findLeftovers(site, [{ vmid, node, config }])[0]?.run === run

/** In milliseconds: what began longer ago is nobody's. */
export const longestBake = 6 * 3_600_000

/** Whether a bake that began then may still be going on. Computers' clocks differ, so one may seem to begin later. */
export const mayGoOn = (begin: number, now: number): boolean => Math.abs(now - begin) < longestBake
