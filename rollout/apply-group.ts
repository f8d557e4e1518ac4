/** Makes a group's VMs what its pins say: seeds, the stack, and what an interrupted run has left of either. */
import { Failure } from '../core/failure.ts'
import { listImages } from '../images/catalog.ts'
import type { GroupPins } from '../releases/deployment.ts'
import { refuseOtherSeed } from '../releases/given.ts'
import { stackName } from '../releases/order.ts'
import { readSeedSecrets, seedIsThere, uploadSeed } from '../releases/seed.ts'
import { slotNames, type SlotName } from '../settings/site.ts'
import { checkImages, requireTrustedPins } from './choose-image.ts'
import { untilCloned } from './cloned.ts'
import { dataKey } from './depot.ts'
import type { Engine, PlannedChange } from './engine.ts'
import { guestOf } from './guest.ts'
import { diskPlace, observeGroup, placesOf, type GroupPlaces } from './observe.ts'
import type { DeployOptions } from './options.ts'
import { settleSlot } from './slots.ts'

/** A group's turn, which it may end before its work does. */
export interface Turn {
  /** Whether other groups wait for it. */
  readonly isWanted: boolean
  end(): void
}

/**
 * @param engine has written the stacks of these pins
 * @param turn ended as soon as the VMs are cloned; what comes then, their start and activation, takes minutes and nobody else's locks
 * @throws Failure; run again, it goes on from there
 */
export async function applyGroup(
  options: DeployOptions,
  engine: Engine,
  group: string,
  pins: GroupPins,
  turn?: Turn,
): Promise<'applied' | 'unchanged'> {
  const { site, proxmox, progress, signal } = options
  const places = placesOf(site, group, pins)
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
  return progress.step(`deploy ${stack}`, async (note): Promise<'applied' | 'unchanged'> => {
    await engine.init(stack)
    const known = await engine.listState(stack)
    const adopted: SlotName[] = []
    for (const name of slotNames) {
      const pinned = pins.slots[name]
      if (pinned === undefined) continue
      if ((await settleSlot(proxmox, places, name, engine, stack, known, pinned.id, note, signal)) === 'adopted') adopted.push(name)
    }
    const slot = pins.active
    const activation = `terraform_data.${slot}_activation`
    if (slot !== undefined && known.includes(activation) && (await hasLost(options, places, slot))) {
      note(`slot ${slot} does not run, or has let go of the data disk: it is activated again`)
      await engine.forget(stack, [activation])
    }
    const changes = await engine.plan(stack, note)
    if (changes.length === 0) return 'unchanged'
    note(`${changes.length} changes`)
    await refuseToRemake(engine, stack, places, adopted, changes)
    const cloned = slotNames.filter((name) =>
      changes.some(
        ({ address, action }) => address === `proxmox_virtual_environment_vm.${name}` && (action === 'create' || action === 'replace'),
      ),
    )
    try {
      if (cloned.length > 0) {
        const { images } = await listImages(proxmox, site)
        checkImages(images, group, pins, cloned)
        await requireTrustedPins(options, images, pins, cloned)
      }
    } catch (error) {
      await engine.discard(stack)
      throw error
    }
    const applied = new AbortController()
    const isReplaced = changes.some(({ action }) => action === 'replace')
    // A VM that is replaced is there before, by the same name.
    const handingOn =
      turn?.isWanted === true && !isReplaced ? untilCloned(proxmox, places, cloned, applied.signal).then(turn.end, () => {}) : undefined
    try {
      await engine.apply(stack, note)
    } finally {
      applied.abort()
      await handingOn
    }
    return 'applied'
  })
}

/** A VM that serves is taken into the state as it is, or not at all. @throws Failure `vm-not-in-state` */
async function refuseToRemake(
  engine: Engine,
  stack: string,
  { group, slots }: GroupPlaces,
  adopted: readonly SlotName[],
  changes: readonly PlannedChange[],
): Promise<void> {
  for (const slot of adopted) {
    const address = `proxmox_virtual_environment_vm.${slot}`
    if (!changes.some((change) => change.address === address && /delete|replace/.test(change.action))) continue
    await engine.discard(stack)
    await engine.forget(stack, [address])
    throw new Failure(
      'vm-not-in-state',
      `VM ${slots[slot].vmid} (${slots[slot].name}) runs, Terraform's state does not know it, and it is not as its release was made`,
      `Put back what was changed of it by hand; or end the release with "npx golden destroy ${group}". The data is kept.`,
    )
  }
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
  // The engine does not care whether a slot runs: one that waits for its turn back may be stopped.
  if (!vm.running) return true
  if (place.at !== slot || place.disk.key !== dataKey) return true
  const guest = await guestOf(proxmox, places.node, places.slots[slot].vmid, signal).status()
  return guest !== undefined && guest.dataDisk !== 'mounted'
}
