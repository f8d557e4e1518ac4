/**
 * The marker of a handover: while it is there, the service address stays on this slot without the data disk, so that
 * nginx can hold requests and then forward them. In memory: a slot that is started anew has given everything up.
 */
import type { Status } from '../contract/status.ts'
import { isMounted } from './disk.ts'
import type { Files, Machine } from './machine.ts'
import { claimFile, handoverFile } from './places.ts'
import { replaceFile } from './replace-file.ts'
import { admitSsh } from './ssh-hold.ts'

/** `parking`: requests wait; `forwarding`: they go to the peer; `left`: the service address has gone there too. */
export type HandoverState = Exclude<NonNullable<Status['handover']>, 'none'>

export interface Handover {
  readonly state: HandoverState
  /** When it came to be so; milliseconds since 1970. */
  readonly since: number
}

/** Undefined: there is none. One that can't be read counts as the first state, which gives nothing away. */
export function readHandover(files: Files): Handover | undefined {
  if (!files.exists(handoverFile)) return undefined
  try {
    const { state, since } = JSON.parse(files.read(handoverFile)) as Handover
    return { state, since }
  } catch {
    return { state: 'parking', since: 0 }
  }
}

/** Goes to that state, or stays in it. */
export function markHandover({ files, now }: Pick<Machine, 'files' | 'now'>, state: HandoverState): void {
  if (readHandover(files)?.state === state) return
  replaceFile(files, handoverFile, JSON.stringify({ state, since: now() } satisfies Handover))
}

/**
 * Before anything is stopped. The claim goes at once, and first: one that is there with the marker says that the data disk
 * has come back (golden-address.service), and that the handover is over.
 */
export async function beginHandover(machine: Machine): Promise<void> {
  machine.files.remove(claimFile)
  markHandover(machine, 'parking')
}

/** As if nothing had been: with the data disk here the slot may hold the service address again. */
export async function endHandover(machine: Machine): Promise<void> {
  // The marker is still there: the unit, which has to know that it is on, does not take the address away in between.
  if (isMounted(machine.files)) await machine.run('systemctl', ['restart', 'golden-address.service'])
  await admitSsh(machine)
  machine.files.remove(handoverFile)
}
