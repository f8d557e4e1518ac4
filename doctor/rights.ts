/** What the token may do, path by path: Proxmox tells a token of itself. */
import { Failure } from '../core/failure.ts'
import { lackingOn } from '../proxmox/lacking.ts'
import { privilegeTable, type PrivilegeScope, type PrivilegeTarget } from '../proxmox/privileges.ts'
import type { Site } from '../settings/site.ts'
import type { Check } from './check.ts'
import { fine, ofError, warn, type Outcome } from './line.ts'

interface Right {
  readonly id: string
  /** In the order of the table of privileges. */
  readonly of: 'pool' | 'depotPool' | 'disks' | 'iso' | 'bridge' | 'node' | 'datacenter'
  readonly where: string
  /** A line of its own says whether that is there at all. */
  readonly needs?: string
}

const rights: readonly Right[] = [
  { id: 'rights-pool', of: 'pool', where: 'the pool of templates and slots' },
  { id: 'rights-depot-pool', of: 'depotPool', where: "the depots' pool" },
  { id: 'rights-disks', of: 'disks', where: 'the storage of disks' },
  { id: 'rights-iso', of: 'iso', where: 'the storage of seeds and imports' },
  { id: 'rights-bridge', of: 'bridge', where: 'the bridge' },
  { id: 'rights-node', of: 'node', where: 'the node, from which Proxmox downloads a base image', needs: 'node' },
  { id: 'rights-datacenter', of: 'datacenter', where: 'the datacenter, whose firewall is looked at' },
]

export const scopeOf = ({ proxmox }: Site): PrivilegeScope => ({
  node: proxmox.node,
  pool: proxmox.pool,
  depotPool: proxmox.depotPool,
  disks: proxmox.storage.disks,
  iso: proxmox.storage.iso,
  bridge: proxmox.bridge,
})

export const rightsChecks: readonly Check[] = rights.map(({ id, of, where, needs = 'version' }, at) => ({
  id,
  section: 'Proxmox',
  looks: `the token has each privilege that it needs on ${where}`,
  mends: '`npx golden setup` grants what is missing',
  needs: [needs],
  limit: 'api',
  async run(facts) {
    const { site } = await facts.site()
    const target = privilegeTable(scopeOf(site), await facts.release())[at]
    if (target === undefined) throw new Error(`there is no privilege for ${of}`)
    const lacking = lackingOn(target, await facts.permissions())
    if (lacking === undefined)
      return fine(`${target.path}: ${target.privileges.length === 1 ? target.privileges[0] : `all ${target.privileges.length}`}`)
    return lackingOutcome(site, of, target, lacking.missing, lacking.all)
  },
}))

const grants = 'Run "npx golden setup" again: it grants what is missing.'

/** What golden can do without, it says when it comes to it; so it need not stop anybody here. Pure. */
export function lackingOutcome(site: Site, of: Right['of'], { path }: PrivilegeTarget, missing: readonly string[], all: boolean): Outcome {
  const message = `the token lacks ${missing.join(', ')} on ${path}`
  const { storage, bridge, node } = site.proxmox
  if (of === 'datacenter') return warn(`${message}: whether the datacenter firewall is on is not for it to see`, grants)
  if (of === 'node' && site.image.base.file !== undefined)
    return warn(`${message}, which takes it only where the base image comes from a url`, grants)
  if (of === 'depotPool' && missing.every((privilege) => privilege === 'VM.Config.Options'))
    return warn(`${message}: groups can't be claimed, so that two computers may be at one`, grants)
  // To Proxmox, what is not there and what nobody has granted anything on looks the same.
  if (all && (of === 'disks' || of === 'iso'))
    return ofError(
      new Failure(
        'storage-missing',
        `storage ${storage[of]} (proxmox.storage.${of}) is not there on node ${node}, or the token may not use it: ${message}`,
        `Correct proxmox.storage.${of} in site.ts, or run "npx golden setup" again: it gives the token its rights there.`,
      ),
    )
  if (all && of === 'bridge')
    return ofError(
      new Failure(
        'bridge-missing',
        `node ${node} has no bridge or vnet ${bridge} (proxmox.bridge), or the token may not use it: ${message}`,
        'Correct proxmox.bridge in site.ts; or run "npx golden setup" again, which gives the token its rights there.',
      ),
    )
  return ofError(new Failure('permission-denied', message, grants))
}
