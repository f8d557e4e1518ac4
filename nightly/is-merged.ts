/** Whether somebody has merged a commit: as it is, squashed into one, or put on top of others one by one. */
import { identity, linesOf, type Git } from './git.ts'

export async function isMerged(git: Git, commit: string, base: string): Promise<boolean> {
  if (await git.says('merge-base', '--is-ancestor', commit, base)) return true
  const shared = await git('merge-base', commit, base).catch(() => undefined)
  if (shared === undefined || shared === base) return false
  // It has other ids then, and the same changes.
  if (await isThere(git, commit, base)) return true
  const squashed = await git(...(await identity(git)), 'commit-tree', `${commit}^{tree}`, '-p', shared, '-m', 'squashed')
  return isThere(git, squashed, base)
}

const isThere = async (git: Git, commit: string, base: string): Promise<boolean> =>
  linesOf(await git('cherry', base, commit)).every((line) => line.startsWith('-'))
