/** What the two slots of a group tell each other: nginx brings each one's file to the other (keeper-control.ts). */
import type { Seed } from '../contract/seed.ts'
import type { Machine } from './machine.ts'
import { peerOwner } from './keeper-control.ts'
import { ownerFile } from './places.ts'
import { replaceFile } from './replace-file.ts'

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
export const askPeer = (machine: Machine): Promise<OwnerReport | undefined> => peerOwner(machine).then(reportIn, () => undefined)

/** Undefined for what is no such report. Pure. */
export function reportIn({ release, slot, owner, healthy, holds, connections }: Partial<Record<string, unknown>>): OwnerReport | undefined {
  if (typeof release !== 'string' || (slot !== 'blue' && slot !== 'green') || typeof owner !== 'boolean') return undefined
  return {
    release,
    slot,
    owner,
    healthy: healthy === true,
    holds: holds === true,
    connections: typeof connections === 'number' ? connections : null,
  }
}
