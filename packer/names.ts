/** Names of what a bake or a verification makes on the Proxmox host. What has none of these names is never touched. */
import { randomBytes } from 'node:crypto'
import { short } from '../images/fingerprint.ts'
import type { Site } from '../settings/site.ts'

export const imageName = (site: Site, fingerprint: string): string => `golden-${site.name}-${short(fingerprint)}`
export const baseName = (site: Site, fingerprint: string): string => `golden-base-${site.name}-${short(fingerprint)}`
// These are gone when the run has ended, and bear it: one never takes what is another's.
export const buildName = (site: Site, run: string): string => `golden-build-${site.name}-${run}`
export const seedName = (site: Site, run: string): string => `golden-build-${site.name}-${run}.iso`
/** A clone of an image that is tried out, and its seed. @param at tells the clones of one run apart: a digit */
export const cloneName = (site: Site, run: string, at: number): string => `golden-verify-${site.name}-${at}-${run}`
export const cloneSeedName = (site: Site, run: string, at: number): string => `${cloneName(site, run, at)}.iso`
/** PVE takes `.qcow2` for imports, not `.img`, whatever the file is called where it comes from. */
export const importName = (site: Site, run: string): string => `golden-base-${site.name}-${run}.qcow2`

const hex = '[0-9a-f]{12}'
export const isImageName = (site: Site, name: string): boolean => new RegExp(`^golden-${site.name}-${hex}$`).test(name)
export const isBaseName = (site: Site, name: string): boolean => new RegExp(`^golden-base-${site.name}-${hex}$`).test(name)
export const isBuildName = (site: Site, name: string): boolean => new RegExp(`^golden-build-${site.name}-${hex}$`).test(name)
export const isCloneName = (site: Site, name: string): boolean => new RegExp(`^golden-verify-${site.name}-\\d-${hex}$`).test(name)
export const isSeedName = (site: Site, name: string): boolean => {
  const [, without = ''] = /^(.*)\.iso$/.exec(name) ?? []
  return isBuildName(site, without) || isCloneName(site, without)
}
export const isImportName = (site: Site, name: string): boolean => new RegExp(`^golden-base-${site.name}-${hex}\\.qcow2$`).test(name)

/** One run: when it began, in seconds, and four random digits. */
export const newRun = (now: Date): string =>
  Math.floor(now.getTime() / 1000)
    .toString(16)
    .padStart(8, '0') + randomBytes(2).toString('hex')

/** The run in the name of a build VM, a clone, a seed or an import. */
export const runOf = (name: string): string => /-([0-9a-f]{12})(\.[a-z0-9]+)?$/.exec(name)?.[1] ?? ''

/** When a run began, in milliseconds. */
export const beginOf = (run: string): number => Number.parseInt(run.slice(0, 8), 16) * 1000

/** What a clone's notes say, by which it is known together with its name. */
export const cloneNotes = (site: Site, image: string, roles: string): string =>
  `Clone of image ${image} for ${roles}. ${markOf(site)} removes it when it has tried it out; change nothing by hand.`
const markOf = (site: Site): string => `golden verify of ${site.name} (serena-golden)`
export const isCloneNotes = (site: Site, notes: string): boolean => notes.startsWith('Clone of image ') && notes.includes(markOf(site))
