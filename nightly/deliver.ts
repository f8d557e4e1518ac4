/**
 * The site folder's files go where the site wants them: a commit, a branch of their own, a request for it to be merged. All
 * of it is told by git itself, so that a run that was killed is made good by the next one, and a fresh clone goes on from
 * the branch.
 */
import { join } from 'node:path'
import { Failure } from '../core/failure.ts'
import { lockPath, type DeliverOptions } from './delivery.ts'
import { currentBranch, gitIn, type Git } from './git.ts'
import type { Delivered } from './night.ts'
import { toBranch } from './to-branch.ts'
import { toCommit } from './to-commit.ts'

/**
 * Whether it can be done at all.
 * @throws Failure `git-impossible`
 */
export async function requireDelivery({ folder, settings, env }: Pick<DeliverOptions, 'folder' | 'settings' | 'env'>): Promise<void> {
  if (settings.to === 'folder') return
  const git = gitIn(folder, env)
  const impossible = (why: string, hint: string): Failure =>
    new Failure('git-impossible', `nightly.git in site.ts can't be done: ${why}`, hint)
  if (!(await isRepository(git)))
    throw impossible(
      `${folder} is in no git repository with a commit`,
      'Make it one ("git init", a first commit), or set nightly.git to { to: \'folder\' }.',
    )
  if (await git.says('check-ignore', '--quiet', '--', lockPath))
    throw impossible(
      `git ignores ${join(folder, lockPath)}`,
      'Keep the site folder in a repository of its own, outside of this project (GOLDEN_SITE), or take it out of .gitignore.',
    )
  const current = await currentBranch(git)
  if (current === undefined) throw impossible('no branch is checked out', 'Check one out: "git switch BRANCH".')
  if (settings.to !== 'commit' && settings.branch === current)
    throw impossible(
      `its branch, ${current}, is the one that is checked out`,
      "Check out another one, or set nightly.git to { to: 'commit' }.",
    )
}

async function isRepository(git: Git): Promise<boolean> {
  try {
    await git('rev-parse', '--verify', '--quiet', 'HEAD')
    return true
  } catch {
    return false
  }
}

/**
 * @returns undefined: there is nothing to hand over, and nothing was left behind
 * @throws Failure `git-diverged`, `git-refused`, `git-command-failed`
 */
export async function deliver(options: DeliverOptions): Promise<Delivered | undefined> {
  const { folder, settings, env } = options
  if (settings.to === 'folder') return undefined
  const git = gitIn(folder, env)
  const branch = await currentBranch(git)
  if (branch === undefined)
    throw new Failure('git-impossible', 'no branch is checked out in the site folder', 'Check one out: "git switch BRANCH".')
  return settings.to === 'commit' ? toCommit(options, settings, git, branch) : toBranch(options, settings, git, branch)
}
