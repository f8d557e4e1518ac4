/** The node that a group is on: by its pins it may be another than the site's, and it may be away. */
import type { Proxmox } from '../proxmox/client.ts'
import { Failure } from '../core/failure.ts'
import { listNodes } from '../proxmox/nodes.ts'
import { nodeProblem } from '../proxmox/place.ts'
import type { GroupPlaces } from './observe.ts'

/**
 * Proxmox answers for a node that is off as it does while its own services restart, which is waited for: so this is
 * looked at before anything is asked of the node itself.
 */
export async function groupNodeProblem(
  proxmox: Proxmox,
  { node, group }: Pick<GroupPlaces, 'node' | 'group'>,
  siteNode: string,
): Promise<Failure | undefined> {
  const problem = nodeProblem(node, await listNodes(proxmox))
  if (problem === undefined || node === siteNode) return problem
  const what = problem.code === 'node-missing' ? 'is not in this cluster any more' : 'is away'
  return new Failure(
    problem.code,
    `node ${node}, where deployment.json has group ${group}, ${what}`,
    `Bring that node back, then run the same command again. proxmox.node in site.ts counts for what is not deployed yet. If it is lost for good, restore depot and data from your backup on another node, and take the group's slots out of deployment.json.`,
  )
}

/** @throws Failure `node-missing`, `node-offline` */
export async function requireGroupNode(proxmox: Proxmox, places: Pick<GroupPlaces, 'node' | 'group'>, siteNode: string): Promise<void> {
  const problem = await groupNodeProblem(proxmox, places, siteNode)
  if (problem !== undefined) throw problem
}
