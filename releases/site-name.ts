/** That a site still has the name by which its groups were deployed. */
import { Failure } from '../core/failure.ts'
import { slotNames } from '../settings/names.ts'
import type { Site } from '../settings/site.ts'
import type { GroupPins } from './deployment.ts'

/** Stacks, VMs and depots have the site's name in theirs. @throws Failure `site-renamed` */
export function checkSiteName(site: Site, group: string, pins: GroupPins | undefined): void {
  const other = slotNames.flatMap((slot) => pins?.slots[slot] ?? []).find((release) => release.seed.site !== site.name)
  if (other === undefined) return
  throw new Failure(
    'site-renamed',
    `site.ts has the name "${site.name}", but group ${group} was deployed by the name "${other.seed.site}"`,
    `Put name: '${other.seed.site}' back into site.ts: VMs, depots and state have it in their names.`,
  )
}
