/** All stacks of a site. Pure: what is written comes from the arguments alone. */
import { App } from 'cdktn'
import { noDeployment, type Deployment } from './deployment.ts'
import { GroupStack, type GroupStackProps } from './group-stack.ts'
import type { Site } from './site.ts'

export interface AppProps extends Pick<GroupStackProps, 'folder' | 'project' | 'node'> {
  readonly site: Site
  readonly deployment?: Deployment
}

/** The groups in the order of deployment: whoever keeps the others' logs comes first. */
export function groupOrder(site: Site, deployment: Deployment): string[] {
  const names = new Set([...Object.keys(site.groups), ...Object.entries(deployment.groups).filter(([, pins]) => pins.active !== undefined).map(([name]) => name)])
  const rolesOf = (name: string): readonly string[] => {
    const pins = deployment.groups[name]
    const release = pins?.active === undefined ? undefined : pins.slots[pins.active]
    return release?.seed.roles ?? site.groups[name]?.roles ?? []
  }
  return [...names].sort((a, b) => Number(rolesOf(b).includes('logging')) - Number(rolesOf(a).includes('logging')))
}

/** A stack for each group, added to the app; each depends on the one before, so that they go one after another. */
export function addStacks(app: App, { site, deployment = noDeployment, ...places }: AppProps): GroupStack[] {
  const stacks = groupOrder(site, deployment).map((group) => new GroupStack(app, { site, group, pins: deployment.groups[group], ...places }))
  for (const [index, stack] of stacks.entries()) {
    const before = stacks[index - 1]
    if (before !== undefined) stack.addDependency(before)
  }
  return stacks
}
