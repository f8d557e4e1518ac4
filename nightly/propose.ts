/** The command of the site that asks for a branch to be merged. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ChildFailure, run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'
import type { DeliverOptions, Message, Settings } from './delivery.ts'

/** Is there while a branch that was begun has not come to the remote, or nobody has been asked to merge it. */
export const begunRef = (branch: string): string => `refs/golden/begun/${branch}`

/** @throws Failure `git-command-failed` */
export async function propose(
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
      `Correct nightly.git.command in site.ts; the next night runs it again. Variables that it needs go into passes. If the request is there all the same: "git update-ref -d ${begunRef(branch)}" in the site folder.`,
      { cause: error },
    )
  } finally {
    await rm(bodyFile, { force: true })
  }
}
