/** All stacks of a site. Pure: what is written comes from the arguments alone. */
import type { App } from 'cdktn'
import type { Deployment } from '../releases/deployment.ts'
import { GroupStack, type GroupStackProps } from './group-stack.ts'
import { groupOrder } from '../releases/order.ts'
import type { Site } from '../settings/site.ts'

export interface AppProps extends Pick<GroupStackProps, 'folder' | 'project' | 'node'> {
  readonly site: Site
  readonly deployment: Deployment
}

/** A stack for each group, added to the app; each depends on the one before, so that they go one after another. */
export function addStacks(app: App, { site, deployment, ...places }: AppProps): GroupStack[] {
  const stacks = groupOrder(site, deployment).map(
    (group) => new GroupStack(app, { site, group, pins: deployment.groups[group], ...places }),
  )
  for (const [index, stack] of stacks.entries()) {
    const before = stacks[index - 1]
    if (before !== undefined) stack.addDependency(before)
  }
  return stacks
}
