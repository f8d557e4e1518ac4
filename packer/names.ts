/** Names of what a bake makes on the Proxmox host. What has none of these names is never touched. */
import { randomBytes } from 'node:crypto'
import { short } from '../images/fingerprint.ts'
import type { Site } from '../settings/site.ts'

export const imageName = (site: Site, fingerprint: string): string => `golden-${site.name}-${short(fingerprint)}`
export const baseName = (site: Site, fingerprint: string): string => `golden-base-${site.name}-${short(fingerprint)}`
// These three are gone when the bake has ended, and bear its run: one bake never takes what is another's.
export const buildName = (site: Site, run: string): string => `golden-build-${site.name}-${run}`
export const seedName = (site: Site, run: string): string => `golden-build-${site.name}-${run}.iso`
/** PVE takes `.qcow2` for imports, not `.img`, whatever the file is called where it comes from. */
export const importName = (site: Site, run: string): string => `golden-base-${site.name}-${run}.qcow2`

const hex = '[0-9a-f]{12}'
export const isImageName = (site: Site, name: string): boolean => new RegExp(`^golden-${site.name}-${hex}$`).test(name)
export const isBaseName = (site: Site, name: string): boolean => new RegExp(`^golden-base-${site.name}-${hex}$`).test(name)
export const isBuildName = (site: Site, name: string): boolean => new RegExp(`^golden-build-${site.name}-${hex}$`).test(name)
export const isSeedName = (site: Site, name: string): boolean => new RegExp(`^golden-build-${site.name}-${hex}\\.iso$`).test(name)
export const isImportName = (site: Site, name: string): boolean => new RegExp(`^golden-base-${site.name}-${hex}\\.qcow2$`).test(name)

/** One bake: when it began, in seconds, and four random digits. */
export const newRun = (now: Date): string =>
  Math.floor(now.getTime() / 1000)
    .toString(16)
    .padStart(8, '0') + randomBytes(2).toString('hex')

/** The run in the name of a build VM, a seed or an import. */
export const runOf = (name: string): string => /-([0-9a-f]{12})(\.[a-z0-9]+)?$/.exec(name)?.[1] ?? ''

/** When a run began, in milliseconds. */
export const beginOf = (run: string): number => Number.parseInt(run.slice(0, 8), 16) * 1000
