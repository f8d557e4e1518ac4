/** What is handed over to git: which files, and how people are told what is new in them. */
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Progress } from '../core/progress.ts'
import type { GitSettings } from '../settings/nightly.ts'
import type { Git } from './git.ts'

/** What of the site folder a night changes and people review. */
export const deliveredPaths = ['images.lock.json', 'records', 'deployment.json', 'rollouts.jsonl', '.terraform.lock.hcl'] as const
export const lockPath = deliveredPaths[0]

export interface Message {
  readonly subject: string
  readonly body: string
}

export interface DeliverOptions {
  /** The site folder. */
  readonly folder: string
  readonly settings: GitSettings
  readonly env: NodeJS.ProcessEnv
  readonly progress: Progress
  /** What is new, given the lock's text of before; undefined: there was none. */
  readonly message: (before: string | undefined) => Message
}

export type Settings<To extends GitSettings['to']> = GitSettings & { to: To }
export type OnBranch = Settings<'branch'> | Settings<'pull-request'>

/** Those that are there, or were. */
export async function pathsOf(git: Git, folder: string, at: string): Promise<string[]> {
  const found = []
  for (const path of deliveredPaths) {
    const isThere = existsSync(join(folder, path)) && !(await git.says('check-ignore', '--quiet', '--', path))
    if (isThere || (await git('ls-tree', '--name-only', at, '--', path)) !== '') found.push(path)
  }
  return found
}

/** The parent's files with the site folder's in their places; the user's own index stays as it is. */
export async function treeOn({ folder }: DeliverOptions, git: Git, parent: string): Promise<string> {
  const index = join(await git('rev-parse', '--absolute-git-dir'), `golden-index.${process.pid}`)
  const aside = git.withIndex(index)
  try {
    await aside('read-tree', parent)
    await aside('add', '--all', '--', ...(await pathsOf(git, folder, parent)))
    return await aside('write-tree')
  } finally {
    await rm(index, { force: true })
  }
}

export const lockAt = async (git: Git, commit: string): Promise<string | undefined> =>
  (await git('ls-tree', '--name-only', commit, '--', lockPath)) === '' ? undefined : git('show', `${commit}:./${lockPath}`)
