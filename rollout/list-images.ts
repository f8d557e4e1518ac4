/** `images`: what there is, how far each has come, and who uses it. Only looks. */
import { Failure } from '../core/failure.ts'
import { ageText, sizeText } from '../core/quantity.ts'
import { elsewhere, listImages, templateNamed, type Image, type Sorted } from '../images/catalog.ts'
import { newestFit, type Channel } from '../images/channels.ts'
import { seedForm } from '../images/contract/seed.ts'
import { diffImages, type DiffSide, type ImageDiff } from '../images/diff.ts'
import { readManifest } from '../images/manifest.ts'
import { requireTrusted } from '../images/trust.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { readPins } from '../releases/pins.ts'
import type { Site } from '../settings/site.ts'
import { diskSizes } from './disk-sizes.ts'
import { listUsers, useText, usesOf, type ImageUse, type Users } from './image-uses.ts'

export interface ListedImage {
  readonly vmid: number
  readonly name: string
  readonly node: string
  readonly fingerprint: string
  /** ISO 8601. */
  readonly built: string
  readonly ageMinutes: number
  /** Null: in none, so that nobody takes it by itself. */
  readonly channel: Channel | null
  readonly verification: Image['verification']
  /** Whether a deployment would take its word; null: the site asks for no signatures. */
  readonly signature: Trust | null
  readonly revoked: boolean
  /** Why, as far as somebody has said. */
  readonly revokedFor: string | null
  /** Of its disk; null: Proxmox does not say. */
  readonly bytes: number | null
  readonly uses: readonly ImageUse[]
  /** A first deployment or a rollout takes it. */
  readonly next: boolean
  /** Why this site can make no clones of it. */
  readonly elsewhere: string | null
}

/** @property by as `allowed-signers` calls who signed; null: nobody whom the site trusts has signed what is there */
export interface Trust {
  readonly by: string | null
  /** The code and the sentence of what a deployment would be refused with. */
  readonly problem: { readonly code: string; readonly message: string } | null
}

export interface ListedBase {
  readonly vmid: number
  readonly name: string
  readonly node: string
  readonly os: string
  readonly built: string
  readonly revoked: boolean
  readonly revokedFor: string | null
  readonly bytes: number | null
}

export interface ImageList {
  readonly schema: 1
  readonly images: readonly ListedImage[]
  readonly bases: readonly ListedBase[]
  readonly ignored: Sorted['ignored']
}

type Looking = { readonly site: Site; readonly folder: string; readonly proxmox: Proxmox }

export async function readImages({ site, folder, proxmox }: Looking): Promise<ImageList> {
  const sorted = await listImages(proxmox, site)
  const users = await listUsers(proxmox, site, await readPins(folder))
  const sizes = await diskSizes(proxmox, [...sorted.images, ...sorted.bases])
  const trust = new Map<Image, Trust>()
  if (site.image.signed) for (const image of sorted.images) trust.set(image, await trustIn({ site, folder, proxmox }, image))
  return describeImages(site, sorted, users, { sizes, trust, now: proxmox.now() })
}

async function trustIn(trusting: Looking, image: Image): Promise<Trust> {
  try {
    return { by: await requireTrusted(trusting, image), problem: null }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return { by: null, problem: { code: error.code, message: error.message } }
  }
}

export interface ImageFacts {
  /** In bytes, by what Proxmox calls the disk. */
  readonly sizes: ReadonlyMap<string, number>
  readonly trust: ReadonlyMap<Image, Trust>
  /** By Proxmox's clock. */
  readonly now: Date
}

/** Pure. */
export function describeImages(site: Site, sorted: Sorted, users: Users, { sizes, trust, now }: ImageFacts): ImageList {
  const usable = sorted.images.filter((image) => elsewhere(site, image) === undefined && (image.record.seed ?? 1) === seedForm)
  const next = newestFit(site.image, usable)
  const bytesOf = (volume: string | undefined): number | null => sizes.get(volume ?? '') ?? null
  return {
    schema: 1,
    images: sorted.images.map((image) => ({
      vmid: image.vmid,
      name: image.name,
      node: image.node,
      fingerprint: image.record.fingerprint,
      built: image.record.built,
      ageMinutes: Math.max(0, Math.round((now.getTime() - Date.parse(image.record.built)) / 60_000)),
      channel: image.channel ?? null,
      verification: image.verification,
      signature: trust.get(image) ?? null,
      revoked: image.revoked,
      revokedFor: image.revokedFor ?? null,
      bytes: bytesOf(image.volume),
      uses: usesOf(image, users),
      next: image === next,
      elsewhere: elsewhere(site, image) ?? null,
    })),
    bases: sorted.bases.map(({ vmid, name, node, volume, record, revoked, revokedFor }) => ({
      vmid,
      name,
      node,
      os: record.base.os,
      built: record.built,
      revoked,
      revokedFor: revokedFor ?? null,
      bytes: bytesOf(volume),
    })),
    ignored: sorted.ignored,
  }
}

const verificationText: Readonly<Record<Image['verification'], string>> = {
  passed: 'verified',
  failed: 'verification FAILED',
  none: 'not verified',
}

const signatureText = ({ by, problem }: Trust): string =>
  by !== null ? `signed by ${by}` : problem?.code === 'image-unsigned' ? 'NOT SIGNED' : `NOT TRUSTED (${problem?.code ?? ''})`

const revokedText = ({ revoked, revokedFor }: Pick<ListedImage, 'revoked' | 'revokedFor'>): string[] =>
  revoked ? [`REVOKED${revokedFor === null ? '' : `: ${revokedFor}`}`] : []

/** For people: a line each, and one below for who uses it. */
export function imageLines({ images, bases, ignored }: ImageList): string[] {
  if (images.length + bases.length + ignored.length === 0) return ['There is no image yet: run "npx golden bake".']
  const size = (bytes: number | null): string[] => (bytes === null ? [] : [sizeText(bytes)])
  return [
    ...images.flatMap((image) => [
      [
        `${image.name} (${image.vmid})`,
        `${ageText(image.ageMinutes)} old`,
        image.channel ?? 'in no channel',
        verificationText[image.verification],
        ...(image.signature === null ? [] : [signatureText(image.signature)]),
        ...size(image.bytes),
        ...revokedText(image),
        ...(image.next ? ['the next deployment takes it'] : []),
        ...(image.elsewhere === null ? [] : [image.elsewhere]),
      ].join(', '),
      ...(image.uses.length === 0 ? [] : [`  used by ${image.uses.map(useText).join(', ')}`]),
    ]),
    ...bases.map((base) =>
      [
        `base ${base.name} (${base.vmid})`,
        base.os,
        `imported ${base.built.slice(0, 10)}`,
        ...size(base.bytes),
        ...revokedText({ ...base }),
      ].join(', '),
    ),
    ...ignored.map(({ vmid, name, reason }) => `not counted: ${name} (${vmid}) ${reason}`),
  ]
}

/** @throws Failure `image-unknown` */
export async function compareImages({ site, folder, proxmox }: Looking, from: string, to: string): Promise<ImageDiff> {
  const { images } = await listImages(proxmox, site)
  const pair = [from, to].map((name) => templateNamed(site, images, name))
  const sizes = await diskSizes(proxmox, pair)
  const [a, b] = await Promise.all(
    pair.map(
      async (image): Promise<DiffSide> => ({
        image,
        manifest:
          image.record.manifest === undefined
            ? { ok: false, problem: 'was never made: it is an image of an earlier version' }
            : await readManifest(folder, image.name, image.record.manifest),
        diskBytes: sizes.get(image.volume ?? ''),
      }),
    ),
  )
  if (a === undefined || b === undefined) throw new Error('two images have two sides')
  return diffImages(a, b)
}
