/** VMIDs, which belong to the whole cluster. */
import { Failure } from '../core/failure.ts'
import { ProxmoxError, type Proxmox } from './client.ts'

/** Whether no VM or container has it; `cluster/nextid` knows of those, too, that the token may not see. */
export async function isFree(proxmox: Proxmox, vmid: number): Promise<boolean> {
  try {
    await proxmox.get('/cluster/nextid', { vmid })
    return true
  } catch (error) {
    if (error instanceof ProxmoxError && error.status === 400) return false
    throw error
  }
}

/** The first VMIDs of a range that nobody has; fewer than `count` where there are no more. */
export async function firstFree(
  proxmox: Proxmox,
  { first, last }: { readonly first: number; readonly last: number },
  count: number,
): Promise<number[]> {
  const free: number[] = []
  for (let vmid = first; vmid <= last && free.length < count; vmid++) {
    if (await isFree(proxmox, vmid)) free.push(vmid)
  }
  return free
}

/** Pure. */
export const rangeFull = ({ first, last }: { readonly first: number; readonly last: number }): Failure =>
  new Failure(
    'template-range-full',
    `the VMIDs ${first} to ${last} are all in use`,
    'Remove images that are no longer needed, or widen proxmox.templates in site.ts. Nothing was touched.',
  )
