/**
 * The site folder's files go where the site wants them: a commit, a branch of their own, a request for it to be merged. All
 * of it is told by git itself, so that a run that was killed is made good by the next one, and a fresh clone goes on from
 * the branch.
 */
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ChildFailure, run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import { who } from '../core/who.ts'
import type { GitSettings } from '../settings/nightly.ts'
import { gitIn, type Git } from './git.ts'
import type { Delivered } from './night.ts'

/** What of the site folder a night changes and people review. */
export const deliveredPaths = ['images.lock.json', 'records', 'deployment.json', 'rollouts.jsonl', '.terraform.lock.hcl'] as const
const lockPath = deliveredPaths[0]

/** A commit that was made and has not come where it should. */
const unsent = 'refs/golden/unsent'

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

type Settings<To extends GitSettings['to']> = GitSettings & { to: To }
type OnBranch = Settings<'branch'> | Settings<'pull-request'>

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

const currentBranch = async (git: Git): Promise<string | undefined> =>
  (await git.says('symbolic-ref', '--quiet', 'HEAD')) ? git('symbolic-ref', '--short', 'HEAD') : undefined

const commitOf = async (git: Git, name: string): Promise<string | undefined> =>
  (await git.says('rev-parse', '--verify', '--quiet', `${name}^{commit}`)) ? git('rev-parse', `${name}^{commit}`) : undefined

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

/**
 * @returns undefined: there is nothing to hand over, and nothing was left behind
 * @throws Failure `git-refused`, `git-command-failed`
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

/** Those that are there, or were. */
async function pathsOf(git: Git, folder: string, at: string): Promise<string[]> {
  const found = []
  for (const path of deliveredPaths) {
    const isThere = existsSync(join(folder, path)) && !(await git.says('check-ignore', '--quiet', '--', path))
    if (isThere || (await git('ls-tree', '--name-only', at, '--', path)) !== '') found.push(path)
  }
  return found
}

async function toCommit(
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

async function toBranch(options: DeliverOptions, settings: OnBranch, git: Git, current: string): Promise<Delivered | undefined> {
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

/** The parent's files with the site folder's in their places; the user's own index stays as it is. */
async function treeOn({ folder }: DeliverOptions, git: Git, parent: string): Promise<string> {
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

const lockAt = async (git: Git, commit: string): Promise<string | undefined> =>
  (await git('ls-tree', '--name-only', commit, '--', lockPath)) === '' ? undefined : git('show', `${commit}:./${lockPath}`)

/** Whoever has told git nothing of themselves is not asked in the night. */
async function identity(git: Git): Promise<string[]> {
  const isKnown = await git('var', 'GIT_COMMITTER_IDENT').then(
    () => true,
    () => false,
  )
  return isKnown ? [] : ['-c', 'user.name=golden nightly', '-c', `user.email=${who()}`]
}

async function propose(
  { folder, env }: DeliverOptions,
  { command: [program, ...args], passes, branch }: Settings<'pull-request'>,
  { subject, body }: Message,
  base: string,
): Promise<void> {
  const bodyFile = join(folder, 'state', 'nightly-request.md')
  await writeFile(bodyFile, `${body}\n`)
  try {
    await run(program, args, {
      cwd: folder,
      env: {
        ...childEnvironment(env, (name) => passes.includes(name)),
        GOLDEN_BRANCH: branch,
        GOLDEN_BASE: base,
        GOLDEN_TITLE: subject,
        GOLDEN_BODY_FILE: bodyFile,
      },
      timeoutMs: 300_000,
    })
  } catch (error) {
    if (!(error instanceof ChildFailure)) throw error
    throw new Failure(
      'git-command-failed',
      `branch ${branch} is pushed, but the command that asks for it to be merged failed: ${error.message}`,
      'Correct nightly.git.command in site.ts; the next night runs it again. Variables that it needs go into passes.',
      { cause: error },
    )
  } finally {
    await rm(bodyFile, { force: true })
  }
}
