/** Pools, on which the token's rights hang. */
import type { Proxmox } from './client.ts'

export const listPools = (proxmox: Proxmox): Promise<{ readonly poolid: string; readonly comment?: string }[]> => proxmox.get('/pools')

export async function poolNames(proxmox: Proxmox): Promise<string[]> {
  return (await listPools(proxmox)).map(({ poolid }) => poolid)
}

/** Storages that are members of a pool. */
export async function storagesInPool(proxmox: Proxmox, poolid: string): Promise<string[]> {
  const [pool] = await proxmox.get<{ members?: { storage?: string }[] }[]>('/pools', { poolid, type: 'storage' })
  return (pool?.members ?? []).flatMap(({ storage }) => (storage === undefined ? [] : [storage]))
}
