/** `rollback`: the old slot serves again. The same code as a rollout, the other way. */
import { Failure } from '../core/failure.ts'
import { isRevokedText, listImages, type Image } from '../images/catalog.ts'
import { isMoving, type GroupPins, type Release } from '../releases/deployment.ts'
import { groupOrder, groupUnknown } from '../releases/order.ts'
import { readPins } from '../releases/pins.ts'
import { otherSlot, type Role, type SlotName } from '../settings/site.ts'
import { tellsState } from './activate.ts'
import { pinnedImage } from './choose-image.ts'
import { claimGroups } from './claim-groups.ts'
import { claimSite, type SiteClaim } from './claim.ts'
import { contextOf } from './context.ts'
import { guestOf, statusIn } from './guest.ts'
import { standBy } from './handover.ts'
import { onRecord } from './history.ts'
import { wake } from './idle.ts'
import { requireGroupNode } from './node.ts'
import { checkIdentity, diskPlace, observeGroup, placesOf, type GroupSeen } from './observe.ts'
import type { DeployOptions } from './options.ts'
import { checkPins } from './outdated.ts'
import { refusalOf } from './obstacles.ts'
import { fullDataDisk } from './room.ts'
import { sseLine } from './sse-clients.ts'
import { settleOld, type RolledOutGroup } from './rollout.ts'
import { restorePointFor, stateLines, type RestorePoint } from './state-before.ts'
import { switchTo } from './switch-slot.ts'

export interface GroupRollback {
  readonly group: string
  /** `nothing`: the old slot serves already. */
  readonly do: 'nothing' | 'back'
  readonly from: SlotName
  readonly to: SlotName
  readonly image: { readonly from: string; readonly to: string }
  readonly created: string
  /** What the old slot takes the services' state as. */
  readonly state: 'now' | 'before'
  readonly roles: readonly Role[]
  /** What it puts back; undefined: nothing, or the slot that has it does not say. */
  readonly restorePoint?: RestorePoint
  /** Clients over SSE, who are cut off; absent: there can be none, or nobody can tell. */
  readonly sseClients?: number
}

export interface RollbackOptions {
  /**
   * `before`: the services' state as the old slot's image had left it.
   * @default now; for a rollback that was interrupted, as that was meant
   */
  readonly state?: 'now' | 'before'
}

/**
 * Which slot is the old one. Pure.
 * @throws Failure `not-deployed`, `nothing-to-go-back-to`
 */
export function planRollback(
  group: string,
  pins: GroupPins | undefined,
  seen: GroupSeen,
  { state: asked }: RollbackOptions = {},
): GroupRollback {
  const active = pins?.active
  if (pins === undefined || active === undefined)
    throw new Failure('not-deployed', `group ${group} is not deployed`, 'Run "npx golden deploy".')
  const { rollout: note } = pins
  const place = diskPlace(seen)
  // One that is putting a state back goes on when it is asked for the same again.
  const goesOn = asked === 'before' && note?.state === 'before' && note.phase !== 'take-back'
  // Of one that has not come to its end, the other side; else the one that does not serve.
  const to = goesOn ? note.to : note === undefined || note.phase === 'prepare' ? otherSlot(active) : otherSlot(note.to)
  const from = otherSlot(to)
  const release = pins.slots[to]
  const isThere = !goesOn && place.at === to && active === to && !isMoving(note)
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
    // Who gives up putting a state back wants the other one.
    state: asked ?? note?.state ?? 'now',
    roles: release.seed.roles,
  }
}

/** For people: a line each. */
export function rollbackLines({
  group,
  do: what,
  from,
  to,
  image,
  created,
  state,
  roles,
  restorePoint,
  sseClients,
}: GroupRollback): string[] {
  if (what === 'nothing') return [`${group}: nothing to do, slot ${to} serves`]
  const cutOff = sseLine(sseClients)
  return [
    `${group}:`,
    `  wait until slot ${to} stands by: its release of ${created.slice(0, 16).replace('T', ' ')}, image ${image.to}`,
    `  hand over the data from slot ${from}, image ${image.from}; then the service address moves`,
    ...(cutOff === undefined ? [] : [`  ${cutOff}`]),
    ...(state === 'before' ? stateLines(roles, restorePoint).map((line) => `  ${line}`) : []),
    `  keep slot ${from}`,
  ]
}

type Looking = Pick<DeployOptions, 'site' | 'folder' | 'proxmox' | 'signal'>

async function look({ site, folder, proxmox, signal }: Looking, group: string, options: RollbackOptions): Promise<GroupRollback> {
  const pins = (await readPins(folder)).groups[group]
  const places = placesOf(site, group, pins)
  await requireGroupNode(proxmox, places, site.proxmox.node)
  const seen = await observeGroup(proxmox, places)
  checkIdentity(places, seen)
  checkPins(places, pins, seen)
  const back = planRollback(group, pins, seen, options)
  if (back.do === 'back' && pins?.rollout === undefined) refuseWorseImage(back, pins, (await listImages(proxmox, site)).images)
  const [from, to] = [pins?.slots[back.from], pins?.slots[back.to]]
  const guest = back.do === 'back' ? await statusIn(proxmox, from, seen.slots[back.from], signal) : undefined
  const full = refusalOf(fullDataDisk(group, guest), 'Nothing was changed.')
  if (full !== undefined) throw new Failure(full.code, full.message, full.hint)
  const plan = guest?.sseClients === undefined ? back : { ...back, sseClients: guest.sseClients }
  if (plan.do === 'nothing' || plan.state === 'now' || from === undefined || to === undefined || diskPlace(seen).at !== plan.from)
    return plan
  // Whoever gives up has begun already; a slot that is silent may have it all the same.
  if (options.state === undefined || guest === undefined || guest.dataDisk !== 'mounted') return plan
  return { ...plan, restorePoint: restorePointFor(group, guest, to.image.fingerprint) }
}

/**
 * Nothing goes back from a sound image to one that is revoked. Whoever gives up a rollout that has not come to its end may:
 * that slot has served until then.
 * @throws Failure `image-revoked`
 */
function refuseWorseImage({ group, from, to }: GroupRollback, pins: GroupPins | undefined, images: readonly Image[]): void {
  const [now, before] = [from, to].map((slot) => {
    const release = pins?.slots[slot]
    return release === undefined ? undefined : pinnedImage(images, release)
  })
  if (before?.revoked !== true || now?.revoked === true) return
  throw new Failure(
    'image-revoked',
    `slot ${to} of group ${group} has image ${before.name}, and that ${isRevokedText(before)}`,
    `Bake one with what mends it, then "npx golden rollout ${group}"; --image takes another one that is there.`,
  )
}

/** @throws Failure `group-unknown`, `restore-point-missing`, `image-revoked`, and of any of them what is in the way */
export async function planRollbacks(
  options: Looking,
  only: readonly string[],
  how: RollbackOptions = {},
): Promise<readonly GroupRollback[]> {
  const plans: GroupRollback[] = []
  for (const group of await groupsToRollBack(options, only)) plans.push(await look(options, group, how))
  return plans
}

async function groupsToRollBack(options: Looking, only: readonly string[]): Promise<string[]> {
  const deployment = await readPins(options.folder)
  const order = groupOrder(options.site, deployment)
  for (const name of only) if (!order.includes(name)) throw groupUnknown(name, order)
  return order.filter((name) => (only.length === 0 ? deployment.groups[name]?.active !== undefined : only.includes(name)))
}

/**
 * @param only these groups; none: all that are deployed
 * @throws Failure `rollout-failed` when the old slot does not serve either: then it is as it was
 */
export async function rollback(
  options: DeployOptions,
  only: readonly string[],
  how: RollbackOptions = {},
): Promise<readonly RolledOutGroup[]> {
  return claimSite(options, 'rollback', async (claim) =>
    claimGroups(options, 'rollback', await groupsToRollBack(options, only), async (held) => {
      const plans = await held.progress.step('look what there is', () => planRollbacks(held, only, how))
      const results: RolledOutGroup[] = []
      for (const { group } of plans) {
        held.signal.throwIfAborted()
        results.push(await rollbackGroup(held, claim, group, how))
      }
      return results
    }),
  )
}

async function rollbackGroup(options: DeployOptions, claim: SiteClaim, group: string, how: RollbackOptions): Promise<RolledOutGroup> {
  const { site, folder } = options
  const { do: what, from, to, image, state, roles, restorePoint } = await look(options, group, how)
  const common = { group, from, slot: to, changes: [] }
  if (what === 'nothing') return { ...common, outcome: 'nothing', image: image.to, parts: [] }
  if (state === 'before') for (const line of stateLines(roles, restorePoint)) options.progress.info(`${group}: ${line}`)
  const parts = await onRecord(options, 'rollback', group, from, to, new Date(), async () => {
    const context = await contextOf(options, group)
    const { slots } = (await readPins(folder)).groups[group] ?? { slots: {} }
    const [release, other] = [slots[to], slots[from]]
    if (release === undefined) throw new Error(`slot ${to} of group ${group} has no pin`)
    await wake(context, to)
    // As long as the data is with a slot that serves, nothing of that one is touched before.
    if (diskPlace(await observeGroup(options.proxmox, context.places)).at === from) {
      await standBy(context, to, release.id, site.rollout.healthMinutes * 60_000)
      if (state === 'before') await requireState(options, group, release)
    }
    const mayKeep = other !== undefined && other.seed.peer === release.seed.address && other.seed.service === release.seed.service
    return switchTo(options, group, to, { mayKeep, force: true, state })
  })
  // That there was nothing to put back, after all, is among them.
  if (state === 'before') for (const problem of await problemsOf(options, group, to)) options.progress.warn(`${group}: ${problem}`)
  await settleOld(options, claim, group, from)
  return { ...common, outcome: 'rolled-out', image: image.to, parts }
}

/** @throws Failure `restore-point-missing` where that slot can't put a state back; nothing of the other one is touched by then */
async function requireState({ proxmox, signal }: DeployOptions, group: string, { vm, seed }: Release): Promise<void> {
  const guest = await guestOf(proxmox, vm.node, vm.vmid, signal).status()
  const told = guest && tellsState({ group, slot: seed.slot, release: seed.release, healthTimeoutMs: 0, state: 'before' }, guest)
  if (told?.kind === 'refuse') throw new Failure(told.refusal.code, told.refusal.message, told.refusal.hint)
}

async function problemsOf({ folder, proxmox, signal }: DeployOptions, group: string, slot: SlotName): Promise<readonly string[]> {
  const vm = (await readPins(folder)).groups[group]?.slots[slot]?.vm
  return (vm && (await guestOf(proxmox, vm.node, vm.vmid, signal).status()))?.problems ?? []
}
