/** The services' state as the old slot's image had left it: whether it is kept, and what it costs to put it back. Pure. */
import { Failure } from '../core/failure.ts'
import { sizeText } from '../core/quantity.ts'
import type { Role } from '../settings/site.ts'
import type { GuestStatus } from './guest.ts'

export type RestorePoint = NonNullable<GuestStatus['restorePoints']>[number]

/**
 * The restore point that the old slot would put back.
 * @param guest of the slot that has the data
 * @param image fingerprint of the old slot's
 * @throws Failure `restore-point-missing`
 */
export function restorePointFor(group: string, guest: GuestStatus, image: string): RestorePoint {
  const found = guest.restorePoints?.find((point) => point.last && point.image === image)
  if (found !== undefined) return found
  const why =
    guest.restorePoints === undefined
      ? 'the image that serves makes none'
      : guest.image === image
        ? 'both slots have the same image, and one is made before another image uses the state'
        : (guest.problems.find((problem) => problem.includes('restore point')) ??
          'the image that serves did not follow on that of the old slot')
  throw new Failure(
    'restore-point-missing',
    `group ${group} has no restore point of its state as the image of the old slot had left it: ${why}. Nothing was stopped`,
    `"npx golden rollback ${group}" goes back with the state as it is.`,
  )
}

const lost: Readonly<Record<Role, string>> = {
  serena: "what Serena has noted outside of projects (its global memories, among them), and Serena's own settings",
  logging: 'what was changed in Grafana; the log lines since then are on the disk, but are not found any more',
}

/** What is put back, and what goes by it; a line each. @param point undefined: nobody can tell which, for the slot that has it is silent */
export function stateLines(roles: readonly Role[], point: RestorePoint | undefined): string[] {
  return [
    point === undefined
      ? "put back the services' state as the old slot's image had left it, if it is kept: the slot that has the data does not say"
      : `put back the services' state of ${point.made.slice(0, 16).replace('T', ' ')}, as the old slot's image had left it (${sizeText(point.bytes)})`,
    ...roles.map((role) => `lost, since then: ${lost[role]}`),
    'not touched: the projects. What is there now is kept as a restore point: "--state before" from the old slot brings it back',
  ]
}
