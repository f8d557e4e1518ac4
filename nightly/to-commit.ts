/** A commit on the branch that is checked out, which goes on top of what others have pushed meanwhile. */
import { ChildFailure } from '../core/child.ts'
import { Failure } from '../core/failure.ts'
import { lockAt, pathsOf, type DeliverOptions, type Settings } from './delivery.ts'
import { commitOf, fetched, identity, knownAs, type Git } from './git.ts'
import type { Delivered } from './night.ts'
import { replay } from './replay.ts'
import { whose, type Whose } from './whose.ts'

export async function toCommit(
  options: DeliverOptions,
  { push, remote }: Settings<'commit'>,
  git: Git,
  branch: string,
): Promise<Delivered | undefined> {
  const isNew = await commitNew(options, git)
  const sent = push ? await send(options, { git, remote, branch }) : undefined
  if (!isNew && sent === undefined) return undefined
  return { to: 'commit', branch, commit: sent ?? (await git('rev-parse', 'HEAD')), pushed: push }
}

/** @returns whether there was anything to commit */
async function commitNew({ folder, message }: DeliverOptions, git: Git): Promise<boolean> {
  const paths = await pathsOf(git, folder, 'HEAD')
  await git('add', '--all', '--', ...paths)
  if (await git.says('diff', '--cached', '--quiet', 'HEAD', '--', ...paths)) return false
  const { subject, body } = message(await lockAt(git, 'HEAD'))
  // What else somebody has staged is theirs.
  await git(...(await identity(git)), 'commit', '--quiet', '--only', '-m', subject, '-m', body, '--', ...paths)
  return true
}

interface Way {
  readonly git: Git
  readonly remote: string
  readonly branch: string
}

/** Somebody may push between the look and the push, though hardly every time. */
const tries = 3

/**
 * What has not been sent is told by the remote alone: a commit whose night was killed, or whose push was refused, is seen by
 * the next one.
 * @returns the commit that was sent; undefined: the remote has all of them
 * @throws Failure `git-diverged`, `git-refused`
 */
async function send({ env }: DeliverOptions, way: Way): Promise<string | undefined> {
  const { git, remote, branch } = way
  // What is known of it since the last time is enough for that: a quiet night does not need the remote.
  if ((await unsent(way, await commitOf(git, knownAs(remote, branch)))).own.length === 0) return undefined
  for (let left = tries; ; left--) {
    const there = await fetched(git, remote, branch)
    let waits = await unsent(way, there)
    if (waits.own.length > 0 && there !== undefined && !(await git.says('merge-base', '--is-ancestor', there, 'HEAD'))) {
      await putOnto(way, env, there, waits)
      waits = await unsent(way, there)
    }
    // Somebody's own commits are theirs to push, but for those that the night's are on top of.
    const [newest] = waits.own
    if (newest === undefined) return undefined
    try {
      await git('push', '--quiet', '--', remote, `${newest}:refs/heads/${branch}`)
    } catch (error) {
      if (left === 1 || (await fetched(git, remote, branch)) === there) throw error
      continue
    }
    await git('update-ref', knownAs(remote, branch), newest)
    return newest
  }
}

const unsent = ({ git, remote }: Way, there: string | undefined): Promise<Whose> =>
  whose(git, 'HEAD', '--not', ...(there === undefined ? [`--remotes=${remote}`] : [there]))

/** Takes in what the remote has, the nights' commits on top of it: all of it, or nothing. */
async function putOnto({ git, remote, branch }: Way, env: NodeJS.ProcessEnv, there: string, { others }: Whose): Promise<void> {
  const diverged = (why: string, cause?: Failure): Failure =>
    new Failure(
      'git-diverged',
      `${remote} has commits on ${branch} that the night's can't be put on by itself: ${why}`,
      `Do it by hand in the site folder: "git pull --rebase --autostash ${remote} ${branch}". Nights go on meanwhile; the next one pushes what is left.`,
      { cause },
    )
  if (others.length > 0) throw diverged(`commits of somebody's own are not pushed either (${others[0]?.slice(0, 10)})`)
  const replayed = await replay(git, env, { commit: 'HEAD', after: there, onto: there })
  if ('conflicts' in replayed) throw diverged(`both have changed ${replayed.conflicts.join(', ')}`)
  try {
    // As for any other commit: what is not committed stays, and where it is in the way nothing is done at all.
    await git('checkout', '--quiet', '--no-overwrite-ignore', '-B', branch, replayed.commit, '--')
  } catch (error) {
    if (error instanceof Failure && error.cause instanceof ChildFailure && error.cause.exitCode === 1)
      throw diverged(`changes that are not committed are in the way\n${error.message}`, error)
    throw error
  }
}
