/** One bake or verification at a time in a site folder, as both use the build address, and a note of what a killed one was at. */
import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import { claimFile } from '../core/claim.ts'

interface Note {
  /** Where `work` is. */
  readonly host: string
  /** The run (names.ts), and those before it of which something may still be there. */
  readonly runs: readonly string[]
  /** The run's temporary folder, with the key of its build VM; '': none. */
  readonly work: string
}

export interface BakeClaim {
  /** Runs that did not clean up: what is there of them is certainly nobody's. */
  readonly abandoned: readonly string[]
  /** Nothing of them is there any more. */
  forget(): Promise<void>
  /** Something of this run could not be removed: its note stays for the next run. */
  abandon(): void
  release(): Promise<void>
}

/**
 * @param work this run's temporary folder, not made yet; that of a killed run is removed. '': it has none
 * @throws Failure `bake-in-progress`
 */
export async function claimBake(folder: string, work: string, run: string): Promise<BakeClaim> {
  let before: Note | undefined
  const noteOf = (runs: readonly string[]): Note => ({ host: hostname(), runs, work })
  const claim = await claimFile(join(folder, 'state', 'bake.json'), {
    note(left) {
      before = isNote(left) ? left : undefined
      return noteOf([...(before?.runs ?? []), run])
    },
    busy: { code: 'bake-in-progress', message: 'a bake or a verification of this site is already running' },
  })
  if (before !== undefined && before.host === hostname() && before.work !== work && basename(before.work).startsWith('golden-bake-'))
    await rm(before.work, { recursive: true, force: true })
  let earlier = before?.runs ?? []
  let abandoned = false
  return {
    abandoned: earlier,
    forget: async () => {
      earlier = []
      await claim.note(noteOf([run]))
    },
    abandon: () => {
      abandoned = true
    },
    release: async () => {
      const runs = abandoned ? [...earlier, run] : earlier
      if (runs.length > 0) await claim.note(noteOf(runs))
      await claim.release(runs.length > 0)
    },
  }
}

function isNote(left: unknown): left is Note {
  const { host, work, runs } = (left ?? {}) as Partial<Record<keyof Note, unknown>>
  return typeof host === 'string' && typeof work === 'string' && Array.isArray(runs) && runs.every((run) => typeof run === 'string')
}
