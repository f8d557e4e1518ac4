/** `images diff A B`: what one image has and another has not. Pure. */
import { sizeText } from '../core/quantity.ts'
import type { Image } from './catalog.ts'
import type { FoundManifest, Manifest } from './manifest.ts'

export interface Change {
  readonly name: string
  /** Null: it is not in that image. */
  readonly from: string | null
  readonly to: string | null
}

/** In bytes; null where nobody knows. */
export interface SizeChange {
  readonly what: string
  readonly from: number | null
  readonly to: number | null
}

export interface ImageDiff {
  readonly from: Side
  readonly to: Side
  readonly base: readonly Change[]
  readonly containers: readonly Change[]
  /** Null, here and below: a manifest is missing, and `unknown` says which. */
  readonly packages: readonly Change[] | null
  readonly files: readonly Change[] | null
  readonly sizes: readonly SizeChange[]
  readonly unknown: readonly string[]
}

type Side = Pick<Image, 'vmid' | 'name'> & { readonly fingerprint: string; readonly built: string }

export interface DiffSide {
  readonly image: Image
  readonly manifest: FoundManifest
  /** Of its disk, in bytes, if that is known. */
  readonly diskBytes?: number | undefined
}

function changes(from: Readonly<Record<string, string | undefined>>, to: Readonly<Record<string, string | undefined>>): Change[] {
  return [...new Set([...Object.keys(from), ...Object.keys(to)])]
    .sort()
    .map((name) => ({ name, from: from[name] ?? null, to: to[name] ?? null }))
    .filter((change) => change.from !== change.to)
}

const sideOf = ({ image: { vmid, name, record } }: DiffSide): Side => ({ vmid, name, fingerprint: record.fingerprint, built: record.built })

export function diffImages(from: DiffSide, to: DiffSide): ImageDiff {
  const known = from.manifest.ok && to.manifest.ok ? { from: from.manifest.manifest, to: to.manifest.manifest } : undefined
  const manifests = [from, to].map(({ manifest }) => (manifest.ok ? manifest.manifest : undefined))
  const size = (what: string, of: (manifest: Manifest) => number | undefined): SizeChange => {
    const [a, b] = manifests.map((manifest) => (manifest === undefined ? undefined : of(manifest)))
    return { what, from: a ?? null, to: b ?? null }
  }
  const services = [...new Set(manifests.flatMap((manifest) => Object.keys(manifest?.containers ?? {})))].sort()
  const sizes: SizeChange[] = [
    size('packages', ({ packagesBytes }) => packagesBytes),
    ...services.map((name) => size(`container ${name}`, ({ containers }) => containers[name as keyof typeof containers]?.bytes)),
    { what: 'disk', from: from.diskBytes ?? null, to: to.diskBytes ?? null },
  ]
  return {
    from: sideOf(from),
    to: sideOf(to),
    base: changes(from.image.record.base, to.image.record.base),
    containers: changes(from.image.record.services, to.image.record.services),
    packages: known === undefined ? null : changes(known.from.packages, known.to.packages),
    files: known === undefined ? null : changes(filesOf(known.from), filesOf(known.to)),
    sizes: sizes.filter((one) => one.from !== one.to),
    unknown: [from, to].flatMap(({ image, manifest }) => (manifest.ok ? [] : [`${image.name}: its manifest ${manifest.problem}`])),
  }
}

/** The language servers are one entry: their digest. */
const filesOf = ({ files, languageServers }: Manifest): Readonly<Record<string, string | undefined>> =>
  languageServers === undefined ? files : { ...files, 'opt/golden/language-servers': languageServers }

/** For people: a line each. */
export function diffLines(diff: ImageDiff): string[] {
  const { from, to, base, containers, packages, files, sizes, unknown } = diff
  const list = (title: string, all: readonly Change[] | null, show: (value: string) => string): string[] =>
    all === null || all.length === 0
      ? []
      : [
          `${title}:`,
          ...all.map(({ name, from: a, to: b }) =>
            a === null ? `  + ${name} ${show(b ?? '')}` : b === null ? `  - ${name} ${show(a)}` : `  ~ ${name} ${show(a)} → ${show(b)}`,
          ),
        ]
  const lines = [
    ...list('base', base, (value) => value.slice(0, 19)),
    ...list('packages', packages, (value) => value),
    ...list('containers', containers, digestText),
    ...list('files', files, (value) => value.split(' ').at(-1)?.slice(0, 12) ?? ''),
    ...(sizes.length === 0 ? [] : ['sizes:', ...sizes.map(sizeLine)]),
  ]
  const isAll = packages !== null && files !== null
  return [
    `${from.name} (${from.vmid}) → ${to.name} (${to.vmid})`,
    ...(lines.length === 0 ? [isAll ? 'no difference' : 'no difference in base and containers'] : lines),
    ...unknown.map((line) => `unknown: packages and files, because ${line}`),
  ]
}

function sizeLine({ what, from, to }: SizeChange): string {
  const [a, b] = [from, to].map((bytes) => (bytes === null ? 'none, or unknown' : sizeText(bytes)))
  const difference = from === null || to === null ? '' : ` (${to > from ? '+' : '-'}${sizeText(Math.abs(to - from))})`
  return `  ${what} ${a} → ${b}${difference}`
}

/** `registry/name@sha256:0123456789ab…` */
const digestText = (reference: string): string => reference.replace(/(sha256:[0-9a-f]{12})[0-9a-f]+$/, '$1…')
