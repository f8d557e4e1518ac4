/** The service address: taken only when it is free, kept only while the claim is there. */
import type { Machine } from './machine.ts'
import { claimFile } from './places.ts'

export async function release(machine: Machine, address: string): Promise<void> {
  await machine.run('ip', ['-4', 'address', 'del', `${address}/32`, 'dev', 'eth0'])
}

/**
 * Takes the address unless somebody in the LAN answers for it (RFC 5227: probe, then announce). The peer that still
 * holds it does answer, so that there are never two owners; the next try comes with the next round. Returns whether
 * the address is here afterwards.
 */
export async function claim(machine: Machine, address: string): Promise<boolean> {
  const mayHold = (): boolean => machine.files.exists(claimFile)
  const holds = (): boolean => machine.addresses().includes(address)
  if (!mayHold()) return false
  if (holds()) return true
  const probe = await machine.run('arping', ['-q', '-D', '-c', '2', '-w', '3', '-I', 'eth0', address])
  if (probe.status !== 0) return false
  await machine.run('ip', ['-4', 'address', 'add', `${address}/32`, 'dev', 'eth0'])
  // The claim may have been withdrawn while the probe ran; then nobody else takes the address away again.
  if (!mayHold()) {
    await release(machine, address)
    return false
  }
  await machine.run('arping', ['-q', '-U', '-c', '2', '-w', '3', '-I', 'eth0', address])
  return holds()
}
