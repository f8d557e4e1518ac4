/** What the two slots of a group tell each other: nginx serves each one's file to the other (nginx.ts), by a certificate of theirs. */
import type { Seed } from '../contract/seed.ts'
import type { Machine } from './machine.ts'
import { ownerFile, peerCertificateFile, peerKeyFile } from './places.ts'
import { replaceFile } from './replace-file.ts'

/** The name in the certificate that both slots have. */
export const peerName = 'golden-peer'
export const ownerPath = '/golden/owner'

/** How a slot is, by itself. */
export interface OwnerReport {
  readonly release: string
  readonly slot: Seed['slot']
  /** Whether it has the data disk and uses it. */
  readonly owner: boolean
  /** As an owner: clients can be sent here. */
  readonly healthy: boolean
  /** Whether it answers for the service address in the LAN. */
  readonly holds: boolean
  /** Connections of clients to the service address that are open here; not known: Infinity is none of JSON's numbers, null is. */
  readonly connections: number | null
}

export function writeOwner({ files }: Pick<Machine, 'files'>, report: OwnerReport): void {
  const text = JSON.stringify(report)
  if (files.exists(ownerFile) && files.read(ownerFile) === text) return
  replaceFile(files, ownerFile, text)
}

/** Undefined where it does not answer, is not who it should be, or is a slot of before that says nothing. */
export async function askPeer(machine: Machine, seed: Seed, timeoutMs = 3000): Promise<OwnerReport | undefined> {
  const { files } = machine
  if (!files.exists(peerCertificateFile) || !files.exists(peerKeyFile)) return undefined
  const certificate = files.read(peerCertificateFile)
  try {
    const { status, body } = await machine.ask({
      to: { host: seed.peer, port: 443 },
      tls: { name: peerName, own: { certificate, key: files.read(peerKeyFile) }, only: certificate },
      path: ownerPath,
      timeoutMs,
    })
    return status === 200 ? readReport(body) : undefined
  } catch {
    return undefined
  }
}

/** Undefined for what is no such report. Pure. */
export function readReport(text: string): OwnerReport | undefined {
  try {
    const { release, slot, owner, healthy, holds, connections } = JSON.parse(text) as Partial<OwnerReport>
    if (typeof release !== 'string' || (slot !== 'blue' && slot !== 'green') || typeof owner !== 'boolean') return undefined
    return {
      release,
      slot,
      owner,
      healthy: healthy === true,
      holds: holds === true,
      connections: typeof connections === 'number' ? connections : null,
    }
  } catch {
    return undefined
  }
}
