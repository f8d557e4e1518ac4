/** Commits put on top of others in a work tree aside: the user's files, index and branches stay as they are. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ChildFailure } from '../core/child.ts'
import { Failure } from '../core/failure.ts'
import { gitIn, identity, linesOf, type Git } from './git.ts'

export interface Replay {
  /** The last of the commits, and one that all of them are after. */
  readonly commit: string
  readonly after: string
  readonly onto: string
}

/** Where the last of them is now; `onto` itself where it has all of that already. Or the files that both have changed. */
export type Replayed = { readonly commit: string } | { readonly conflicts: readonly string[] }

/** @throws Failure `git-refused` */
export async function replay(git: Git, env: NodeJS.ProcessEnv, { commit, after, onto }: Replay): Promise<Replayed> {
  const folder = join(await git('rev-parse', '--absolute-git-dir'), 'golden-replay')
  // One that was killed has left it; --force takes a place that git still knows.
  await rm(folder, { recursive: true, force: true })
  await git('worktree', 'add', '--force', '--quiet', '--detach', folder, commit)
  const aside = gitIn(folder, env)
  try {
    // A user's setting would move branches that are at these commits.
    await aside(...(await identity(aside)), '-c', 'rebase.updateRefs=false', 'rebase', '--quiet', '--onto', onto, after)
    return { commit: await aside('rev-parse', 'HEAD') }
  } catch (error) {
    if (!(error instanceof Failure && error.cause instanceof ChildFailure)) throw error
    const conflicts = linesOf(await aside('diff', '--name-only', '--diff-filter=U'))
    if (conflicts.length === 0) throw error
    return { conflicts }
  } finally {
    await git('worktree', 'remove', '--force', folder)
  }
}
