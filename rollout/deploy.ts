/** `deploy`: pins an image for groups that have none, puts their seeds on the host, and applies the stacks. */
import { listImages, type Image } from '../images/catalog.ts'
import { requireTrusted } from '../images/trust.ts'
import { Failure } from '../core/failure.ts'
import { requirePlace } from '../proxmox/place.ts'
import { shortOfSpace } from '../proxmox/space.ts'
import type { Deployment, Release } from '../releases/deployment.ts'
import { ownCertificateOf, placeOf, slotNames, type SlotName } from '../settings/site.ts'
import { groupOrder, stackName } from '../releases/order.ts'
import { applyGroup, type Turn } from './apply-group.ts'
import { requireTrustedPins } from './choose-image.ts'
import { claimGroups } from './claim-groups.ts'
import { claimSite, type SiteClaim } from './claim.ts'
import { destroyGroup } from './destroy.ts'
import { settleGroup } from './depot.ts'
import { checkEdits, differences } from './edits.ts'
import { openEngine, type Engine } from './engine.ts'
import { firewallNotice, firewallState } from './firewall.ts'
import { certificatesOf, certificateWarnings } from '../releases/given.ts'
import { makeRelease } from './make-release.ts'
import { missingHint, strayVolumes } from './missing.ts'
import { requireGroupNode } from './node.ts'
import { checkIdentity, diskPlace, observeGroup, placesOf, isAstray } from './observe.ts'
import { findObstacles } from './obstacles.ts'
import type { DeployOptions } from './options.ts'
import { firstSlot, planDeploy, spaceNeeds, type DeployPlan, type DeploySeen, type GroupForDeploy } from './plan-deploy.ts'
import { readPins, updatePins, withFirstRelease } from '../releases/pins.ts'
import { resume } from './resume.ts'
import { checkSeedSecrets, secretDifferences, seedIsThere } from '../releases/seed.ts'
import { Turns } from './turns.ts'

export interface DeployedGroup {
  readonly group: string
  readonly outcome: 'deployed' | 'unchanged'
  readonly slot: SlotName
  readonly image: Release['image']
  /** The site asks for something else than what runs. */
  readonly siteDiffers: boolean
  /** What, and when it takes effect. */
  readonly differences: readonly string[]
}

/**
 * Groups are deployed side by side: they share the time that VMs take to start. One that fails does not stop the others.
 * A first release that fails before its slot owns the data, or that is stopped, is taken back: nothing half-done stays,
 * but for a VM that does not answer.
 * @throws Failure, of one group that failed; run again, it goes on from there. `deploy-in-progress` or `group-claimed` while
 * another run changes this site or one of its groups
 */
export async function deploy(options: DeployOptions): Promise<readonly DeployedGroup[]> {
  return claimSite(options, 'deploy', async (claim) =>
    claimGroups(options, 'deploy', groupOrder(options.site, await readPins(options.folder)), async (held, lost) => {
      const begun: Begun = new Map()
      try {
        return await deployGroups(held, claim, begun)
      } catch (error) {
        for (const [group, cause] of [...begun].reverse()) await takeBack(held, lost, claim, group, cause ?? error)
        throw error
      }
    }),
  )
}

/** Groups whose first release this run has pinned and not yet deployed, and what each failed with, if it has. */
type Begun = Map<string, unknown>

/** @param begun kept up to date */
async function deployGroups(options: DeployOptions, claim: SiteClaim, begun: Begun): Promise<readonly DeployedGroup[]> {
  const { site, folder, proxmox, progress, signal } = options
  const plan = await planDeployment(options)
  for (const group of plan.unknown)
    progress.info(`deployment.json knows data of group ${group}, which site.ts does not have: put the group back to use or delete it`)
  const first = plan.groups.filter(({ release }) => release === 'first')
  if (first.length > 0)
    await checkSeedSecrets(
      site,
      folder,
      first.map(({ group }) => group),
    )
  let deployment = await readPins(folder)
  for (const { group, vm } of first) {
    if (plan.image === undefined) throw new Error('a first release has no image')
    deployment = await pinFirst(options, group, plan.image, vm.clone === 'full')
    begun.set(group, undefined)
  }
  const engine = openEngine({ ...options, claim })
  const turns = new Turns()
  await progress.step('write the stacks', () => engine.synth())
  signal.throwIfAborted()
  const order = groupOrder(site, deployment)
  const atWork = new Set(order)
  const shown = new Set<unknown>()
  const outcomes = await Promise.allSettled(
    order.map(async (group) => {
      const places = placesOf(site, group, deployment.groups[group])
      try {
        const result = await resume(options, places, () =>
          inTurn(turns, signal, (turn) => deployGroup(options, engine, deployment, group, turn)),
        )
        begun.delete(group)
        return result
      } catch (error) {
        if (begun.has(group)) begun.set(group, error)
        // The others may take minutes, and whoever watches should know by then.
        if (!signal.aborted && atWork.size > 1) {
          shown.add(error)
          progress.warn(`group ${group} failed, the others go on: ${messageOf(error)}`)
        }
        throw error
      } finally {
        atWork.delete(group)
      }
    }),
  )
  const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
  if (failures.length > 0) throw failures.find((failure) => !shown.has(failure)) ?? failures[0]
  const firewall = firewallNotice(await firewallState(proxmox))
  if (firewall !== undefined) progress.info(firewall)
  return outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
}

const messageOf = (error: unknown): string =>
  error instanceof Failure ? `${error.message}\n→ ${error.hint}` : error instanceof Error ? error.message : String(error)

async function inTurn<T>(turns: Turns, signal: AbortSignal, work: (turn: Turn) => Promise<T>): Promise<T> {
  const end = await turns.take(signal)
  try {
    return await work({
      get isWanted() {
        return turns.waiting > 0
      },
      end,
    })
  } finally {
    end()
  }
}

/** The cause is on the console of a VM that says nothing. */
const silent = ['agent-timeout', 'slot-silent']

/**
 * Ends a first release that did not come to its end. A slot that owns the data or does not answer stays where nobody has
 * asked for a stop: whoever looks for the cause needs it, and the next run goes on with it. Never throws: what failed
 * before counts.
 */
async function takeBack(options: DeployOptions, lost: AbortSignal, claim: SiteClaim, group: string, cause: unknown): Promise<void> {
  const { site, folder, proxmox, progress } = options
  // Asked to stop a second time, the program ends; until then this is what it does about the first time. What is somebody
  // else's by now is not ours to take back.
  const undo = { ...options, signal: lost }
  try {
    const places = placesOf(site, group, (await readPins(folder)).groups[group])
    await settleGroup(proxmox, places)
    const seen = await observeGroup(proxmox, places)
    const place = diskPlace(seen)
    const isSilent = cause instanceof Failure && silent.includes(cause.code)
    const worthALook = slotNames.some((slot) => place.at === slot || (isSilent && seen.slots[slot].there === true))
    if (!options.signal.aborted && worthALook) {
      return progress.info(
        `group ${group} is left as it is, for a look at it: "npx golden deploy" goes on from there, "npx golden destroy ${group}" removes its VM and keeps the data`,
      )
    }
    await progress.step(`take back what was begun of group ${group}`, async () => {
      const engine = openEngine({ ...undo, claim })
      await engine.synth()
      await destroyGroup(undo, engine, group)
    })
  } catch (error) {
    progress.warn(
      `what was begun of group ${group} could not be taken back: ${error instanceof Error ? error.message : String(error)}; "npx golden deploy" goes on from there, "npx golden destroy ${group}" removes it`,
    )
  }
}

/** @param turn ended as soon as the VM is cloned; what comes then, its start and its activation, takes minutes and nobody else's locks */
async function deployGroup(
  options: DeployOptions,
  engine: Engine,
  deployment: Deployment,
  group: string,
  turn: Turn,
): Promise<DeployedGroup> {
  const { site, proxmox, progress } = options
  const pins = deployment.groups[group]
  const slot = pins?.active
  const release = slot === undefined ? undefined : pins?.slots[slot]
  if (pins === undefined || slot === undefined || release === undefined) throw new Error(`group ${group} has no pin`)
  const places = placesOf(site, group, pins)
  const seen = await observeGroup(proxmox, places)
  checkIdentity(places, seen)
  const stack = stackName(site, group)
  const outcome = await applyGroup(options, engine, group, pins, turn)
  if (outcome === 'unchanged') progress.info(`${stack}: nothing to do`)
  const list = [...differences(site, group, pins, seen), ...(await secretDifferences(site, options.folder, group, release))]
  for (const warning of certificateWarnings(group, ownCertificateOf(site.public)?.chainFile, certificatesOf(release.given, new Date())))
    progress.warn(`${stack}: ${warning}`)
  for (const difference of list) progress.info(`${stack}: ${difference}`)
  return {
    group,
    outcome: outcome === 'unchanged' ? 'unchanged' : 'deployed',
    slot,
    image: release.image,
    siteDiffers: list.length > 0,
    differences: list,
  }
}

/**
 * What the plan is made from: looked at before anything is changed.
 * @throws Failure of the host (proxmox/place.ts), `node-missing`, `node-offline`, and those of edits that can't take effect
 */
async function observeForDeploy({ site, folder, proxmox, progress }: Observing): Promise<DeploySeen> {
  const deployment = await readPins(folder)
  checkEdits(site, deployment)
  const place = await requirePlace(proxmox, placeOf(site), progress.warn)
  const groups: GroupForDeploy[] = []
  for (const group of Object.keys(site.groups)) {
    const pins = deployment.groups[group]
    const places = placesOf(site, group, pins)
    await requireGroupNode(proxmox, places, site.proxmox.node)
    const seen = await observeGroup(proxmox, places)
    const isLost = isAstray(pins?.dataDisk, diskPlace(seen))
    const seeds: SlotName[] = []
    for (const slot of slotNames) {
      const pinned = pins?.slots[slot]
      if (pinned !== undefined && (await seedIsThere(proxmox, pinned))) seeds.push(slot)
    }
    const obstacles = await findObstacles(proxmox, places, seen, pins?.active ?? firstSlot)
    groups.push({ places, pins, seen, obstacles, seeds, missing: isLost ? missingHint(places, await strayVolumes(proxmox, places)) : '' })
  }
  return { deployment, place, images: (await listImages(proxmox, site)).images, groups }
}

type Observing = Pick<DeployOptions, 'site' | 'folder' | 'proxmox' | 'progress'>

/** What `deploy` would do; nothing is changed. @throws Failure as `deploy` before it begins */
export async function planDeployment(options: Observing): Promise<DeployPlan> {
  return options.progress.step('check the host', async () => {
    const seen = await observeForDeploy(options)
    const plan = planDeploy(options.site, seen)
    const short = shortOfSpace(options.site.proxmox.storage.disks, seen.place.free, spaceNeeds(options.site, plan))
    if (short !== undefined) options.progress.warn(short)
    // Nothing is begun with an image that would be refused when its VM is made.
    if (plan.image !== undefined) await requireTrusted(options, plan.image)
    for (const { group, slot, vm } of plan.groups) {
      const pins = seen.deployment.groups[group]
      if (vm.do === 'make' && pins !== undefined) await requireTrustedPins(options, seen.images, pins, [slot])
    }
    return plan
  })
}

async function pinFirst(options: DeployOptions, group: string, image: Image, fullClone: boolean): Promise<Deployment> {
  const { site, folder, progress } = options
  const { depot } = placesOf(site, group, (await readPins(folder)).groups[group])
  const release = await makeRelease(options, group, firstSlot, image, fullClone)
  progress.info(`group ${group}: release ${release.id} of image ${image.name} for slot ${firstSlot}`)
  return updatePins(folder, group, (pins) => withFirstRelease(pins, firstSlot, release, depot.vmid))
}
