/** Makes sure that Packer will find the base template, and no other VM. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Proxmox } from '../proxmox/client.ts'
import { listGuests, type Guest } from '../proxmox/cluster.ts'
import { Failure } from '../core/failure.ts'
import { onOnlineNodes } from '../proxmox/online.ts'
import { readConfig } from '../proxmox/vm.ts'
import type { Site } from '../settings/site.ts'

export interface FindBase {
  readonly proxmox: Proxmox
  readonly site: Site
  readonly signal: AbortSignal
  /** @default 500 */
  readonly pauseMs?: number
}

/** With the pause: a minute. */
const looks = 120

/**
 * Plugin 1.1.1 knows its source only by name, and takes the last one of that name in Proxmox's list of VMs. That list
 * tells names up to ten seconds late, so it is waited for until it gives the name to this VM alone; which VMs will have
 * the name is asked of the VMs themselves.
 * @throws Failure `base-ambiguous`, `base-unlisted`
 */
export async function findBase({ proxmox, site, signal, pauseMs = 500 }: FindBase, name: string, vmid: number): Promise<void> {
  let listed: readonly Guest[] = []
  for (let tries = 0; tries < looks; tries++) {
    if (tries > 0) await delay(pauseMs, undefined, { signal })
    listed = (await listGuests(proxmox)).filter(({ type }) => type === 'qemu')
    if (!listed.some((one) => one.vmid === vmid && one.name === name)) continue
    const named: number[] = []
    for (const one of await onOnlineNodes(proxmox, site.proxmox.node, listed)) {
      if (one.vmid !== vmid && (await readConfig(proxmox, one.node, one.vmid))?.name === name) named.push(one.vmid)
    }
    // Those keep it, however long the list is waited for.
    if (named.length > 0) throw ambiguous(name, [vmid, ...named])
    if (listed.every((one) => one.vmid === vmid || one.name !== name)) return
  }
  const bearers = listed.filter((one) => one.name === name).map((one) => one.vmid)
  if (bearers.includes(vmid)) throw ambiguous(name, bearers)
  throw new Failure(
    'base-unlisted',
    `Proxmox has base template ${name} (${vmid}) but does not show its name in its list of VMs, by which Packer looks for it`,
    `Its status daemon makes that list: "systemctl restart pvestatd" on node ${site.proxmox.node}, then run the same command again.`,
  )
}

const ambiguous = (name: string, vmids: readonly number[]): Failure =>
  new Failure(
    'base-ambiguous',
    `several VMs are named ${name}: ${[...vmids].sort((a, b) => a - b).join(', ')}`,
    "Rename or remove those that are not the base template of this site; in Proxmox's list of VMs, by which Packer looks for it, a new name shows some seconds later.",
  )
