/** Names of what a bake makes on the Proxmox host. What has none of these names is never touched. */
import { short } from '../images/fingerprint.ts'
import type { Site } from '../stacks/site.ts'

export const imageName = (site: Site, fingerprint: string): string => `golden-${site.name}-${short(fingerprint)}`
export const baseName = (site: Site, fingerprint: string): string => `golden-base-${site.name}-${short(fingerprint)}`
export const buildName = (site: Site, fingerprint: string): string => `golden-build-${site.name}-${short(fingerprint)}`
export const seedName = (site: Site, run: string): string => `golden-build-${site.name}-${run}.iso`
/** PVE takes `.qcow2` for imports, not `.img`, whatever the file is called where it comes from. */
export const importName = (site: Site, fingerprint: string): string => `golden-base-${site.name}-${short(fingerprint)}.qcow2`

const hex = '[0-9a-f]{12}'
export const isImageName = (site: Site, name: string): boolean => new RegExp(`^golden-${site.name}-${hex}$`).test(name)
export const isBaseName = (site: Site, name: string): boolean => new RegExp(`^golden-base-${site.name}-${hex}$`).test(name)
export const isBuildName = (site: Site, name: string): boolean => new RegExp(`^golden-build-${site.name}-${hex}$`).test(name)
export const isSeedName = (site: Site, name: string): boolean => new RegExp(`^golden-build-${site.name}-${hex}\\.iso$`).test(name)
export const isImportName = (site: Site, name: string): boolean => new RegExp(`^golden-base-${site.name}-${hex}\\.qcow2$`).test(name)
