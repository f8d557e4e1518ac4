/** What a bake would do and why, for people. Pure. */
import type { Image } from '../images/catalog.ts'
import type { ImageInputs } from '../images/fingerprint.ts'
import type { Site } from '../settings/site.ts'
import type { BakePlan } from './plan.ts'

/** Which inputs are others than those of the newest image of this site: what its record tells of them. */
export type ChangedInput = 'base' | 'lock' | 'files'

export interface BakePreview {
  readonly fingerprint: string
  readonly plan: BakePlan
  /** Against this one; undefined: there is none yet. */
  readonly newest?: Pick<Image, 'vmid' | 'name'>
  readonly changed: readonly ChangedInput[]
}

export function previewBake(
  plan: BakePlan,
  { base, lock }: Pick<ImageInputs, 'base' | 'lock'>,
  fingerprint: string,
  images: readonly Image[],
): BakePreview {
  const [newest] = images.filter(({ revoked }) => !revoked).sort((a, b) => b.record.built.localeCompare(a.record.built))
  if (newest === undefined || plan.kind !== 'bake') return { fingerprint, plan, changed: [] }
  const { record, vmid, name } = newest
  const known: ChangedInput[] = [
    ...(record.base.sha256 === base.sha256 && record.base.os === base.os ? [] : (['base'] as const)),
    ...(record.lock === lock ? [] : (['lock'] as const)),
  ]
  // The same inputs elsewhere are no change.
  const changed = known.length > 0 || record.fingerprint === fingerprint ? known : (['files'] as const)
  return { fingerprint, plan, newest: { vmid, name }, changed }
}

const words: Readonly<Record<ChangedInput, string>> = {
  base: 'the base image',
  lock: 'images.lock.json (container images, the state of the archives)',
  files: "the project's files, what it installs, or the size of the disk",
}

/** A line each. */
export function bakeLines(site: Site, { fingerprint, plan, newest, changed }: BakePreview): string[] {
  const short = fingerprint.slice(0, 12)
  if (plan.kind === 'revoked')
    return [`refuse: the image of these inputs, ${plan.image.name} (${plan.image.vmid}), is revoked (fingerprint ${short})`]
  if (plan.kind === 'unchanged')
    return [`nothing to bake: ${plan.image.name} (${plan.image.vmid}) was baked from the same inputs (fingerprint ${short})`]
  const leftovers = plan.leftovers.map(
    ({ name, vmid, what }) => `look at ${name} (${vmid}), ${what} of another run: remove it if that has ended`,
  )
  if (plan.kind === 'finish') return [...leftovers, `finish ${plan.name} (${plan.vmid}), which an earlier run had baked`]
  const { cores, memoryMiB, address, diskGiB } = site.image.build
  return [
    ...leftovers,
    ...(plan.base.vmid === undefined
      ? [`make the base template ${plan.base.name} on storage ${site.proxmox.storage.disks} from ${site.image.base.os}, ${diskGiB} GiB`]
      : []),
    `bake ${plan.name} from ${plan.base.name}${plan.base.vmid === undefined ? '' : ` (${plan.base.vmid})`}: a VM on node ${site.proxmox.node} with ${cores} cores, ${memoryMiB} MiB and the address ${address.split('/')[0] ?? address} for the time of the bake`,
    newest === undefined
      ? '  there is no image yet'
      : changed.length === 0
        ? `  ${newest.name} (${newest.vmid}) has the same inputs, but can't be used from there`
        : `  changed since ${newest.name} (${newest.vmid}): ${changed.map((one) => words[one]).join('; ')}`,
  ]
}
