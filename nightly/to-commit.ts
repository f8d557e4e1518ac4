/** A commit on the branch that is checked out. */
import { lockAt, pathsOf, type DeliverOptions, type Settings } from './delivery.ts'
import { commitOf, identity, type Git } from './git.ts'
import type { Delivered } from './night.ts'

/** A commit that was made and has not come where it should. */
export const unsent = 'refs/golden/unsent'

export async function toCommit(
  options: DeliverOptions,
  { push, remote }: Settings<'commit'>,
  git: Git,
  branch: string,
): Promise<Delivered | undefined> {
  const paths = await pathsOf(git, options.folder, 'HEAD')
  await git('add', '--all', '--', ...paths)
  const isNew = !(await git.says('diff', '--cached', '--quiet', 'HEAD', '--', ...paths))
  if (isNew) {
    const { subject, body } = options.message(await lockAt(git, 'HEAD'))
    // What else somebody has staged is theirs.
    await git(...(await identity(git)), 'commit', '--quiet', '--only', '-m', subject, '-m', body, '--', ...paths)
    if (push) await git('update-ref', unsent, 'HEAD')
  }
  const waits = await commitOf(git, unsent)
  if (!isNew && (waits === undefined || !push)) return undefined
  if (push) {
    await git('push', '--quiet', '--', remote, `HEAD:refs/heads/${branch}`)
    await git('update-ref', '-d', unsent)
  }
  return { to: 'commit', branch, commit: await git('rev-parse', 'HEAD'), pushed: push }
}
