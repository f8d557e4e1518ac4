/** The service address: taken only when it is free, kept only while the claim is there. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { claimFile } from './places.ts'

export const holds = (address: string): boolean =>
  Object.values(networkInterfaces()).some((list) => list?.some((entry) => entry.address === address))

const mayHold = (): boolean => existsSync(claimFile)

export function release(address: string): void {
  spawnSync('ip', ['-4', 'address', 'del', `${address}/32`, 'dev', 'eth0'])
}

/**
 * Takes the address unless somebody in the LAN answers for it (RFC 5227: probe, then announce). The peer that still
 * holds it does answer, so that there are never two owners; the next try comes with the next round. Returns whether
 * the address is here afterwards.
 */
export function claim(address: string): boolean {
  if (!mayHold()) return false
  if (holds(address)) return true
  const probe = spawnSync('arping', ['-q', '-D', '-c', '2', '-w', '3', '-I', 'eth0', address])
  if (probe.status !== 0) return false
  spawnSync('ip', ['-4', 'address', 'add', `${address}/32`, 'dev', 'eth0'])
  // The claim may have been withdrawn while the probe ran; then nobody else takes the address away again.
  if (!mayHold()) {
    release(address)
    return false
  }
  spawnSync('arping', ['-q', '-U', '-c', '2', '-w', '3', '-I', 'eth0', address])
  return holds(address)
}
