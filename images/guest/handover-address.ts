/**
 * The service address goes from one running slot to the other, and no client's connection breaks.
 *
 * `leave` on the old slot: the address goes from the network card to `lo`. There it is still one of the machine's own, so
 * that connections of before go on, but nobody answers ARP for it (arp_ignore=1) or asks by it (arp_announce=2; both in
 * 60-golden.conf). `take` on the new slot: first steering (steer.ts), then the address, announced to the LAN. `settle` on
 * both, until nothing of this is left. Each may be killed at any point and run again.
 *
 * From `leave` to `take` nobody answers ARP for the address. Whoever knows the old slot's MAC address, as a router does,
 * goes on reaching it there, with new connections too. It takes a second or two; Linux uses an entry that it begins to
 * doubt for eight seconds more (delay_first_probe_time, then three probes a second apart).
 *
 * What Proxmox's firewall makes of it (`nf_conntrack_allow_invalid` is off by default). On one host its connection
 * tracking sees each steered segment twice: on its way to the new slot and, with the same addresses and ports, from there
 * to the old one. To it the second is a retransmission within the window of an established connection, so it is let
 * through as such. The same happens to all packets there anyhow, as each passes the bridge of the host and the one of the
 * VM's card. With the slots on two hosts, the new slot's host has never seen the connection: it takes it up in the middle
 * (nf_conntrack_tcp_loose) as a new one, which the rows of releases/flows.ts for the service address admit: in to the VM as
 * to every client, out of it as `steered`. What it does not take up is a first segment with FIN or RST, which is invalid to
 * it. Such a connection is one that its client has closed; the old slot learns of it by its own timeouts.
 * Answers leave the old slot as ever, from its own MAC address, and from an address that `macfilter` does not look at;
 * with `ipfilter` on they would have to be in the VM's set, as the service address has to be anyway.
 */
import type { Seed } from '../contract/seed.ts'
import { announce, claim, holds, release } from './address.ts'
import { endHandover, markHandover, readHandover } from './handover.ts'
import type { Machine } from './machine.ts'
import { claimFile, handoverFile } from './places.ts'
import type { OwnerReport } from './peer.ts'
import { admitSsh } from './ssh-hold.ts'
import { steer, steersSince, stopSteering } from './steer.ts'

/**
 * How long connections of before are kept alive; Proxmox's and the kernel's own tracking know them longer than that. After half of
 * it nginx ends those that are still used, with an answer that says so (nginx.ts).
 */
export const settleMs = 10 * 60_000
/** For machines in the LAN that have the other slot's MAC address in mind and have missed the announcement. */
const leastMs = 5000
/** How long the old slot waits to hear that the new one has the address. */
const unheardMs = 30_000

const onLoopback = (machine: Machine, address: string): boolean => machine.addresses('lo').includes(address)

const loopback = (machine: Machine, verb: 'add' | 'del', address: string) =>
  machine.run('ip', ['-4', 'address', verb, `${address}/32`, 'dev', 'lo'])

/**
 * Gives the address up and keeps its connections. The marker says `left` from before on: killed in between, it is run again.
 * @returns whether nobody gets an answer for it here any more
 */
export async function leave(machine: Machine, seed: Seed): Promise<boolean> {
  markHandover(machine, 'left')
  machine.files.remove(claimFile)
  // Without it here, too, its connections would end with the removal: the address is never gone.
  if (!onLoopback(machine, seed.service)) await loopback(machine, 'add', seed.service)
  if (holds(machine, seed.service)) await release(machine, seed.service)
  return !holds(machine, seed.service)
}

/**
 * Takes the address where the claim is there and nobody answers for it. With it, what was of a handover of before ends.
 * @returns whether the address is here
 */
export async function take(machine: Machine, seed: Seed): Promise<boolean> {
  if (!machine.files.exists(claimFile)) return false
  if (holds(machine, seed.service)) {
    // Killed before it had said so.
    await announce(machine, seed.service)
  } else {
    await steer(machine, seed)
    // The peer, the only other one that may have it, has said that it has left; and nobody has it meanwhile.
    if (!(await claim(machine, seed.service, { probes: 1 }))) return false
  }
  await resume(machine, seed)
  return true
}

/** This slot holds the address as an owner does: what a handover has set here goes, but steering, which settles. */
export async function resume(machine: Machine, seed: Seed): Promise<void> {
  if (onLoopback(machine, seed.service)) await loopback(machine, 'del', seed.service)
  await admitSsh(machine)
  machine.files.remove(handoverFile)
}

/** How many connections to the service address are open here; undefined: not known. Those that only wait for stragglers do not count. */
export async function connections(machine: Machine, seed: Seed): Promise<number | undefined> {
  const { status, stdout } = await machine.run('ss', ['-Htn', 'state', 'connected', 'exclude', 'time-wait', 'src', seed.service])
  return status === 0 ? stdout.split('\n').filter((line) => line !== '').length : undefined
}

export interface Settling {
  /** What the other slot says of itself. */
  readonly peer?: OwnerReport | undefined
  /** @default settleMs */
  readonly limitMs?: number
}

/**
 * Takes back what is no longer needed: on the slot that has left, the address on `lo` and the marker, once its connections
 * are gone; on the one that has taken it, steering, once the peer has none left. Or the limit is over. To be called until
 * it is done.
 * @returns whether nothing is left of it here
 */
export async function settle(machine: Machine, seed: Seed, { peer, limitMs = settleMs }: Settling = {}): Promise<boolean> {
  const { files } = machine
  const handover = readHandover(files)
  const steering = steersSince(machine)
  const left = handover?.state === 'left'
  const open = left ? await connections(machine, seed) : undefined
  if (left && isOver({ ageMs: machine.now() - handover.since, limitMs, connections: open, arrived: peer?.holds })) {
    if (onLoopback(machine, seed.service)) await loopback(machine, 'del', seed.service)
    if (steering !== undefined) await stopSteering(machine)
    if (!onLoopback(machine, seed.service)) await endHandover(machine)
  } else if (!left && steering !== undefined) {
    const gone = peer === undefined ? undefined : (peer.connections ?? undefined)
    if (isOver({ ageMs: machine.now() - steering, limitMs, connections: gone, arrived: holds(machine, seed.service) }))
      await stopSteering(machine)
  }
  return steersSince(machine) === undefined && readHandover(files)?.state !== 'left'
}

/**
 * Whether nobody needs the way between the slots any more: pure.
 * @param connections at the old slot; undefined: not known @param arrived whether the new slot has the address; undefined: not known
 */
export function isOver(seen: {
  readonly ageMs: number
  readonly limitMs: number
  readonly connections: number | undefined
  readonly arrived: boolean | undefined
}): boolean {
  if (seen.ageMs >= seen.limitMs) return true
  if (seen.connections !== 0 || seen.ageMs < leastMs) return false
  // Whoever has no other MAC address for it yet goes on reaching the old slot.
  return seen.arrived === true || (seen.arrived === undefined && seen.ageMs >= unheardMs)
}
