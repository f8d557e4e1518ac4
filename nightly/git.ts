/** Plain git in the site folder, as its owner would use it: with their own settings and keys, and never with a question. */
import { ChildFailure, run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'
import { who } from '../core/who.ts'

/** How git gets to a remote, and who commits. Where its files are is told by the folder alone. */
const own =
  /^(SSH_AUTH_SOCK|SSH_ASKPASS|GIT_SSH|GIT_SSH_COMMAND|GIT_ASKPASS|GIT_SSL_CAINFO|GIT_CONFIG_(GLOBAL|COUNT|KEY_\d+|VALUE_\d+)|GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL))$/

export interface Git {
  /** @returns what it prints, without its last newline. @throws Failure `git-refused` */
  (...args: readonly string[]): Promise<string>
  /** Whether its exit code is 0. @throws Failure `git-refused` for any other than 0 and 1 */
  readonly says: (...args: readonly string[]) => Promise<boolean>
  /** The same with another index than the user's. */
  readonly withIndex: (file: string) => Git
}

/** A remote may be slow, and a hook thorough. */
const timeoutMs = 600_000

export function gitIn(folder: string, env: NodeJS.ProcessEnv, more: Readonly<Record<string, string>> = {}): Git {
  const environment = {
    ...childEnvironment(env, (name) => own.test(name)),
    ...more,
    // It would ask a terminal; and its words are read by people who look for them.
    GIT_TERMINAL_PROMPT: '0',
    LC_ALL: 'C.UTF-8',
  }
  const git = async (...args: readonly string[]): Promise<string> => {
    try {
      const { stdout } = await run('git', args, {
        cwd: folder,
        env: environment,
        timeoutMs,
        label: `git ${args.find((arg) => !arg.startsWith('-') && !arg.includes('=')) ?? ''}`,
      })
      return stdout.replace(/\n$/, '')
    } catch (error) {
      throw error instanceof ChildFailure ? refused(error) : error
    }
  }
  return Object.assign(git, {
    says: async (...args: readonly string[]): Promise<boolean> => {
      try {
        await git(...args)
        return true
      } catch (error) {
        if (error instanceof Failure && error.cause instanceof ChildFailure && error.cause.exitCode === 1) return false
        throw error
      }
    },
    withIndex: (file: string) => gitIn(folder, env, { ...more, GIT_INDEX_FILE: file }),
  })
}

function refused(cause: ChildFailure): Failure {
  return new Failure(
    'git-refused',
    cause.message,
    cause.missing
      ? "Install git, or set nightly.git in site.ts to { to: 'folder' }."
      : 'Run that git command by hand in the site folder. What it was about is still there; the next night tries again.',
    { cause },
  )
}

export const currentBranch = async (git: Git): Promise<string | undefined> =>
  (await git.says('symbolic-ref', '--quiet', 'HEAD')) ? git('symbolic-ref', '--short', 'HEAD') : undefined

export const commitOf = async (git: Git, name: string): Promise<string | undefined> =>
  (await git.says('rev-parse', '--verify', '--quiet', `${name}^{commit}`)) ? git('rev-parse', `${name}^{commit}`) : undefined

export const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '')

/** What git remembers of a remote's branch. */
export const knownAs = (remote: string, branch: string): string => `refs/remotes/${remote}/${branch}`

/** @returns the branch's commit as the remote has it now; undefined: it has no such branch. @throws Failure `git-refused` */
export async function fetched(git: Git, remote: string, branch: string): Promise<string | undefined> {
  const ref = `refs/heads/${branch}`
  if ((await git('ls-remote', '--', remote, ref)) === '') return undefined
  await git('fetch', '--quiet', '--', remote, `+${ref}:${knownAs(remote, branch)}`)
  return git('rev-parse', knownAs(remote, branch))
}

/** Whoever has told git nothing of themselves is not asked in the night. */
export async function identity(git: Git): Promise<string[]> {
  const isKnown = await git('var', 'GIT_COMMITTER_IDENT').then(
    () => true,
    () => false,
  )
  return isKnown ? [] : ['-c', 'user.name=golden nightly', '-c', `user.email=${who()}`]
}
