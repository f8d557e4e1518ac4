/** Clients over SSE: every handover cuts them off, whoever serves afterwards. They are counted before. */
import type { Proxmox } from '../proxmox/client.ts'
import type { Release } from '../releases/deployment.ts'
import { guestOf, type GuestStatus } from './guest.ts'
import type { VmSeen } from './observe.ts'

/** @returns how many the slot has right now; undefined: it can have none, or does not say */
export async function countSseClients(
  proxmox: Proxmox,
  release: Release | undefined,
  vm: VmSeen | undefined,
  signal?: AbortSignal,
): Promise<number | undefined> {
  // A guest is asked only where there can be any: it takes a second.
  if (release?.seed.serena?.transports.includes('sse') !== true || vm?.there !== true || !vm.running) return undefined
  return (await guestOf(proxmox, release.vm.node, release.vm.vmid, signal).status())?.sseClients
}

/** For people; nothing where there are none. Pure. */
export function sseLine(count: GuestStatus['sseClients'] | null): string | undefined {
  if (count === undefined || count === null || count === 0) return undefined
  return `${count} ${count === 1 ? 'client' : 'clients'} over SSE will have to reconnect: a rollout or a rollback cuts them off`
}
