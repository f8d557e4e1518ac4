/** The site's storages on the node: what they are, and whether there is room for what comes next. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { sizeText } from '../core/quantity.ts'
import { elsewhere, type Sorted } from '../images/catalog.ts'
import type { StorageSetting } from '../proxmox/place.ts'
import { gib, lowSpace, needText, shortOfSpace, type SpaceNeed } from '../proxmox/space.ts'
import { kindOf } from '../proxmox/storage-kinds.ts'
import type { Deployment } from '../releases/deployment.ts'
import type { Site } from '../settings/site.ts'
import type { Check } from './check.ts'
import type { Facts } from './facts.ts'
import { bad, fine, ofError, warn, warnOf, type Outcome } from './line.ts'

const called: Readonly<Record<StorageSetting, string>> = { disks: 'disks of VMs', iso: 'seeds and imports' }

export const storageChecks: readonly Check[] = [
  ...(['disks', 'iso'] as const).map(
    (setting): Check => ({
      id: setting,
      section: 'Proxmox',
      looks: `the storage of ${called[setting]} is active, enabled for them, and of a kind that can hold them`,
      mends: `\`proxmox.storage.${setting}\`, or \`npx golden setup\``,
      needs: ['node', `rights-${setting}`],
      limit: 'api',
      async run(facts) {
        const { site } = await facts.site()
        const { status, problem, imports, note } = await facts.storage(setting)
        if (problem !== undefined) return ofError(problem)
        if (imports !== undefined) return { ...warnOf(imports), note: `${imports.message}, so that no base can be made` }
        if (note !== undefined) return warn(note, 'Nothing has to be done; where it matters, choose another proxmox.storage.disks.')
        return fine(`${site.proxmox.storage[setting]} is ${kindOf(status?.type ?? '').called}`)
      },
    }),
  ),
  {
    id: 'space-disks',
    section: 'Proxmox',
    looks: 'there is room for the disks of the next bake, of what is not deployed yet, and of full clones',
    mends: '`npx golden prune`, or a larger storage',
    needs: ['disks', 'pins', 'images'],
    limit: 'api',
    async run(facts) {
      const { site } = await facts.site()
      return spaceOutcome(facts, 'disks', diskNeeds(site, await facts.deployment(), await facts.images(), await linkedClones(facts)))
    },
  },
  {
    id: 'space-iso',
    section: 'Proxmox',
    looks: 'there is room for seeds, and for a base image where one has to be brought in',
    mends: '`npx golden prune`, or a larger storage',
    needs: ['iso', 'images'],
    limit: 'api',
    async run(facts) {
      const { site, folder } = await facts.site()
      return spaceOutcome(facts, 'iso', await fileNeeds(site, folder, await facts.images()))
    },
  },
]

async function linkedClones(facts: Facts): Promise<boolean> {
  return kindOf((await facts.storage('disks')).status?.type ?? '').linkedClone
}

async function spaceOutcome(facts: Facts, setting: StorageSetting, needs: readonly SpaceNeed[]): Promise<Outcome> {
  const storage = (await facts.site()).site.proxmox.storage[setting]
  const { status } = await facts.storage(setting)
  if (status === undefined) return fine('nothing is known of it')
  const mend =
    '"npx golden prune" shows and removes images that nobody needs; else make the storage larger, or choose another one in site.ts.'
  if (status.avail < lowSpace) return { ...bad(`storage ${storage} has only ${sizeText(status.avail)} left`, mend), code: 'storage-full' }
  const short = shortOfSpace(storage, status.avail, needs)
  return short === undefined
    ? fine(`${sizeText(status.avail)} left of ${sizeText(status.total)}; what comes next takes up to ${needText(needs)}`)
    : warn(short, mend)
}

const hasBase = (site: Site, { bases }: Sorted): boolean =>
  bases.some((base) => base.record.base.sha256 === site.image.base.sha256 && elsewhere(site, base) === undefined)

/** What may be made before anybody looks again. Pure. */
export function diskNeeds(site: Site, { groups }: Deployment, images: Sorted, linked: boolean): SpaceNeed[] {
  const image = site.image.build.diskGiB * gib
  return [
    ...(hasBase(site, images) ? [] : [{ what: 'the base', bytes: image }]),
    { what: 'the next image', bytes: image },
    ...Object.entries(site.groups).flatMap(([group, { dataGiB }]) => [
      ...(groups[group]?.dataDisk === undefined ? [{ what: `the data disk of ${group}`, bytes: dataGiB * gib }] : []),
      ...(linked ? [] : [{ what: `the next VM of ${group}, a full copy of the image`, bytes: image }]),
    ]),
  ]
}

/** Cloud images are well below it. */
const baseBytes = gib
const seedBytes = 2 ** 20

async function fileNeeds(site: Site, folder: string, images: Sorted): Promise<SpaceNeed[]> {
  const { file } = site.image.base
  const base =
    file === undefined
      ? baseBytes
      : await stat(resolve(folder, file)).then(
          ({ size }) => size,
          () => baseBytes,
        )
  return [
    ...(hasBase(site, images) ? [] : [{ what: 'the base image while it is imported', bytes: base }]),
    { what: 'seeds', bytes: Object.keys(site.groups).length * 2 * seedBytes },
  ]
}
