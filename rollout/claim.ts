/**
 * One run at a time changes what a site has deployed: two reconcilers with opposite aims would undo each other's steps.
 * Held in the site folder, so it guards against a second terminal and a timer, and knows of engines that a killed run has
 * left; against a copy of the folder on another computer there are the claims on the host (claim-groups.ts).
 */
import { join } from 'node:path'
import { claimFile } from '../core/claim.ts'
import { Failure } from '../core/failure.ts'
import { identitiesOf, untilGone, type Patience } from '../core/left-behind.ts'
import { identityOf, type ProcessIdentity } from '../core/process-identity.ts'

/** The engine gets this variable, and the hooks with it: the run that started them holds the claim. */
export const claimHeld = { GOLDEN_CLAIM: 'held' } as const

export interface SiteClaim {
  /** An engine runs as this process. It may outlive a run that is killed; several may be at work. */
  engineBegins(pid: number): Promise<void>
  engineEnded(pid: number): Promise<void>
}

interface Note {
  readonly engines: readonly ProcessIdentity[]
}

const claimOf = (folder: string): string => join(folder, 'state', 'deploy.json')

export interface ClaimSiteOptions extends Patience {
  /** The site folder. */
  readonly folder: string
}

/**
 * Engines that a killed run has left are waited for: they are stopping.
 * @param what for whoever comes second, such as `deploy`
 * @param wait until the other run has ended, or this is aborted. @default refuse at once
 * @throws Failure `deploy-in-progress`
 */
export async function claimSite<T>(
  options: ClaimSiteOptions,
  what: string,
  work: (claim: SiteClaim) => Promise<T>,
  wait?: AbortSignal,
): Promise<T> {
  const { folder } = options
  const file = claimOf(folder)
  let left: Note = { engines: [] }
  const claim = await claimFile(file, {
    note(before) {
      left = noteOf(before)
      return left
    },
    busy: { code: 'deploy-in-progress', message: `"golden ${what}" has to wait: another run is changing what this site has deployed` },
    ...(wait === undefined ? {} : { wait }),
  })
  let keep = true
  const engines = new Map<number, ProcessIdentity>()
  // One note after another: an earlier one that is written later would forget an engine.
  let written: Promise<void> = Promise.resolve()
  const write = (): Promise<void> => {
    written = written.catch(() => {}).then(() => claim.note({ engines: [...engines.values()] } satisfies Note))
    return written
  }
  try {
    const engine = await untilGone(left.engines, 'the engine', options)
    if (engine !== undefined)
      throw new Failure(
        'deploy-in-progress',
        `"golden ${what}" has to wait: a run that was killed left its engine at work (process ${engine.pid} on ${engine.host})`,
        `Wait for that process to end: it is stopping. If that computer certainly is not at it any more, delete ${file}.`,
      )
    keep = false
    return await work({
      async engineBegins(pid) {
        engines.set(pid, await identityOf(pid))
        await write()
      },
      engineEnded(pid) {
        engines.delete(pid)
        return write()
      },
    })
  } finally {
    await claim.release(keep)
  }
}

/** For a hook: within the run that started it, or, when people run the engine themselves, after whichever run is at it. */
export async function claimSiteForHook<T>(options: ClaimSiteOptions, env: NodeJS.ProcessEnv, work: () => Promise<T>): Promise<T> {
  return env.GOLDEN_CLAIM === claimHeld.GOLDEN_CLAIM ? work() : claimSite(options, 'hook', work, options.signal)
}

const noteOf = (left: unknown): Note => ({ engines: identitiesOf((left as Partial<Note> | null | undefined)?.engines) })
