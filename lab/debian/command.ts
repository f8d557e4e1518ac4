/** Runs the programs that make images, so that nothing of them outlives this process. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { DebianFailure } from './failure.ts'

export interface CommandOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The program sees `env` alone, nothing of this process's environment. */
  readonly bareEnv?: boolean
  /** Standard input. */
  readonly input?: string
  /** Gets each line of either output while the program runs. */
  readonly onLine?: (line: string) => void
  readonly signal?: AbortSignal | undefined
  /** What messages call the command; without it, its own words. */
  readonly label?: readonly string[]
  /** Exit codes besides 0 that are no failure. */
  readonly accept?: readonly number[]
}

export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * A prefix for a command: it gets low priority and namespaces of its own for mounts and processes, and is killed
 * with all its descendants, its mounts gone with it, when this process ends in whatever way
 * (`PR_SET_PDEATHSIG`, prctl(2); the end of a pid namespace, pid_namespaces(7)).
 */
export const confined: readonly string[] = [
  'nice',
  '-n',
  '10',
  'setpriv',
  '--pdeathsig',
  'KILL',
  'unshare',
  '--mount',
  '--propagation',
  'private',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
  '--',
]

/** Resolves with the program's output; rejects with a DebianFailure that quotes the end of its errors. */
export async function command(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [program = '', ...args] = argv
  const shown = options.label ?? argv.slice(argv[0] === confined[0] ? confined.length : 0)
  options.signal?.throwIfAborted()
  const child = spawn(program, args, {
    cwd: options.cwd,
    // Messages in English and bytes as they are, whatever the user's language is.
    env: { ...(options.bareEnv ? {} : process.env), LC_ALL: 'C.UTF-8', ...options.env },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  const abort = () => child.kill('SIGKILL')
  options.signal?.addEventListener('abort', abort, { once: true })
  const { stdin, stdout: out, stderr: err } = child
  stdin?.on('error', () => {}) // a program that ends without reading it says so by its exit code
  stdin?.end(options.input)
  let stdout = ''
  let stderr = ''
  if (out) out.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  if (err) err.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  if (options.onLine) for (const stream of [out, err]) if (stream) createInterface({ input: stream }).on('line', options.onLine)
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (status, signal) => resolve(status ?? (signal ? 128 : 1)))
    })
    options.signal?.throwIfAborted()
    if (code !== 0 && !options.accept?.includes(code)) {
      const tail = (stderr.trim() || stdout.trim()).split('\n').slice(-6).join('\n  ')
      throw new DebianFailure(
        'build-failed',
        `${shown.slice(0, 3).join(' ')} … ended with ${code}:\n  ${tail}`,
        'look at the lines above; run the same again once that is mended',
      )
    }
    return { code, stdout, stderr }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new DebianFailure(
        'program-missing',
        `there is no program "${program}" on PATH`,
        'npm run lab installs the packages it needs as root; else: lab/debian/packages.ts lists them',
        { cause: error },
      )
    }
    throw error
  } finally {
    options.signal?.removeEventListener('abort', abort)
  }
}
