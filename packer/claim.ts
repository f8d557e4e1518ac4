/** One bake or verification at a time in a site folder, as both use the build address, and a note of what a killed one was at. */
import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import { claimFile } from '../core/claim.ts'
import { Failure } from '../core/failure.ts'
import { identitiesOf, untilGone, type Patience } from '../core/left-behind.ts'
import { identityOf, type ProcessIdentity } from '../core/process-identity.ts'

interface Note {
  /** Where `work` is. */
  readonly host: string
  /** The run (names.ts), and those before it of which something may still be there. */
  readonly runs: readonly string[]
  /** The run's temporary folder, with the key of its build VM; '': none. */
  readonly work: string
  /** Packer, while it is at work: it may outlive a run that is killed. */
  readonly packer?: ProcessIdentity
}

export interface BakeClaim {
  /** Runs that did not clean up: what is there of them is certainly nobody's. */
  readonly abandoned: readonly string[]
  /** Nothing of them is there any more. */
  forget(): Promise<void>
  /** Packer runs as this process. */
  packerBegins(pid: number): Promise<void>
  /** Something of this run could not be removed: its note stays for the next run. */
  abandon(): void
  release(): Promise<void>
}

/**
 * Packer of a killed run is waited for: it removes its build VM, or whichever VM has its number by then.
 * @param work this run's temporary folder, not made yet; that of a killed run is removed. '': it has none
 * @throws Failure `bake-in-progress`; the signal's reason
 */
export async function claimBake(folder: string, work: string, run: string, patience: Patience): Promise<BakeClaim> {
  const file = join(folder, 'state', 'bake.json')
  let before: Note | undefined
  let earlier: readonly string[] = []
  let packer: ProcessIdentity | undefined
  const note = (runs: readonly string[]): Note => ({ host: hostname(), runs, work, ...(packer === undefined ? {} : { packer }) })
  const claim = await claimFile(file, {
    note(left) {
      before = isNote(left) ? left : undefined
      earlier = before?.runs ?? []
      packer = identitiesOf([before?.packer])[0]
      return note([...earlier, run])
    },
    busy: { code: 'bake-in-progress', message: 'a bake or a verification of this site is already running' },
  })
  try {
    const left = packer === undefined ? undefined : await untilGone([packer], 'Packer', patience)
    if (left !== undefined)
      throw new Failure(
        'bake-in-progress',
        `a bake that was killed left Packer at work (process ${left.pid} on ${left.host})`,
        `Wait for that process to end: it removes its build VM. If that computer certainly is not at it any more, delete ${file}.`,
      )
  } catch (error) {
    // For the next run it is as it was for this one.
    if (before !== undefined) await claim.note(before)
    await claim.release(true)
    throw error
  }
  packer = undefined
  if (before !== undefined && before.host === hostname() && before.work !== work && basename(before.work).startsWith('golden-bake-'))
    await rm(before.work, { recursive: true, force: true })
  let abandoned = false
  return {
    abandoned: before?.runs ?? [],
    forget: async () => {
      earlier = []
      await claim.note(note([run]))
    },
    packerBegins: async (pid) => {
      packer = await identityOf(pid)
      await claim.note(note([...earlier, run]))
    },
    abandon: () => {
      abandoned = true
    },
    release: async () => {
      packer = undefined
      const runs = abandoned ? [...earlier, run] : earlier
      if (runs.length > 0) await claim.note(note(runs))
      await claim.release(runs.length > 0)
    },
  }
}

function isNote(left: unknown): left is Note {
  const { host, work, runs } = (left ?? {}) as Partial<Record<keyof Note, unknown>>
  return typeof host === 'string' && typeof work === 'string' && Array.isArray(runs) && runs.every((run) => typeof run === 'string')
}
