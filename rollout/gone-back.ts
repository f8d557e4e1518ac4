/** Images that a site has gone back from, by its history. Pure. */
import { isTakenBack, type Deployment } from '../releases/deployment.ts'
import type { RolloutEntry } from './history.ts'

/**
 * Why each is not to be tried again by itself: its rollout was taken back, or somebody has rolled back from it. One that was
 * rolled out since, or rolled back to, is well again.
 * @param history the newest last
 * @returns by the image's name
 */
export function goneBackFrom(history: readonly RolloutEntry[]): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>()
  for (const { verb, outcome, from, to, ended, who, reason } of history) {
    const day = ended.slice(0, 10)
    if (outcome === 'taken-back' && verb === 'rollout')
      reasons.set(to.image, `its rollout was taken back on ${day}: ${reason ?? ''}`.trim())
    if (outcome !== 'done') continue
    reasons.delete(to.image)
    if (verb === 'rollback' && from.image !== to.image) reasons.set(from.image, `${who} has rolled back from it on ${day}`)
  }
  return reasons
}

/**
 * The same of rollouts whose end is in the pins alone: the run that took one back was gone before it could write that down.
 * @returns by the image's name
 */
export const takenBackIn = ({ groups }: Deployment): ReadonlyMap<string, string> =>
  new Map(
    Object.values(groups).flatMap(({ rollout: note, slots }) => {
      if (!isTakenBack(note)) return []
      const image = slots[note.to]?.image
      return image === undefined ? [] : [[image.name, `its rollout was taken back: ${note.reason ?? ''}`.trim()] as const]
    }),
  )
