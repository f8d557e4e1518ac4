/** Runs the programs that make images, so that nothing of them outlives this process. */
import { ChildFailure, runChild, type ChildOptions, type ChildResult } from '../child.ts'
import { DebianFailure } from './failure.ts'

export interface CommandOptions extends Omit<ChildOptions, 'label' | 'onOutput'> {
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The program sees `env` alone, nothing of this process's environment. */
  readonly bareEnv?: boolean
  /** What messages call the command; without it, its own words. */
  readonly label?: readonly string[]
}

export type CommandResult = ChildResult

/** A prefix for a command: mounts and processes of its own, which end with it, and it with this process. */
export const enclosed: readonly string[] = [
  ...['setpriv', '--pdeathsig', 'KILL'],
  ...['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'],
]

/**
 * A prefix for a command: it gets low priority and namespaces of its own for mounts and processes, and is killed
 * with all its descendants, its mounts gone with it, when this process ends in whatever way
 * (`PR_SET_PDEATHSIG`, prctl(2); the end of a pid namespace, pid_namespaces(7)).
 */
export const confined: readonly string[] = ['nice', '-n', '10', ...enclosed, '--mount-proc', '--']

/** Resolves with the program's output; rejects with a DebianFailure that quotes the end of its errors. */
export async function command(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { env, bareEnv, label, ...rest } = options
  const shown = label ?? argv.slice(argv[0] === confined[0] ? confined.length : 0)
  try {
    return await runChild(argv, { ...rest, env: { ...(bareEnv ? {} : process.env), ...env }, label: `${shown.slice(0, 3).join(' ')} …` })
  } catch (error) {
    if (!(error instanceof ChildFailure)) throw error
    if (error.missing)
      throw new DebianFailure(
        'program-missing',
        `there is no program "${argv[0]}" on PATH`,
        'npm run lab installs the packages it needs as root; else: lab/debian/packages.ts lists them',
        { cause: error },
      )
    throw new DebianFailure('build-failed', error.message, 'look at the lines above; run the same again once that is mended', {
      cause: error,
    })
  }
}
