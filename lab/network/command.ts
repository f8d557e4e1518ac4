/** Running a program to its end, with its last words in the error. */
import { spawn } from 'node:child_process'

export interface CommandOptions {
  /** Written to its standard input. */
  readonly input?: string
  /** Kills it. */
  readonly signal?: AbortSignal
  /** Gets standard output as it comes. */
  readonly onOutput?: (chunk: string) => void
}

/** Runs `argv` and returns its standard output. A failure rejects with the program's name and what it said. */
export async function run(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [program, ...args] = argv as [string, ...string[]]
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
    ...(options.signal ? { signal: options.signal, killSignal: 'SIGKILL' as const } : {}),
  })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
    options.onOutput?.(chunk)
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  child.stdin.on('error', () => {}) // it may end without reading all of it; its exit code tells
  child.stdin.end(options.input ?? '')
  const ended = await new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code === 0 ? '' : (signal ?? `exit code ${code}`)))
  })
  if (ended === '') return output
  const words = (errors.trim() || output.trim()).split('\n').slice(-5).join('; ')
  throw new Error(`${program} failed (${ended})${words ? `: ${words}` : ''}`)
}
