/** A commit on a branch beside the one that is checked out, which later nights go on from until it is merged. */
import { Failure } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import { deliveredPaths, lockAt, treeOn, type DeliverOptions, type OnBranch } from './delivery.ts'
import { commitOf, fetched, gitIn, identity, knownAs, type Git } from './git.ts'
import { isMerged } from './is-merged.ts'
import type { Delivered } from './night.ts'
import { begunRef, propose } from './propose.ts'
import { replay } from './replay.ts'
import { whose } from './whose.ts'

/**
 * Takes the files of a branch that is not merged yet, where nobody has changed them otherwise: what it says has been baked
 * already. Only for what is not in the site folder, as in a fresh clone.
 */
export async function takeUp({ folder, settings, env, progress }: Omit<DeliverOptions, 'message'>): Promise<void> {
  if (settings.to !== 'branch' && settings.to !== 'pull-request') return
  const git = gitIn(folder, env)
  const { tip } = await branchNow(git, settings, progress)
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

interface BranchNow {
  /** Where the branch is; undefined: there is none. */
  readonly tip: string | undefined
  /** Whether the remote has said so, or there is none to ask. */
  readonly certain: boolean
}

const hasRemote = (settings: OnBranch): boolean => settings.to === 'pull-request' || settings.push

/** As the remote has it; without a remote, as it is here. */
async function branchNow(git: Git, settings: OnBranch, progress: Progress): Promise<BranchNow> {
  const { branch, remote } = settings
  const here = `refs/heads/${branch}`
  if (!hasRemote(settings)) return { tip: await commitOf(git, here), certain: true }
  try {
    return { tip: await fetched(git, remote, branch), certain: true }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    progress.warn(`${remote} can't be asked for branch ${branch}: ${error.message.split('\n')[0] ?? ''}`)
    return { tip: (await commitOf(git, knownAs(remote, branch))) ?? (await commitOf(git, here)), certain: false }
  }
}

/** What it is to be merged into: the branch that is checked out, with what others have merged of it where nobody has pulled yet. */
async function baseNow(git: Git, settings: OnBranch, head: string, current: string, { certain }: BranchNow): Promise<string> {
  if (!hasRemote(settings) || !certain) return head
  const there = await fetched(git, settings.remote, current)
  return there !== undefined && (await git.says('merge-base', '--is-ancestor', head, there)) ? there : head
}

export async function toBranch(options: DeliverOptions, settings: OnBranch, git: Git, current: string): Promise<Delivered | undefined> {
  const { branch, remote } = settings
  const here = `refs/heads/${branch}`
  const begun = begunRef(branch)
  const now = await branchNow(git, settings, options.progress)
  const head = await git('rev-parse', 'HEAD')
  const base = await baseNow(git, settings, head, current, now)
  const open = now.tip !== undefined && !(await isMerged(git, now.tip, base)) ? now.tip : undefined
  const waits = (await commitOf(git, begun)) !== undefined
  const goesOn = open !== undefined && !(await isInTheWay(git, head, open))
  const commit = goesOn
    ? ((await commitOn(options, git, open)) ?? open)
    : await beginAnew(options, git, {
        head,
        base,
        last: now.tip ?? (await commitOf(git, here)),
        turnedDown: now.tip === undefined && !waits,
      })
  if (commit === undefined || (commit === open && !waits)) return undefined

  // Noted first: whoever is killed from here on is made good by the next night.
  if (open === undefined) await git('update-ref', begun, commit)
  await git('update-ref', here, commit)
  if (hasRemote(settings) && !(now.certain && commit === now.tip)) {
    const known = (now.certain ? now.tip : await commitOf(git, knownAs(remote, branch))) ?? ''
    await git('push', '--quiet', `--force-with-lease=${here}:${known}`, '--', remote, `${commit}:${here}`)
    await git('update-ref', knownAs(remote, branch), commit)
  }
  const handed = { branch, commit, pushed: hasRemote(settings) }
  if (settings.to === 'branch') {
    await git('update-ref', '-d', begun)
    return { to: 'branch', ...handed }
  }
  // What is added to a branch belongs to the request that is open: asked again, its command would refuse.
  const asked = open === undefined || waits
  if (asked) await propose(options, settings, options.message(await lockAt(git, base)), current)
  await git('update-ref', '-d', begun)
  return { to: 'pull-request', ...handed, asked }
}

/**
 * Whether what is checked out has other files by now than the branch was begun from: it could not be merged. Where others
 * have added to the branch that is theirs to decide.
 */
async function isInTheWay(git: Git, head: string, open: string): Promise<boolean> {
  if (await git.says('merge-base', '--is-ancestor', head, open)) return false
  const shared = await git('merge-base', head, open).catch(() => undefined)
  if (shared === undefined) return true
  if (await git.says('diff', '--quiet', shared, head, '--', ...deliveredPaths)) return false
  return (await whose(git, open, '--not', head)).others.length === 0
}

interface Beginning {
  readonly head: string
  readonly base: string
  /** Where the branch was at last. */
  readonly last: string | undefined
  /** Somebody has taken the branch away. What was on it is not brought again, if it was not merged either. */
  readonly turnedDown: boolean
}

/** @returns undefined: there is nothing that the base lacks */
async function beginAnew(options: DeliverOptions, git: Git, { head, base, last, turnedDown }: Beginning): Promise<string | undefined> {
  // Where nobody pulls into the site folder, what is new is new since what was merged last, not since what is checked out.
  const isAhead = last !== undefined && base !== head && (await isMerged(git, last, base)) && !(await isMerged(git, last, head))
  const from = isAhead ? last : head
  const isSame = (one: string, other: string): Promise<boolean> => git.says('diff', '--quiet', one, other, '--', ...deliveredPaths)
  const isPlain = await isSame(from, base)
  const commit = await commitOn(options, git, isPlain ? base : from)
  if (commit === undefined || (turnedDown && last !== undefined && (await isSame(last, commit)))) return undefined
  if (isPlain) return commit
  const replayed = await replay(git, options.env, { commit, after: from, onto: base })
  if ('commit' in replayed) return replayed.commit === base ? undefined : replayed.commit
  options.progress.warn(`others have changed ${replayed.conflicts.join(', ')}, too: whoever merges the branch has to decide`)
  return commit
}

/** @returns undefined: the site folder has nothing else than that */
async function commitOn(options: DeliverOptions, git: Git, parent: string): Promise<string | undefined> {
  const tree = await treeOn(options, git, parent)
  if (tree === (await git('rev-parse', `${parent}^{tree}`))) return undefined
  const { subject, body } = options.message(await lockAt(git, parent))
  return git(...(await identity(git)), 'commit-tree', tree, '-p', parent, '-m', subject, '-m', body)
}
