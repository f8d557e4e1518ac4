/** What a lock of this site would stand on now: from site.ts and from this version of the project. */
import { acmeOf, type Site } from '../settings/site.ts'
import { archivesOf } from './archive/archives.ts'
import { baseOf } from './base-image.ts'
import { languageServerVersions } from './language-servers/stage.ts'
import type { LockGround } from './lock-outdated.ts'
import { askedOf, readPackages } from './packages.ts'

/** @param site with the locked base. @throws Failure `base-not-locked`, `archive-key-unusable` */
export async function groundOf(site: Site, folder: string): Promise<LockGround> {
  const base = baseOf(site)
  const [archives, packages, languageServers] = await Promise.all([archivesOf(site, folder), readPackages(), languageServerVersions()])
  return { base, archives, asked: askedOf(packages, base.os), languageServers, acme: acmeOf(site.public) !== undefined }
}
