/** Who uses an image: slots by their pins, and VMs by what Proxmox has of them, whoever made them. */
import type { RangeVm } from '../images/catalog.ts'
import { isVmMissing } from '../proxmox/conditions.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { listGuests } from '../proxmox/cluster.ts'
import { onOnlineNodes } from '../proxmox/online.ts'
import { vmAt } from '../proxmox/vm.ts'
import { pinnedSlots, type Deployment } from '../releases/deployment.ts'
import { imageInNotes } from '../releases/slot-notes.ts'
import type { Site, SlotName } from '../settings/site.ts'

export type ImageUse =
  | { readonly kind: 'slot'; readonly group: string; readonly slot: SlotName; readonly serves: boolean }
  /** @property linked its disk is nothing without the image's */
  | { readonly kind: 'vm'; readonly vmid: number; readonly name: string; readonly linked: boolean }

export interface Users {
  readonly deployment: Deployment
  /** Of the site's pools. */
  readonly vms: readonly RangeVm[]
  /** Nodes that are down, with VMs of which nobody can tell. */
  readonly away: readonly string[]
}

export async function listUsers(proxmox: Proxmox, site: Site, deployment: Deployment): Promise<Users> {
  const { pool, depotPool, node } = site.proxmox
  const guests = (await listGuests(proxmox)).filter((one) => one.type === 'qemu' && (one.pool === pool || one.pool === depotPool))
  const online = await onOnlineNodes(proxmox, node, guests)
  const vms: RangeVm[] = []
  for (const one of online) {
    try {
      vms.push({ vmid: one.vmid, node: one.node, config: await vmAt(proxmox, one.node, one.vmid).config() })
    } catch (error) {
      // It was there a moment ago.
      if (!isVmMissing(error)) throw error
    }
  }
  const away = guests.filter((one) => !online.includes(one)).map((one) => one.node)
  return { deployment, vms, away: [...new Set(away)].sort() }
}

/** What of a template tells who was made from it. */
export interface Used {
  readonly vmid: number
  readonly name: string
  readonly volume?: string | undefined
  readonly record: { readonly fingerprint: string }
}

/** Pure. */
export function usesOf({ vmid, name, volume, record }: Used, { deployment, vms }: Users): ImageUse[] {
  const slots = pinnedSlots(deployment)
    .filter(({ release: { image } }) => image.vmid === vmid && image.fingerprint === record.fingerprint)
    .map(({ group, slot }): ImageUse => ({ kind: 'slot', group, slot, serves: deployment.groups[group]?.active === slot }))
  const users = vms.flatMap(({ vmid: user, config }): ImageUse[] => {
    // Proxmox has the base of a linked clone in the name of the clone's volume, but for LVM-thin, where it can do without.
    const linked = volume !== undefined && Object.values(config).some((value) => String(value).startsWith(`${volume}/`))
    const isMade = linked || imageInNotes(config.description ?? '') === name
    return user === vmid || !isMade ? [] : [{ kind: 'vm', vmid: user, name: config.name ?? `VM ${user}`, linked }]
  })
  return [...slots, ...users]
}

export function useText(use: ImageUse): string {
  if (use.kind === 'slot') return `${use.group} ${use.slot}${use.serves ? '' : ' (rests)'}`
  return `VM ${use.vmid} ${use.name}${use.linked ? ' (linked)' : ''}`
}
