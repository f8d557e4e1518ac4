/** Whose commits are: a night's have changed what nights hand over, and nothing else; all others are somebody's own. */
import { deliveredPaths } from './delivery.ts'
import { linesOf, type Git } from './git.ts'

export interface Whose {
  /** Of nights; the newest first. */
  readonly own: readonly string[]
  readonly others: readonly string[]
}

/** @param range as `git rev-list` takes it */
export async function whose(git: Git, ...range: readonly string[]): Promise<Whose> {
  const commits = async (...args: string[]): Promise<string[]> =>
    linesOf(await git('rev-list', '--topo-order', '--full-history', ...range, ...args))
  const all = await commits('--')
  if (all.length === 0) return { own: [], others: [] }
  const nightly = new Set(await commits('--no-merges', '--', ...deliveredPaths))
  const more = new Set(await commits('--', ':/', ...deliveredPaths.map((path) => `:(exclude)${path}`)))
  const isOwn = (commit: string): boolean => nightly.has(commit) && !more.has(commit)
  return { own: all.filter(isOwn), others: all.filter((commit) => !isOwn(commit)) }
}
