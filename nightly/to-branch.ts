/** A commit on a branch beside the one that is checked out, which later nights go on from until it is merged. */
import { Failure } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import { deliveredPaths, lockAt, treeOn, type DeliverOptions, type OnBranch } from './delivery.ts'
import { commitOf, gitIn, identity, type Git } from './git.ts'
import type { Delivered } from './night.ts'
import { propose } from './propose.ts'

/** A commit that was made and has not come where it should. */
const unsent = 'refs/golden/unsent'

/**
 * Takes the files of a branch that is not merged yet, where nobody has changed them otherwise: what it says has been baked
 * already. Only for what is not in the site folder, as in a fresh clone.
 */
export async function takeUp({ folder, settings, env, progress }: Omit<DeliverOptions, 'message'>): Promise<void> {
  if (settings.to !== 'branch' && settings.to !== 'pull-request') return
  const git = gitIn(folder, env)
  const tip = await tipOf(git, settings, progress)
  if (tip === undefined || (await git.says('merge-base', '--is-ancestor', tip, 'HEAD'))) return
  const base = await git('merge-base', 'HEAD', tip).catch(() => undefined)
  if (base === undefined) return
  const taken: string[] = []
  for (const path of deliveredPaths) {
    if (!(await git.says('cat-file', '-e', `${tip}:./${path}`).catch(() => false))) continue
    if ((await git('status', '--porcelain', '--untracked-files=all', '--', path)) !== '') continue
    if (!(await git.says('diff', '--quiet', base, 'HEAD', '--', path)) || (await git.says('diff', '--quiet', 'HEAD', tip, '--', path)))
      continue
    await git('restore', `--source=${tip}`, '--worktree', '--', path)
    taken.push(path)
  }
  if (taken.length > 0) progress.info(`goes on from branch ${settings.branch}, which is not merged yet: ${taken.join(', ')}`)
}

/** Of the branch, as the remote has it; without a remote, as it is here. */
async function tipOf(git: Git, settings: OnBranch, progress: Progress): Promise<string | undefined> {
  const { branch, remote } = settings
  const here = `refs/heads/${branch}`
  if (settings.to === 'branch' && !settings.push) return commitOf(git, here)
  const there = `refs/remotes/${remote}/${branch}`
  try {
    const isThere = (await git('ls-remote', '--', remote, here)) !== ''
    if (!isThere) return commitOf(git, here)
    await git('fetch', '--quiet', '--', remote, `+${here}:${there}`)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    progress.warn(`${remote} can't be asked for branch ${branch}: ${error.message.split('\n')[0] ?? ''}`)
  }
  return (await commitOf(git, there)) ?? commitOf(git, here)
}

export async function toBranch(options: DeliverOptions, settings: OnBranch, git: Git, current: string): Promise<Delivered | undefined> {
  const ref = `refs/heads/${settings.branch}`
  const head = await git('rev-parse', 'HEAD')
  const tip = await tipOf(git, settings, options.progress)
  // Others may have added to it; one that is merged, or of before, begins anew.
  const goesOn = tip !== undefined && tip !== head && (await git.says('merge-base', '--is-ancestor', head, tip))
  const parent = goesOn ? tip : head
  const tree = await treeOn(options, git, parent)
  const isNew = tree !== (await git('rev-parse', `${parent}^{tree}`))
  let commit = parent
  if (isNew) {
    const { subject, body } = options.message(await lockAt(git, parent))
    commit = await git(...(await identity(git)), 'commit-tree', tree, '-p', parent, '-m', subject, '-m', body)
    await git('update-ref', unsent, commit)
    await git('update-ref', ref, commit)
  }
  const waits = (await commitOf(git, unsent)) === commit
  if (!isNew && !waits) return undefined
  const pushes = settings.to === 'pull-request' || settings.push
  if (pushes) {
    const known = (await commitOf(git, `refs/remotes/${settings.remote}/${settings.branch}`)) ?? ''
    await git('push', '--quiet', `--force-with-lease=${ref}:${known}`, '--', settings.remote, `${commit}:${ref}`)
    await git('update-ref', `refs/remotes/${settings.remote}/${settings.branch}`, commit)
  }
  if (settings.to === 'pull-request') await propose(options, settings, options.message(await lockAt(git, head)), current)
  await git('update-ref', '-d', unsent)
  return { to: settings.to, branch: settings.branch, commit, pushed: pushes }
}
