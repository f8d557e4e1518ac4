/** Names and order of the stacks: known without the bindings. */
import { Failure } from '../core/failure.ts'
import type { Deployment } from './deployment.ts'
import type { Role, Site } from '../settings/site.ts'

/** Name of a group's stack, of its state too. */
export const stackName = (site: Pick<Site, 'name'>, group: string): string => `${site.name}-${group}`

/** The groups in the order of deployment: whoever keeps the others' logs comes first. */
export function groupOrder(site: Site, deployment: Deployment): string[] {
  const names = new Set([
    ...Object.keys(site.groups),
    ...Object.entries(deployment.groups)
      .filter(([, pins]) => pins.active !== undefined)
      .map(([name]) => name),
  ])
  const rolesOf = (name: string): readonly Role[] => {
    const pins = deployment.groups[name]
    const release = pins?.active === undefined ? undefined : pins.slots[pins.active]
    return release?.seed.roles ?? site.groups[name]?.roles ?? []
  }
  return [...names].sort((a, b) => Number(rolesOf(b).includes('logging')) - Number(rolesOf(a).includes('logging')))
}

/** Of a word that should have been one of these. */
export const groupUnknown = (name: string, groups: readonly string[]): Failure =>
  new Failure('group-unknown', `there is no group ${name}`, `There are: ${groups.join(', ')}.`, { unknown: { said: name, known: groups } })
