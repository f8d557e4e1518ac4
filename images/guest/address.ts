/** The service address: taken only when it is free, kept only while the claim is there. */
import type { Machine } from './machine.ts'
import { claimFile } from './places.ts'

/** The name that the seed's network configuration gives to the VM's one network card. */
export const nic = 'eth0'

/** Whether the address is on the card: only there does this machine answer for it in the LAN (ARP; arp_ignore in 60-golden.conf). */
export const holds = (machine: Machine, address: string): boolean => machine.addresses(nic).includes(address)

export async function release(machine: Machine, address: string): Promise<void> {
  await machine.run('ip', ['-4', 'address', 'del', `${address}/32`, 'dev', nic])
}

export interface Claiming {
  /** How many times it is asked whether somebody has it; a second each. @default 2 */
  readonly probes?: number
}

/**
 * Takes the address unless somebody in the LAN answers for it (RFC 5227: probe, then announce). The peer that still
 * holds it does answer, so that there are never two owners; the next try comes with the next round. Returns whether
 * the address is here afterwards.
 */
export async function claim(machine: Machine, address: string, { probes = 2 }: Claiming = {}): Promise<boolean> {
  const mayHold = (): boolean => machine.files.exists(claimFile)
  if (!mayHold()) return false
  if (holds(machine, address)) return true
  const probe = await machine.run('arping', ['-q', '-D', '-c', `${probes}`, '-w', `${probes + 1}`, '-I', nic, address])
  if (probe.status !== 0) return false
  await machine.run('ip', ['-4', 'address', 'add', `${address}/32`, 'dev', nic])
  // The claim may have been withdrawn while the probe ran; then nobody else takes the address away again.
  if (!mayHold()) {
    await release(machine, address)
    return false
  }
  await announce(machine, address)
  return holds(machine, address)
}

/** Tells the LAN that the address is here: whoever has another MAC address in mind for it sends to that one until then. */
export async function announce(machine: Machine, address: string): Promise<void> {
  await machine.run('arping', ['-q', '-U', '-c', '2', '-w', '3', '-I', nic, address])
}
