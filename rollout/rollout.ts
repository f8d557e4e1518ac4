/** `rollout`: what site.ts says by now, and the newest image, take over from what runs, a group after another. */
import { Failure } from '../core/failure.ts'
import { listImages, type Image } from '../images/catalog.ts'
import { requireTrusted } from '../images/trust.ts'
import { requirePlace } from '../proxmox/place.ts'
import { groupOrder, groupUnknown, stackName } from '../releases/order.ts'
import { readPins, updatePins, withRelease, withoutRelease } from '../releases/pins.ts'
import { changedSecrets, removeSeed } from '../releases/seed.ts'
import { placeOf, type SlotName } from '../settings/site.ts'
import { applyGroup } from './apply-group.ts'
import { chooseImage, imageNamed } from './choose-image.ts'
import { claimGroups } from './claim-groups.ts'
import { claimSite, type SiteClaim } from './claim.ts'
import { contextOf } from './context.ts'
import { checkEdits } from './edits.ts'
import { openEngine } from './engine.ts'
import { statusIn } from './guest.ts'
import { standBy, type HandoverPart } from './handover.ts'
import { onRecord, writeDownTakenBack } from './history.ts'
import { letBeRemoved, rest, wake } from './idle.ts'
import { lastLineArrives } from './last-line.ts'
import { makeRelease } from './make-release.ts'
import { missingHint, strayVolumes } from './missing.ts'
import { requireGroupNode } from './node.ts'
import { diskPlace, isAstray, observeGroup, placesOf } from './observe.ts'
import { findObstacles } from './obstacles.ts'
import type { DeployOptions } from './options.ts'
import { planRollout, type GroupRollout } from './plan-rollout.ts'
import { ofSlot, removeLeftover } from './slots.ts'
import { sseLine } from './sse-clients.ts'
import { untilSettled } from './settled.ts'
import { converge, isVerdict, linesOf, mean, switchTo, takeBack, watchOver } from './switch-slot.ts'

export interface RolledOutGroup {
  readonly group: string
  readonly outcome: 'nothing' | 'finished' | 'rolled-out'
  readonly from: SlotName
  /** The slot that serves now. */
  readonly slot: SlotName
  readonly image: string
  readonly changes: readonly string[]
  /** Of each step, in milliseconds, in order. */
  readonly parts: readonly HandoverPart[]
}

export interface RolloutOptions extends DeployOptions {
  /** These groups. @default all that are deployed */
  readonly only?: readonly string[]
  /** The image that is to run, by name or VMID. @default the newest one of the site's base */
  readonly image?: string
}

type Looking = Pick<RolloutOptions, 'site' | 'folder' | 'proxmox' | 'progress' | 'signal' | 'only' | 'image'>

/**
 * What `rollout` would do, in its order; nothing is changed.
 * @throws Failure as `rollout` before it begins
 */
export async function planRollouts(options: Looking): Promise<readonly GroupRollout[]> {
  return options.progress.step('look what there is', async () => {
    const plans: GroupRollout[] = []
    for (const group of await groupsToRoll(options)) plans.push((await look(options, group)).plan)
    return plans
  })
}

/**
 * @throws Failure of the first group that fails: those before it have been rolled out, those after it have not been
 * touched. Run again, it goes on from there. `deploy-in-progress` or `group-claimed` while another run is at it
 */
export async function rollout(options: RolloutOptions): Promise<readonly RolledOutGroup[]> {
  return claimSite(options, 'rollout', async (claim) =>
    claimGroups(options, 'rollout', await groupsToRoll(options), async (held) => {
      const results: RolledOutGroup[] = []
      // What is in the way of one is said before another is touched.
      await planRollouts(held)
      for (const group of await groupsToRoll(held)) {
        held.signal.throwIfAborted()
        results.push(await rolloutGroup(held, claim, group))
      }
      return results
    }),
  )
}

/** Whoever keeps the others' logs comes first. @throws Failure `group-unknown`, `not-deployed` and those of edits that can't take effect */
async function groupsToRoll({ site, folder, only }: Looking): Promise<string[]> {
  const deployment = await readPins(folder)
  checkEdits(site, deployment)
  const order = groupOrder(site, deployment)
  for (const name of only ?? []) {
    if (!order.includes(name)) throw groupUnknown(name, order)
  }
  const deployed = order.filter((group) => deployment.groups[group]?.active !== undefined)
  if (only === undefined && deployed.length === 0)
    throw new Failure('not-deployed', 'nothing of this site is deployed', 'Run "npx golden deploy".')
  return only === undefined ? deployed : order.filter((group) => only.includes(group))
}

interface Looked {
  readonly plan: GroupRollout
  readonly image: Image
  readonly linkedClones: boolean
}

async function look({ site, folder, proxmox, progress, signal, image: name }: Looking, group: string): Promise<Looked> {
  const deployment = await readPins(folder)
  const pins = deployment.groups[group]
  const places = placesOf(site, group, pins)
  await requireGroupNode(proxmox, places, site.proxmox.node)
  const { linkedClones } = await requirePlace(proxmox, placeOf(site), progress.warn)
  const { images } = await listImages(proxmox, site)
  const image = name === undefined ? chooseImage(site, images) : imageNamed(site, images, name)
  const seen = await observeGroup(proxmox, places)
  const secretsOf = async (slot: SlotName): Promise<readonly string[] | undefined> => {
    const release = pins?.slots[slot]
    return release === undefined ? undefined : changedSecrets(site, folder, release)
  }
  const place = diskPlace(seen)
  const plan = planRollout(site, {
    places,
    pins,
    seen,
    image,
    secrets: { blue: await secretsOf('blue'), green: await secretsOf('green') },
    guest: pins?.active === undefined ? undefined : await statusIn(proxmox, pins.slots[pins.active], seen.slots[pins.active], signal),
    obstacles: await findObstacles(proxmox, places, seen, place.at === 'green' ? 'blue' : 'green'),
    missing: isAstray(pins?.dataDisk, place) ? missingHint(places, await strayVolumes(proxmox, places)) : 'Restore it from a backup.',
  })
  // Early, for people; what counts is asked before a VM is made of it (apply-group.ts). What was begun comes to its end first.
  if (plan.do === 'roll' && plan.release === 'new' && plan.finishes === undefined) await requireTrusted({ site, folder, proxmox }, image)
  return { plan, image, linkedClones }
}

async function rolloutGroup(options: RolloutOptions, claim: SiteClaim, group: string): Promise<RolledOutGroup> {
  const { progress, signal } = options
  await writeDownTakenBack(options, group)
  const { plan, image, linkedClones } = await look(options, group)
  const { from, to, changes } = plan
  const result = (outcome: RolledOutGroup['outcome'], slot: SlotName, parts: readonly HandoverPart[] = []): RolledOutGroup => ({
    group,
    outcome,
    from,
    slot,
    image: slot === to && outcome === 'rolled-out' ? plan.image.to : plan.image.from,
    changes,
    parts,
  })
  if (plan.do === 'nothing') {
    progress.info(`${group}: nothing to do, slot ${from} runs what site.ts says`)
    return result('nothing', from)
  }
  if (plan.finishes !== undefined) await finish(options, group, plan.finishes)
  if (plan.do === 'watch') {
    await watchOrTakeBack(options, group, from)
    await settleOld(options, claim, group, to)
    return result('finished', from)
  }
  const cutOff = sseLine(plan.sseClients)
  if (cutOff !== undefined) progress.info(`${group}: ${cutOff}`)
  const began = new Date()
  const parts = await onRecord(options, 'rollout', group, from, to, began, async () => {
    await mean(options, group, from, { to, phase: 'prepare' })
    await prepare(options, claim, group, plan, image, linkedClones)
    signal.throwIfAborted()
    return switchTo(options, group, to, { mayKeep: plan.keeps, force: false })
  })
  await settleOld(options, claim, group, from)
  return result('rolled-out', to, parts)
}

/** The data goes where deployment.json says, whoever stopped on the way. */
async function finish(options: RolloutOptions, group: string, slot: SlotName): Promise<void> {
  options.progress.info(`${group}: an earlier run was interrupted; first the data goes to slot ${slot}`)
  const note = (await readPins(options.folder)).groups[group]?.rollout
  try {
    // A slot that does not serve may not let go either.
    await converge(options, group, { mayKeep: true, force: note?.phase === 'take-back' })
  } catch (error) {
    if (!isVerdict(error, options.signal) || note?.to !== slot || note.phase !== 'hand-over') throw error
    await takeBack(options, group, slot, error)
  }
}

async function watchOrTakeBack(options: RolloutOptions, group: string, slot: SlotName): Promise<void> {
  try {
    await watchOver(options, group, slot)
  } catch (error) {
    if (!isVerdict(error, options.signal)) throw error
    await takeBack(options, group, slot, error)
  }
}

/** Makes the slot that is to take over, and sees that it stands by. Nothing that serves is touched. */
async function prepare(
  options: RolloutOptions,
  claim: SiteClaim,
  group: string,
  plan: GroupRollout,
  image: Image,
  linkedClones: boolean,
): Promise<void> {
  const { folder, site, progress } = options
  const { to } = plan
  if (plan.removes !== undefined) await removeIdle(options, claim, group, to)
  if (plan.release === 'new') {
    const release = await makeRelease(options, group, to, image, !linkedClones)
    progress.info(`group ${group}: release ${release.id} of image ${image.name} for slot ${to}`)
    await updatePins(folder, group, (pins) => withRelease(pins, to, release))
  }
  await applyPins(options, claim, group)
  const release = (await readPins(folder)).groups[group]?.slots[to]
  if (release === undefined) throw new Error(`slot ${to} of group ${group} has no pin`)
  const context = await contextOf(options, group)
  await wake(context, to)
  try {
    await standBy(context, to, release.id, site.rollout.healthMinutes * 60_000, { needsRoom: true })
  } catch (error) {
    if (!isVerdict(error, options.signal)) throw error
    await mean(options, group, plan.from, { to, phase: 'failed', reason: error.message })
    throw new Failure(
      'rollout-failed',
      `slot ${to} of group ${group} does not stand by: ${error.message}. Slot ${plan.from} was not touched${await linesOf(options, group, to)}`,
      `The VM of slot ${to} is left for a look. ${error.hint}`,
      { cause: error },
    )
  }
}

/** Makes the group's VMs what its pins say. */
async function applyPins(options: DeployOptions, claim: SiteClaim, group: string): Promise<void> {
  const engine = openEngine({ ...options, claim })
  await options.progress.step('write the stacks', () => engine.synth())
  const pins = (await readPins(options.folder)).groups[group]
  if (pins === undefined) throw new Error(`group ${group} has no pin`)
  await applyGroup(options, engine, group, pins)
}

/** A slot without data makes room: its VM, its seed and its pin go. */
export async function removeIdle(options: DeployOptions, claim: SiteClaim, group: string, slot: SlotName): Promise<void> {
  const { folder, proxmox, progress } = options
  const context = await contextOf(options, group)
  const stack = stackName(options.site, group)
  const engine = openEngine({ ...options, claim })
  await progress.step(`remove what slot ${slot} of group ${group} has had`, async (note) => {
    await letBeRemoved(context, slot)
    await removeLeftover(proxmox, context.places, slot, options.signal)
    note('in the state, too')
    await engine.synth()
    await engine.init(stack)
    const known = ofSlot(await engine.listState(stack), slot)
    if (known.length > 0) await engine.forget(stack, known)
  })
  const release = (await readPins(folder)).groups[group]?.slots[slot]
  await updatePins(folder, group, (pins) => withoutRelease(pins, slot))
  if (release !== undefined)
    await removeSeed(proxmox, release).catch((error: Error) => {
      progress.warn(`the seed ${release.vm.seed} could not be removed: ${error.message}`)
    })
}

/** The slot that has handed over rests, or stays as it is, and the stack agrees with all of it. */
export async function settleOld(options: DeployOptions, claim: SiteClaim, group: string, slot: SlotName): Promise<void> {
  const { site, folder, progress } = options
  const context = await contextOf(options, group)
  if (site.rollout.old === 'stopped' && (await readPins(folder)).groups[group]?.slots[slot] !== undefined)
    await progress.step(`stop slot ${slot} of group ${group}, which is kept for the way back`, async (note) => {
      note('wait until its connections have ended')
      await untilSettled(context, slot)
      note('wait until its last log line has arrived')
      if (await lastLineArrives(options, group, slot)) return rest(context, slot)
      progress.warn(
        `slot ${slot} of group ${group} is left running: its last log line is not in Loki after ten minutes. See "npx golden status"; the next rollout removes it`,
      )
    })
  const stack = stackName(site, group)
  const engine = openEngine({ ...options, claim })
  await progress.step(`compare ${stack} with what runs`, async (note) => {
    await engine.synth()
    await engine.init(stack)
    const changes = await engine.plan(stack, note)
    if (changes.length === 0) return
    await engine.discard(stack)
    progress.warn(
      `${stack}: a plan wants ${changes.map(({ address, action }) => `${action} ${address}`).join(', ')}: see what somebody has changed by hand; "npx golden deploy" puts it back`,
    )
  })
}
