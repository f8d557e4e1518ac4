/** What the whole cluster knows: which guests there are, and what else acts on them. */
import type { Proxmox } from './client.ts'

/** A VM or container. Of what it is called, and whether it is a template, this list knows up to ten seconds late; where it is, and in which pool, at once. */
export interface Guest {
  readonly vmid: number
  /** `qemu`: a VM. */
  readonly type: string
  readonly node: string
  readonly name?: string
  readonly pool?: string
  /** `running`, `stopped`. */
  readonly status?: string
}

/** Those that the token may see. */
export const listGuests = (proxmox: Proxmox): Promise<Guest[]> => proxmox.get('/cluster/resources', { type: 'vm' })

/** What HA manages, `vm:VMID`; also of VMIDs that no VM has any more. It takes Sys.Audit on `/`. */
export const haResources = (proxmox: Proxmox): Promise<{ readonly sid: string; readonly state?: string }[]> =>
  proxmox.get('/cluster/ha/resources')

export const replicationJobs = (proxmox: Proxmox): Promise<{ readonly id: string; readonly guest: number }[]> =>
  proxmox.get('/cluster/replication')

/** All vnets of SDN, and the zones that they are in. */
export const listVnets = (proxmox: Proxmox): Promise<{ readonly vnet: string; readonly zone?: string }[]> =>
  proxmox.get('/cluster/sdn/vnets')

/** The node that answers, of a cluster as well as of a node alone. It takes Sys.Audit on `/`. */
export async function answeringNode(proxmox: Proxmox): Promise<string | undefined> {
  const members = await proxmox.get<{ type: string; name: string; local?: number }[]>('/cluster/status')
  return members.find(({ type, local }) => type === 'node' && local === 1)?.name
}
