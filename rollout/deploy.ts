/** `deploy`: pins an image for groups that have none, puts their seeds on the host, and applies the stacks. */
import { newestCandidate, revokedTag } from '../images/channels.ts'
import { seedForm } from '../images/contract/seed.ts'
import { bringHere, elsewhere, listImages, type Image } from '../images/catalog.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { Failure } from '../core/failure.ts'
import { requirePlace } from '../proxmox/place.ts'
import { newRelease, type Deployment, type GroupPins, type Release } from '../releases/deployment.ts'
import { placeOf, slotNames, type Site, type SlotName } from '../settings/site.ts'
import { groupOrder, stackName } from '../releases/order.ts'
import { claimSite, type SiteClaim } from './claim.ts'
import { destroyGroup } from './destroy.ts'
import { dataKey, settleGroup } from './depot.ts'
import { checkEdits, differences } from './edits.ts'
import { openEngine, type Engine } from './engine.ts'
import { firewallNotice, firewallState } from './firewall.ts'
import { certificatesOf, certificateWarnings, givenKey, givenOf, refuseOtherSeed, seedTag } from '../releases/given.ts'
import { guestOf } from './guest.ts'
import { missingHint, strayVolumes } from './missing.ts'
import { requireGroupNode } from './node.ts'
import { checkIdentity, diskPlace, observeGroup, placesOf, type GroupPlaces, type GroupSeen } from './observe.ts'
import { refuseObstacles } from './obstacles.ts'
import type { DeployOptions } from './options.ts'
import { newReleaseId, readPins, updatePins, withFirstRelease } from '../releases/pins.ts'
import { resume } from './resume.ts'
import { checkSeedSecrets, readSeedSecrets, secretDifferences, seedIsThere, uploadSeed } from '../releases/seed.ts'
import { settleSlot } from './slots.ts'

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

/** The slot that a group's first release goes into. */
const firstSlot: SlotName = 'blue'

/**
 * A first release that fails before its slot owns the data, or that is stopped, is taken back: nothing half-done stays,
 * but for a VM that does not answer.
 * @throws Failure; run again, it goes on from there. `deploy-in-progress` while another run changes this site
 */
export async function deploy(options: DeployOptions): Promise<readonly DeployedGroup[]> {
  return claimSite(options.folder, 'deploy', async (claim) => {
    const begun = new Set<string>()
    try {
      return await deployGroups(options, claim, begun)
    } catch (error) {
      for (const group of [...begun].reverse()) await takeBack(options, claim, group, error)
      throw error
    }
  })
}

/** @param begun groups whose first release this run has pinned and not yet deployed; kept up to date */
async function deployGroups(options: DeployOptions, claim: SiteClaim, begun: Set<string>): Promise<readonly DeployedGroup[]> {
  const { site, folder, proxmox, progress, signal } = options
  let deployment = await readPins(folder)
  checkEdits(site, deployment)
  const place = await progress.step('check the host', async () => {
    const found = await requirePlace(proxmox, placeOf(site), progress.warn)
    await checkDeployed(options, deployment)
    return found
  })
  const missing = Object.keys(site.groups).filter((group) => deployment.groups[group]?.active === undefined)
  if (missing.length > 0) {
    await checkSeedSecrets(site, folder, missing)
    const image = await firstImage(proxmox, site)
    for (const group of missing) {
      deployment = await pinFirst(options, group, image, !place.linkedClones)
      begun.add(group)
    }
  }
  await refuseRevoked(proxmox, site, deployment)
  const engine = openEngine({ ...options, claim })
  const results: DeployedGroup[] = []
  await progress.step('write the stacks', () => engine.synth())
  for (const group of groupOrder(site, deployment)) {
    signal.throwIfAborted()
    results.push(
      await resume(options, placesOf(site, group, deployment.groups[group]), () => deployGroup(options, engine, deployment, group)),
    )
    begun.delete(group)
  }
  const firewall = firewallNotice(await firewallState(proxmox))
  if (firewall !== undefined) progress.info(firewall)
  return results
}

/** The cause is on the console of a VM that says nothing. */
const silent = ['agent-timeout', 'slot-silent']

/**
 * Ends a first release that did not come to its end. A slot that owns the data or does not answer stays where nobody has
 * asked for a stop: whoever looks for the cause needs it, and the next run goes on with it. Never throws: what failed
 * before counts.
 */
async function takeBack(options: DeployOptions, claim: SiteClaim, group: string, cause: unknown): Promise<void> {
  const { site, folder, proxmox, progress } = options
  // Asked to stop a second time, the program ends; until then this is what it does about the first time.
  const undo = { ...options, signal: new AbortController().signal }
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

async function deployGroup(options: DeployOptions, engine: Engine, deployment: Deployment, group: string): Promise<DeployedGroup> {
  const { site, proxmox, progress, signal } = options
  const pins = deployment.groups[group]
  const slot = pins?.active
  const release = slot === undefined ? undefined : pins?.slots[slot]
  if (pins === undefined || slot === undefined || release === undefined) throw new Error(`group ${group} has no pin`)
  const places = placesOf(site, group, pins)
  const seen = await observeGroup(proxmox, places)
  checkIdentity(places, seen)
  const stack = stackName(site, group)
  for (const name of slotNames) {
    const pinned = pins.slots[name]
    if (pinned !== undefined && !(await seedIsThere(proxmox, pinned))) {
      await progress.step(`upload the seed of ${pinned.vm.name}`, async () => {
        const secrets = await readSeedSecrets(site, options.folder, pinned)
        await refuseOtherSeed(options.folder, group, pinned, secrets)
        await uploadSeed(proxmox, pinned, secrets, signal)
      })
    }
  }
  const outcome = await progress.step(`deploy ${stack}`, async (note): Promise<'deployed' | 'unchanged'> => {
    await engine.init(stack)
    const known = await engine.listState(stack)
    for (const name of slotNames) {
      if (pins.slots[name] !== undefined) await settleSlot(proxmox, places, name, engine, stack, known, note, signal)
    }
    const activation = `terraform_data.${slot}_activation`
    if (known.includes(activation) && (await hasLost(options, places, slot))) {
      note(`slot ${slot} has let go of the data disk: it is activated again`)
      await engine.forget(stack, [activation])
    }
    const changes = await engine.plan(stack, note)
    if (changes.length === 0) return 'unchanged'
    note(`${changes.length} changes`)
    const cloned = slotNames.filter((name) =>
      changes.some(
        ({ address, action }) => address === `proxmox_virtual_environment_vm.${name}` && (action === 'create' || action === 'replace'),
      ),
    )
    try {
      if (cloned.length > 0) checkImages((await listImages(proxmox, site)).images, group, pins, cloned)
    } catch (error) {
      await engine.discard(stack)
      throw error
    }
    await engine.apply(stack, note)
    return 'deployed'
  })
  if (outcome === 'unchanged') progress.info(`${stack}: nothing to do`)
  const list = [...differences(site, group, pins, seen), ...(await secretDifferences(site, options.folder, group, release))]
  for (const warning of certificateWarnings(group, site.public.certificate?.chainFile, certificatesOf(release.given, new Date())))
    progress.warn(`${stack}: ${warning}`)
  for (const difference of list) progress.info(`${stack}: ${difference}`)
  return { group, outcome, slot, image: release.image, siteDiffers: list.length > 0, differences: list }
}

/**
 * Whether a slot that was activated does not own or use the data disk any more: a destroy was stopped half-way, or
 * somebody took the disk off. The state knows nothing of that.
 */
async function hasLost({ proxmox, signal }: DeployOptions, places: GroupPlaces, slot: SlotName): Promise<boolean> {
  const seen = await observeGroup(proxmox, places)
  const vm = seen.slots[slot]
  const place = diskPlace(seen)
  if (vm.there !== true) return false
  if (place.at !== slot || place.disk.key !== dataKey) return true
  const guest = vm.running ? await guestOf(proxmox, places.node, places.slots[slot].vmid, signal).status() : undefined
  return guest !== undefined && guest.dataDisk !== 'mounted'
}

/** Whose the VMs and depots of all that is deployed are: looked at before anything is changed. */
async function checkDeployed({ site, proxmox, progress }: DeployOptions, deployment: Deployment): Promise<void> {
  for (const [group, pins] of Object.entries(deployment.groups)) {
    if (site.groups[group] === undefined) {
      progress.info(`deployment.json knows data of group ${group}, which site.ts does not have: put the group back to use or delete it`)
      continue
    }
    const places = placesOf(site, group, pins)
    await requireGroupNode(proxmox, places, site.proxmox.node)
    const seen = await observeGroup(proxmox, places)
    checkIdentity(places, seen)
    await checkHandover(proxmox, places, pins, seen)
  }
}

/** Of a group whose data is at home, or in no place: before a VM is made for it. @throws Failure */
async function checkHandover(proxmox: Proxmox, places: GroupPlaces, pins: GroupPins | undefined, seen: GroupSeen): Promise<void> {
  const place = diskPlace(seen)
  const isGone = 'disk' in place && place.disk.gone === true
  if (isGone || (place.at === 'nowhere' && pins?.dataDisk === 'made'))
    throw new Failure(
      'data-disk-missing',
      `the data disk of group ${places.group} ${isGone ? `is not on its storage, though ${place.at === 'depot' ? `depot ${places.depot.vmid}` : `slot ${place.at}`} names it: ${place.disk.volume}` : 'is neither in its depot nor in a slot'}`,
      missingHint(places, await strayVolumes(proxmox, places)),
    )
  await refuseObstacles(proxmox, places, seen, pins?.active ?? firstSlot)
}

async function firstImage(proxmox: Proxmox, site: Site): Promise<Image> {
  const listed = (await listImages(proxmox, site)).images
  const images = listed.filter((one) => (one.record.seed ?? 1) === seedForm)
  const image = newestCandidate(
    images.filter((one) => elsewhere(site, one) === undefined),
    site.image.base.sha256,
  )
  if (image !== undefined) return image
  const old = newestCandidate(listed, site.image.base.sha256)
  if (old !== undefined && !images.includes(old))
    throw new Failure(
      'image-of-other-version',
      `the newest image, ${old.name} (${old.vmid}), was baked by another version of this project, and reads another form of seed (${old.record.seed ?? 1}, this version writes ${seedForm})`,
      'Run "npx golden bake": it makes one of this version.',
    )
  const away = newestCandidate(images, site.image.base.sha256)
  if (away !== undefined)
    throw new Failure(
      'image-elsewhere',
      `the newest image, ${away.name} (${away.vmid}), is ${elsewhere(site, away) ?? ''}`,
      `Run "npx golden bake": it makes one there. Or, in Proxmox, ${bringHere(site, away)}.`,
    )
  const others = images.length === 0 ? '' : ` (${images.length} of another base or revoked)`
  throw new Failure(
    'no-image',
    `pool ${site.proxmox.pool} has no image of base ${site.image.base.os} ${site.image.base.sha256.slice(0, 12)}${others}`,
    'Run "npx golden bake".',
  )
}

async function pinFirst(
  { site, folder, proxmox, progress }: DeployOptions,
  group: string,
  image: Image,
  fullClone: boolean,
): Promise<Deployment> {
  const places = placesOf(site, group, (await readPins(folder)).groups[group])
  const seen = await observeGroup(proxmox, places)
  checkIdentity(places, seen)
  const place = diskPlace(seen)
  if (place.at === 'blue' || place.at === 'green') {
    throw new Failure(
      'pin-lost',
      `slot ${place.at} of group ${group} owns the data disk, but deployment.json has no release for it`,
      `Restore deployment.json, e.g. with git; or end that slot with "npx golden destroy ${group}". The data is kept.`,
    )
  }
  await checkHandover(proxmox, places, (await readPins(folder)).groups[group], seen)
  const key = await givenKey(folder)
  const id = newReleaseId()
  const made = newRelease(site, group, firstSlot, {
    id,
    created: new Date(),
    image: { vmid: image.vmid, name: image.name, fingerprint: image.record.fingerprint },
    fullClone,
    seedTag: seedTag(key, site.name, places.slots[firstSlot].vmid, id),
  })
  const release: Release = { ...made, given: givenOf(key, id, await readSeedSecrets(site, folder, made)) }
  progress.info(`group ${group}: release ${release.id} of image ${image.name} for slot ${firstSlot}`)
  return updatePins(folder, group, (pins) => withFirstRelease(pins, firstSlot, release, places.depot.vmid))
}

/**
 * A clone is made by VMID, and in the meantime another image may have got that one.
 * @param slots those whose VM is going to be made
 * @throws Failure `image-changed`, `image-elsewhere`
 */
export function checkImages(images: readonly Image[], group: string, pins: GroupPins, slots: readonly SlotName[]): void {
  for (const slot of slots) {
    const wanted = pins.slots[slot]?.image
    if (wanted === undefined) continue
    const found = images.find((image) => image.vmid === wanted.vmid)
    const node = pins.slots[slot]?.vm.node ?? ''
    if (found?.record.fingerprint === wanted.fingerprint) {
      if (found.node === node) continue
      throw new Failure(
        'image-elsewhere',
        `image ${wanted.name} (${wanted.vmid}), pinned for slot ${slot} of group ${group}, is on node ${found.node}, and the slot's VM is to be on ${node}`,
        `Migrate it back: "qm migrate ${wanted.vmid} ${node}" on node ${found.node}. Or run "npx golden destroy ${group}", then "npx golden bake" and "npx golden deploy". The data is kept.`,
      )
    }
    throw new Failure(
      'image-changed',
      `image ${wanted.name}, pinned for slot ${slot} of group ${group}, is not template ${wanted.vmid} any more: ${found === undefined ? 'there is no image with that VMID' : `that is ${found.name} now`}`,
      `Put that template back, or run "npx golden destroy ${group}", then "npx golden deploy": it takes the newest image. The data is kept.`,
    )
  }
}

async function refuseRevoked(proxmox: Proxmox, site: Site, deployment: Deployment): Promise<void> {
  const { images } = await listImages(proxmox, site)
  for (const [group, pins] of Object.entries(deployment.groups)) {
    for (const slot of slotNames) {
      const release = pins.slots[slot]
      const image = images.find((one) => one.vmid === release?.image.vmid)
      if (release !== undefined && image?.revoked)
        throw new Failure(
          'image-revoked',
          `image ${release.image.name}, pinned for slot ${slot} of group ${group}, is revoked (tag ${revokedTag})`,
          `Bake a new one, then "npx golden destroy ${group}" and "npx golden deploy". The data is kept.`,
        )
    }
  }
}
