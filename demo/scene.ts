/** What all parts of the demo's rollouts and of its night know. */
import { join } from 'node:path'
import type { Proxmox } from '../proxmox/client.ts'
import { publicUrl } from '../clients/url.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import { groupWithRole, type Role, type Site, type SlotName } from '../settings/site.ts'
import { credentials, type OutsideAccess } from './access.ts'
import type { Checks } from './checks.ts'
import type { Golden } from './golden.ts'
import type { Load } from './load.ts'
import type { Guest } from './survive.ts'
import type { TrafficTarget } from './traffic/client.ts'

export interface RolloutsPlace {
  readonly site: Site
  readonly access: OutsideAccess
  readonly golden: Golden
  readonly proxmox: Proxmox
  /** The first project has a file `check_MARK.py` with it. */
  readonly mark: string
  /** How long it took to deploy the site. */
  readonly deployMs: number
  /** How long the demo may still take. */
  leftMs(): number
  readonly signal: AbortSignal
  readonly env: NodeJS.ProcessEnv
  /** How fast it goes. @default at people's pace */
  readonly pace?: Pace
}

export interface Pace {
  /** Of the client that is idle between its calls. */
  readonly idleMs: number
  /** Of the connection with numbered requests. */
  readonly numberEveryMs: number
  /**
   * From an answer to the next call until the new slot stands by: the guests share two processors, and one of them has
   * to boot. From then on there is no pause.
   */
  readonly breathMs: number
}

/** Idle for longer than Node's own pool keeps a connection, for less than nginx does. */
export const peoplesPace: Pace = { idleMs: 20_000, numberEveryMs: 3000, breathMs: 2000 }

export interface Scene extends RolloutsPlace {
  readonly checks: Checks
  readonly serena: string
  readonly logging: string
  /** What the names of checks begin with. */
  readonly label: string
  readonly target: TrafficTarget & { readonly caFile: string }
  readonly pace: Pace
  load?: Load
}

export async function sceneOf(checks: Checks, place: RolloutsPlace, label: string): Promise<Scene> {
  const { site, access, mark } = place
  const group = (role: Role): string => groupWithRole(site, role)?.name ?? ''
  return {
    ...place,
    pace: place.pace ?? peoplesPace,
    checks,
    label,
    serena: group('serena'),
    logging: group('logging'),
    target: {
      ...(await credentials(access)),
      caFile: join(access.folder, secretFiles.ca),
      url: publicUrl(site, '/mcp'),
      call: { tool: 'read_file', arguments: { relative_path: `check_${mark}.py` }, expected: mark },
    },
  }
}

export const guestAt = ({ site, proxmox, signal }: Scene, group: string, slot: SlotName): Guest => {
  const vmid = site.groups[group]?.slots[slot].vmid
  if (vmid === undefined) throw new Error(`there is no group ${group}`)
  return { proxmox, node: site.proxmox.node, vmid, signal }
}
