/** One bake at a time in a site folder, and a note of what a killed one was at. */
import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import { claimFile } from '../proxmox/claim.ts'

interface Note {
  /** Where `work` is. */
  readonly host: string
  /** VMIDs that the run was going to make. */
  readonly vmids: readonly number[]
  /** The run's temporary folder, with the key of its build VM. */
  readonly work: string
}

export interface BakeClaim {
  /** VMIDs of a run that did not end by itself: what is there now is certainly nobody's. */
  readonly abandoned: readonly number[]
  note(vmids: readonly number[]): Promise<void>
  /** What this run has made could not be removed: its note stays for the next run. */
  abandon(): void
  release(): Promise<void>
}

/**
 * @param work this run's temporary folder; that of a killed run is removed
 * @throws Failure `bake-in-progress`
 */
export async function claimBake(folder: string, work: string): Promise<BakeClaim> {
  let before: Note | undefined
  const noteOf = (vmids: readonly number[]): Note => ({ host: hostname(), vmids, work })
  const claim = await claimFile(join(folder, 'state', 'bake.json'), {
    note(left) {
      before = isNote(left) ? left : undefined
      return noteOf(before?.vmids ?? [])
    },
    busy: { code: 'bake-in-progress', message: 'a bake of this site is already running' }
  })
  if (before !== undefined && before.host === hostname() && before.work !== work && basename(before.work).startsWith('golden-bake-')) await rm(before.work, { recursive: true, force: true })
  let kept = false
  return {
    abandoned: before?.vmids ?? [],
    note: (vmids) => claim.note(noteOf(vmids)),
    abandon: () => { kept = true },
    release: () => claim.release(kept)
  }
}

function isNote(left: unknown): left is Note {
  const { host, vmids, work } = (left ?? {}) as Partial<Record<keyof Note, unknown>>
  return typeof host === 'string' && typeof work === 'string' && Array.isArray(vmids) && vmids.every((vmid) => typeof vmid === 'number')
}
