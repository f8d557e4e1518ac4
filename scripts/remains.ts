/** What of a site is still on its Proxmox host besides what setup made, and the command that ends each. Pure. */
import type { FailureFacts } from '../core/failure.ts'
import { sortRange, type RangeVm } from '../images/catalog.ts'
import { findLeftovers } from '../packer/plan.ts'
import { isImportName, isSeedName } from '../packer/names.ts'
import { volumesOf } from '../proxmox/remove-depot.ts'
import type { Deployment } from '../releases/deployment.ts'
import { groupInNotes } from '../releases/slot-notes.ts'
import { straySeeds } from '../releases/seed.ts'
import { claimIn, holderText, isStale } from '../rollout/group-claim.ts'
import { slotVmName, slotNames, type Site } from '../settings/site.ts'

export interface RemainsSeen {
  readonly site: Site
  readonly deployment: Deployment
  /** All of the site's pools, depots as well. */
  readonly vms: readonly RangeVm[]
  /** Volume ids on the storage of seeds and imports. */
  readonly files: readonly string[]
  /** By which a site knows its own seeds. */
  readonly key: Buffer | undefined
  /** By Proxmox's clock. */
  readonly now: Date
}

/** VMs and templates that this site has made, by VMID: those that nobody but its own verbs may remove. Its depots are not among them. */
export function ownVms({ site, deployment, vms }: Pick<RemainsSeen, 'site' | 'deployment' | 'vms'>): ReadonlyMap<number, OwnVm> {
  const { images, bases, doomed } = sortRange(vms)
  const templates = new Set([...images, ...bases, ...doomed].filter(({ record }) => record.site === site.name).map(({ vmid }) => vmid))
  const leftovers = new Set(findLeftovers(site, vms).map(({ vmid }) => vmid))
  const own = vms.flatMap((vm): [number, OwnVm][] => {
    const { vmid, node, config } = vm
    const name = config.name ?? `VM ${vmid}`
    if (templates.has(vmid)) return [[vmid, { kind: 'template', name, node }]]
    if (leftovers.has(vmid)) return [[vmid, { kind: 'leftover', name, node }]]
    const group = groupOf(site, deployment, vm)
    return group === undefined ? [] : [[vmid, { kind: 'slot', name, node, group }]]
  })
  return new Map(own)
}

export type OwnVm = { readonly name: string; readonly node: string } & (
  | { readonly kind: 'template' }
  /** Of a bake or a verification. */
  | { readonly kind: 'leftover' }
  /** Or the VM that takes deleted data along. */
  | { readonly kind: 'slot'; readonly group: string }
)

/** The group that a VM is a slot of, by its notes, or by its name and VMID where somebody has changed those. */
function groupOf(site: Site, deployment: Deployment, { vmid, config }: RangeVm): string | undefined {
  const noted = groupInNotes(site.name, config.description ?? '')
  if (noted !== undefined) return noted
  const pinned = Object.entries(deployment.groups).find(([, { slots }]) =>
    slotNames.some((slot) => slots[slot]?.vm.vmid === vmid && slots[slot].vm.name === config.name),
  )
  if (pinned !== undefined) return pinned[0]
  return Object.keys(site.groups).find((group) =>
    [...slotNames.map((slot) => slotVmName(site, group, slot)), `${site.name}-${group}-delete`].includes(config.name ?? ''),
  )
}

/**
 * @param own as `ownVms` says
 * @param isShared others use the pool as well, and with it the images that this site has baked
 * @returns one entry for each thing that has to be ended first, in the order in which that goes
 */
export function remainsOf(seen: RemainsSeen, own: ReadonlyMap<number, OwnVm>, isShared: boolean): FailureFacts[] {
  const { site, deployment } = seen
  const found = (message: string, hint: string): FailureFacts => ({ code: 'setup-in-use', message, hint })
  const all = [...own].map(([vmid, vm]) => ({ vmid, ...vm }))
  const nameOf = ({ vmid, name }: { readonly vmid: number; readonly name: string }): string => `${name} (${vmid})`
  const groups = new Set([
    ...Object.keys(site.groups),
    ...Object.keys(deployment.groups),
    ...all.flatMap((vm) => (vm.kind === 'slot' ? vm.group : [])),
  ])
  const templates = isShared ? [] : all.filter(({ kind }) => kind === 'template')
  const seeds = straySeeds(site, seen.key, seen.files, pinnedSeeds(deployment))
  const nameOfFile = (volid: string): string => volid.slice(volid.indexOf('/') + 1)
  const files = seen.files.filter((volid) => isSeedName(site, nameOfFile(volid)) || isImportName(site, nameOfFile(volid)))
  return [
    ...[...groups].flatMap((group) => groupRemains(seen, group, all)),
    ...(templates.length === 0 ? [] : [found(`images and bases ${templates.map(nameOf).join(', ')}`, 'Run "npx golden prune --all".')]),
    ...(seeds.length === 0 ? [] : [found(`seeds ${seeds.join(', ')}`, 'Run "npx golden prune".')]),
    ...all.flatMap((vm) =>
      vm.kind === 'leftover'
        ? [found(`${nameOf(vm)} of a bake or a verification`, `If none is under way, on node ${vm.node}: qm destroy ${vm.vmid} --purge 1`)]
        : [],
    ),
    ...(files.length === 0
      ? []
      : [
          found(
            `${files.join(', ')} of a bake or a verification`,
            `If none is under way, on the node: pvesm free ${files.join('; pvesm free ')}`,
          ),
        ]),
  ]
}

const pinnedSeeds = ({ groups }: Deployment): ReadonlySet<string> =>
  new Set(Object.values(groups).flatMap(({ slots }) => slotNames.flatMap((slot) => slots[slot]?.vm.seed ?? [])))

/** Who is at it, its VMs, its data. */
function groupRemains(
  { site, deployment, vms, now }: RemainsSeen,
  group: string,
  own: readonly (OwnVm & { readonly vmid: number })[],
): FailureFacts[] {
  const pins = deployment.groups[group]
  const depotVmid = pins?.depot ?? site.groups[group]?.depot
  const depot = vms.find(({ vmid, config }) => vmid === depotVmid && config.name === `${site.name}-${group}-depot`)
  const claim = claimIn(depot?.config.description ?? '')
  const slots = own.filter((vm) => vm.kind === 'slot' && vm.group === group)
  const volumes = depot === undefined ? [] : volumesOf(depot.config)
  const isDeployed = pins?.active !== undefined || slots.length > 0
  const hasData = volumes.length > 0 || pins?.dataDisk !== undefined || isDeployed
  const back = site.groups[group] === undefined ? `Put group ${group} back into site.ts, then run` : 'Run'
  return [
    ...(claim === undefined || isStale(claim, now)
      ? []
      : [
          {
            code: 'group-claimed' as const,
            message: `group ${group}: ${holderText(claim)} is at it`,
            hint: 'Wait for that run to end, or stop it.',
          },
        ]),
    ...(isDeployed
      ? [
          {
            code: 'setup-in-use' as const,
            message: `group ${group}: ${slots.length === 0 ? 'it is deployed' : slots.map(({ vmid, name }) => `VM ${vmid} (${name})`).join(', ')}`,
            hint: `${back} "npx golden destroy ${group}".`,
          },
        ]
      : []),
    ...(hasData
      ? [
          {
            code: 'setup-in-use' as const,
            message: `group ${group}: its data${volumes.length === 0 ? '' : ` (${volumes.join(', ')})`}`,
            hint: `${back} "npx golden delete-data ${group}"${isDeployed ? ' after that' : ''}: it is gone for good then.`,
          },
        ]
      : []),
  ]
}
