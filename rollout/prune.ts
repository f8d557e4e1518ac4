/** `prune`: removes images, bases, seeds and, if asked, slots at rest, of which nobody makes use. */
import { Failure } from '../core/failure.ts'
import { listImages, sortRange } from '../images/catalog.ts'
import { splitTags } from '../images/channels.ts'
import { isLinkedTo } from '../proxmox/conditions.ts'
import { doomedTag } from '../proxmox/doomed.ts'
import { removeVm, type VmToRemove } from '../proxmox/remove-vm.ts'
import { storageAt } from '../proxmox/storage.ts'
import { readConfig, vmAt } from '../proxmox/vm.ts'
import { readGivenKey } from '../releases/given.ts'
import { groupOrder } from '../releases/order.ts'
import { readPins } from '../releases/pins.ts'
import { pinnedSlots } from '../releases/deployment.ts'
import { straySeeds } from '../releases/seed.ts'
import { claimGroups } from './claim-groups.ts'
import { claimSite } from './claim.ts'
import { diskSizes } from './disk-sizes.ts'
import { listUsers } from './image-uses.ts'
import type { DeployOptions } from './options.ts'
import { narrowed, planPrune, type PruneOptions, type PrunePlan, type Removal } from './plan-prune.ts'
import { removeIdle } from './rollout.ts'

type Looking = Pick<DeployOptions, 'site' | 'folder' | 'proxmox'>

/** Nothing is changed. @throws Failure as readPins, or Proxmox's */
export async function planPruning({ site, folder, proxmox }: Looking, options: PruneOptions): Promise<PrunePlan> {
  const deployment = await readPins(folder)
  const sorted = await listImages(proxmox, site)
  const users = await listUsers(proxmox, site, deployment)
  const { node, storage } = site.proxmox
  const files = await storageAt(proxmox, node, storage.iso).files('iso')
  const drives = users.vms.flatMap(({ config }) => Object.values(config).map((value) => String(value).split(',')[0] ?? ''))
  const needed = new Set([...drives, ...pinnedSlots(deployment).map(({ release }) => release.vm.seed)])
  const seeds = straySeeds(
    site,
    await readGivenKey(folder),
    files.map(({ volid }) => volid),
    // Of a VM that nobody can ask, it may be in its drive.
    users.away.length === 0 ? needed : new Set(files.map(({ volid }) => volid)),
  )
  const sizes = await diskSizes(proxmox, [...sorted.images, ...sorted.bases, ...sorted.doomed])
  return planPrune(site, { ...sorted, users, seeds, sizes }, options)
}

export interface Pruned {
  /** What is gone. */
  readonly plan: PrunePlan
  /** What was to go and is still there, because somebody has done something with it since. */
  readonly left: readonly { readonly vmid: number; readonly name: string; readonly why: string }[]
}

/**
 * Looks again, with no other run of the site under way, and removes what is both agreed to and still of no use. Stopped
 * anywhere and run again, it goes on.
 * @throws Failure `deploy-in-progress` or `group-claimed` while another run is at it
 */
export async function prune(options: DeployOptions, how: PruneOptions, agreed: PrunePlan): Promise<Pruned> {
  const { site, folder, progress } = options
  return claimSite(options, 'prune', async (claim) =>
    claimGroups(options, 'prune', groupOrder(site, await readPins(folder)), async (held) => {
      const plan = narrowed(await planPruning(held, how), agreed)
      const left: { vmid: number; name: string; why: string }[] = []
      for (const { group, slot } of plan.oldSlots) {
        held.signal.throwIfAborted()
        await removeIdle(held, claim, group, slot)
      }
      for (const removal of plan.remove) {
        held.signal.throwIfAborted()
        const { what, vmid, name } = removal
        try {
          await progress.step(`remove ${what} ${name} (${vmid})`, () => removeTemplate(held, removal))
        } catch (error) {
          if (!(error instanceof Failure) || !['image-in-use', 'changed-meanwhile'].includes(error.code)) throw error
          progress.warn(error.message)
          left.push({ vmid, name, why: error.message })
        }
      }
      for (const seed of plan.seeds) {
        held.signal.throwIfAborted()
        await progress.step(`remove seed ${seed}`, () => storageAt(held.proxmox, site.proxmox.node, site.proxmox.storage.iso).remove(seed))
      }
      return { plan: { ...plan, remove: plan.remove.filter(({ vmid }) => !left.some((one) => one.vmid === vmid)) }, left }
    }),
  )
}

/** A backup, or a clone that somebody makes. */
const lockTimeoutMs = 300_000

/**
 * Only the template that was planned for, with the very configuration that was looked at: promoted since, or given its VMID
 * anew, it stays. One whose removal an earlier run had begun has our mark.
 * @throws Failure `changed-meanwhile`, `image-in-use`, `vm-locked`, or Proxmox's
 */
async function removeTemplate({ proxmox, signal }: Pick<DeployOptions, 'proxmox' | 'signal'>, removal: Removal): Promise<void> {
  const { node, vmid, name, fingerprint, built, digest } = removal
  let tags = ''
  const look = async (): Promise<VmToRemove | undefined> => {
    const config = await readConfig(proxmox, node, vmid)
    if (config === undefined) return undefined
    const { images, bases, doomed } = sortRange([{ vmid, node, config }])
    const isSame = [...images, ...bases, ...doomed].some(({ record }) => record.fingerprint === fingerprint && record.built === built)
    const isMarked = splitTags(config.tags).includes(doomedTag)
    if (!isSame || (!isMarked && config.digest !== digest))
      throw new Failure(
        'changed-meanwhile',
        `template ${vmid} (${name}) was changed by somebody since it was looked at: it stays`,
        'Run "npx golden prune" again: it looks first.',
      )
    if (!isMarked) tags = config.tags ?? ''
    return { lock: config.lock, running: false, digest: config.digest }
  }
  try {
    await removeVm(proxmox, node, vmid, look, { timeoutMs: lockTimeoutMs, signal })
  } catch (error) {
    if (!isLinkedTo(error)) throw error
    // It was marked as one that goes, and is an image still.
    const config = await vmAt(proxmox, node, vmid).config()
    await vmAt(proxmox, node, vmid).change({ tags, digest: config.digest })
    throw new Failure(
      'image-in-use',
      `template ${vmid} (${name}) has linked clones that this token can't see: it stays`,
      'See in Proxmox whose VM was made from it.',
      { cause: error },
    )
  }
}
