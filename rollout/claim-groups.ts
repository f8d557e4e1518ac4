/**
 * One run at a time changes a group, from whatever computer and copy of the site folder: the claims of all groups that a verb
 * is going to change are taken before it looks at them, and given back at its end. The site folder's own claim (claim.ts) comes
 * first: it waits for engines that a killed run has left, which no other computer can see.
 */
import { Failure } from '../core/failure.ts'
import { checked } from '../proxmox/checked.ts'
import { readPins } from '../releases/pins.ts'
import { claimHeld } from './claim.ts'
import type { GroupWork } from './context.ts'
import { holdGroup, type Hold } from './hold-group.ts'
import { groupNodeProblem } from './node.ts'
import { placesOf, type GroupPlaces } from './observe.ts'

/**
 * @param groups in whatever order: claims are taken by name, so that of two that want the same one gets all of them
 * @param work gets the same options, with a signal that ends when a claim is lost, and with a client that changes nothing from
 * then on; and that signal alone, for what is done after people have asked to stop
 * @throws Failure `group-claimed` before the work begins, `claim-lost` in the middle of it
 */
export async function claimGroups<Options extends GroupWork, T>(
  options: Options,
  verb: string,
  groups: readonly string[],
  work: (held: Options, lost: AbortSignal) => Promise<T>,
): Promise<T> {
  const { proxmox, progress, signal, claimPace: pace } = options
  const lost = new AbortController()
  const holds: Hold[] = []
  const unclaimed: string[] = []
  try {
    for (const group of [...new Set(groups)].sort()) {
      const places = await placesIfThere(options, group)
      if (places === undefined) continue
      const hold = await holdGroup({ proxmox, places, progress, signal, verb, pace, lost: (failure) => lost.abort(failure) })
      if (typeof hold === 'object') holds.push(hold)
      if (hold === 'not-allowed') unclaimed.push(group)
      if (hold === 'no-room')
        progress.warn(
          `the notes of VM ${places.depot.vmid} are full: there is no room for the claim on group ${group}, and runs on other computers are not kept out`,
        )
    }
    if (unclaimed.length > 0)
      progress.warn(
        `the token may not write the claim on ${unclaimed.length === 1 ? 'group' : 'groups'} ${unclaimed.join(', ')} to the host, so runs on other computers are not kept out: run "npx golden setup" once, it grants what is missing`,
      )
    const confirm = async (): Promise<void> => {
      for (const hold of holds) await hold.confirm()
    }
    const held = { ...options, proxmox: checked(proxmox, confirm), signal: AbortSignal.any([signal, lost.signal]) }
    return await work(held, lost.signal)
  } catch (error) {
    throw lost.signal.aborted && !signal.aborted ? lost.signal.reason : error
  } finally {
    await Promise.all(holds.map((hold) => hold.release()))
  }
}

/** For a hook of one group: within the run that started it, or, when people run the engine themselves, by a claim of its own. */
export async function claimGroupForHook<T>(
  options: GroupWork,
  hook: string,
  group: string,
  env: NodeJS.ProcessEnv,
  work: (held: GroupWork) => Promise<T>,
): Promise<T> {
  return env.GOLDEN_CLAIM === claimHeld.GOLDEN_CLAIM ? work(options) : claimGroups(options, `hook ${hook}`, [group], work)
}

/** Of what is wrong with a group's pins, or its node, the verb itself says more. */
async function placesIfThere({ site, folder, proxmox }: GroupWork, group: string): Promise<GroupPlaces | undefined> {
  try {
    const places = placesOf(site, group, (await readPins(folder)).groups[group])
    return (await groupNodeProblem(proxmox, places, site.proxmox.node)) === undefined ? places : undefined
  } catch (error) {
    if (error instanceof Failure && (error.code === 'group-unknown' || error.code === 'site-renamed')) return undefined
    throw error
  }
}
