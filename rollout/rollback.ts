/** `rollback`: the old slot serves again. The same code as a rollout, the other way. */
import { Failure } from '../core/failure.ts'
import { isMoving, type GroupPins } from '../releases/deployment.ts'
import { groupOrder } from '../releases/order.ts'
import { readPins } from '../releases/pins.ts'
import { otherSlot, type SlotName } from '../settings/site.ts'
import { claimGroups } from './claim-groups.ts'
import { claimSite, type SiteClaim } from './claim.ts'
import { contextOf } from './context.ts'
import { standBy } from './handover.ts'
import { onRecord } from './history.ts'
import { wake } from './idle.ts'
import { requireGroupNode } from './node.ts'
import { checkIdentity, diskPlace, observeGroup, placesOf, type GroupSeen } from './observe.ts'
import type { DeployOptions } from './options.ts'
import { settleOld, type RolledOutGroup } from './rollout.ts'
import { switchTo } from './switch-slot.ts'

export interface GroupRollback {
  readonly group: string
  /** `nothing`: the old slot serves already. */
  readonly do: 'nothing' | 'back'
  readonly from: SlotName
  readonly to: SlotName
  readonly image: { readonly from: string; readonly to: string }
  readonly created: string
}

/**
 * Which slot is the old one. Pure.
 * @throws Failure `not-deployed`, `nothing-to-go-back-to`
 */
export function planRollback(group: string, pins: GroupPins | undefined, seen: GroupSeen): GroupRollback {
  const active = pins?.active
  if (pins === undefined || active === undefined)
    throw new Failure('not-deployed', `group ${group} is not deployed`, 'Run "npx golden deploy".')
  const { rollout: note } = pins
  const place = diskPlace(seen)
  // Of one that has not come to its end, the other side; else the one that does not serve.
  const to = note === undefined || note.phase === 'prepare' ? otherSlot(active) : otherSlot(note.to)
  const from = otherSlot(to)
  const release = pins.slots[to]
  const isThere = place.at === to && active === to && !isMoving(note)
  if (note?.phase === 'prepare')
    throw new Failure(
      'nothing-to-go-back-to',
      `the rollout of group ${group} was interrupted before it touched slot ${active}, which serves`,
      `"npx golden rollout ${group}" goes on with it.`,
    )
  if (release === undefined || seen.slots[to].there !== true)
    throw new Failure(
      'nothing-to-go-back-to',
      `group ${group} has no old slot any more: there is only slot ${active}`,
      `Put the settings of before into site.ts, or name the image with --image, and run "npx golden rollout ${group}".`,
    )
  return {
    group,
    do: isThere ? 'nothing' : 'back',
    from,
    to,
    image: { from: pins.slots[from]?.image.name ?? 'none', to: release.image.name },
    created: release.created,
  }
}

/** For people: a line each. */
export function rollbackLines({ group, do: what, from, to, image, created }: GroupRollback): string[] {
  if (what === 'nothing') return [`${group}: nothing to do, slot ${to} serves`]
  return [
    `${group}:`,
    `  wait until slot ${to} stands by: its release of ${created.slice(0, 16).replace('T', ' ')}, image ${image.to}`,
    `  hand over the data from slot ${from}, image ${image.from}; then the service address moves`,
    `  keep slot ${from}`,
  ]
}

type Looking = Pick<DeployOptions, 'site' | 'folder' | 'proxmox'>

async function look({ site, folder, proxmox }: Looking, group: string): Promise<GroupRollback> {
  const pins = (await readPins(folder)).groups[group]
  const places = placesOf(site, group, pins)
  await requireGroupNode(proxmox, places, site.proxmox.node)
  const seen = await observeGroup(proxmox, places)
  checkIdentity(places, seen)
  return planRollback(group, pins, seen)
}

/** @throws Failure `group-unknown`, and of any of them what is in the way */
export async function planRollbacks(options: Looking, only: readonly string[]): Promise<readonly GroupRollback[]> {
  const plans: GroupRollback[] = []
  for (const group of await groupsToRollBack(options, only)) plans.push(await look(options, group))
  return plans
}

async function groupsToRollBack(options: Looking, only: readonly string[]): Promise<string[]> {
  const deployment = await readPins(options.folder)
  const order = groupOrder(options.site, deployment)
  for (const name of only)
    if (!order.includes(name)) throw new Failure('group-unknown', `there is no group ${name}`, `There are: ${order.join(', ')}.`)
  return order.filter((name) => (only.length === 0 ? deployment.groups[name]?.active !== undefined : only.includes(name)))
}

/**
 * @param only these groups; none: all that are deployed
 * @throws Failure `rollout-failed` when the old slot does not serve either: then it is as it was
 */
export async function rollback(options: DeployOptions, only: readonly string[]): Promise<readonly RolledOutGroup[]> {
  return claimSite(options.folder, 'rollback', async (claim) =>
    claimGroups(options, 'rollback', await groupsToRollBack(options, only), async (held) => {
      const plans = await held.progress.step('look what there is', () => planRollbacks(held, only))
      const results: RolledOutGroup[] = []
      for (const { group } of plans) {
        held.signal.throwIfAborted()
        results.push(await rollbackGroup(held, claim, group))
      }
      return results
    }),
  )
}

async function rollbackGroup(options: DeployOptions, claim: SiteClaim, group: string): Promise<RolledOutGroup> {
  const { site, folder } = options
  const { do: what, from, to, image } = await look(options, group)
  const common = { group, from, slot: to, changes: [] }
  if (what === 'nothing') return { ...common, outcome: 'nothing', image: image.to, parts: [] }
  const parts = await onRecord(options, 'rollback', group, from, to, new Date(), async () => {
    const context = await contextOf(options, group)
    const { slots } = (await readPins(folder)).groups[group] ?? { slots: {} }
    const [release, other] = [slots[to], slots[from]]
    if (release === undefined) throw new Error(`slot ${to} of group ${group} has no pin`)
    await wake(context, to)
    // As long as the data is with a slot that serves, nothing of that one is touched before.
    if (diskPlace(await observeGroup(options.proxmox, context.places)).at === from)
      await standBy(context, to, release.id, site.rollout.healthMinutes * 60_000)
    const mayKeep = other !== undefined && other.seed.peer === release.seed.address && other.seed.service === release.seed.service
    return switchTo(options, group, to, { mayKeep, force: true })
  })
  await settleOld(options, claim, group, from)
  return { ...common, outcome: 'rolled-out', image: image.to, parts }
}
