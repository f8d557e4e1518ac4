/**
 * Runs other programs to their end, with execa: the one place for how, and for how it is said that it went wrong. Special
 * are those that are parts of the lab and go on running (QEMU, the holders of namespaces, slirp4netns, the gateways, the
 * registry): they are Node's own children, held by process id and streams, and the kernel ends them with this process.
 */
import type { Readable } from 'node:stream'
import { execa, execaSync } from 'execa'

export interface ChildOptions {
  readonly cwd?: string
  /** All that the program sees. @default this process's environment. `LC_ALL` is said by this module */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Written to its standard input. @default nothing */
  readonly input?: string
  /** Kills it. */
  readonly signal?: AbortSignal | undefined
  /** Gets standard output as it comes. */
  readonly onOutput?: (chunk: string) => void
  /** Gets each line of either output while the program runs. */
  readonly onLine?: (line: string) => void
  /** What messages call it. @default its name */
  readonly label?: string
  /** Exit codes besides 0 that are no failure. */
  readonly accept?: readonly number[]
}

export interface ChildResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A program failed. The message has what ran, how it ended, and its last lines. */
export class ChildFailure extends Error {
  /** There is no such program. */
  readonly missing: boolean
  /** Its exit code, or 128 when a signal ended it. */
  readonly code: number
  readonly said: string

  constructor(what: string, how: { readonly missing: boolean; readonly code: number; readonly text: string; readonly said: string }) {
    super(`${what} ${how.text}${how.said === '' ? '' : `:\n  ${how.said}`}`)
    this.name = 'ChildFailure'
    this.missing = how.missing
    this.code = how.code
    this.said = how.said
  }
}

/** How many of its last lines a failure repeats. */
const saidLines = 6

/** What execa says of an end. */
interface End {
  readonly code?: string | undefined
  readonly exitCode?: number | undefined
  readonly signal?: string | undefined
  readonly originalMessage?: string | undefined
  readonly stdout: string
  readonly stderr: string
}

function failureOf(what: string, { code, exitCode, signal, originalMessage, stdout, stderr }: End): ChildFailure {
  const missing = code === 'ENOENT'
  const text = missing
    ? 'is not on PATH'
    : signal !== undefined || exitCode !== undefined
      ? `ended with ${signal ?? exitCode}`
      : `can't be run: ${originalMessage}`
  const said = (stderr.trim() || stdout.trim()).split('\n').slice(-saidLines).join('\n  ')
  return new ChildFailure(what, { missing, code: exitCode ?? 128, text, said })
}

/** Messages in English and bytes as they are, whatever the user's language is. */
const environment = (env: ChildOptions['env'] = process.env) => ({ ...env, LC_ALL: 'C.UTF-8' })

/** Nothing is cleaned up behind the lab's back: what must end with it says so itself (network/namespaces.ts, debian/command.ts). */
const common = { extendEnv: false, reject: false, cleanup: false, stripFinalNewline: false } as const

/** @throws ChildFailure, or the signal's reason */
export async function runChild(argv: readonly string[], options: ChildOptions = {}): Promise<ChildResult> {
  const { cwd, env, input, signal, onOutput, onLine, label, accept = [] } = options
  const [program = '', ...args] = argv
  signal?.throwIfAborted()
  const child = execa(program, args, {
    ...common,
    env: environment(env),
    killSignal: 'SIGKILL',
    ...(cwd === undefined ? {} : { cwd }),
    ...(input === undefined ? { stdin: 'ignore' } : { input }),
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  })
  if (onOutput !== undefined) child.stdout.on('data', (chunk: Buffer | string) => onOutput(String(chunk)))
  const reading = onLine === undefined ? [] : (['stdout', 'stderr'] as const).map((from) => eachLine(child.iterable({ from }), onLine))
  const ended = await child
  await Promise.all(reading)
  signal?.throwIfAborted()
  const { exitCode, stdout, stderr } = ended
  if (exitCode === undefined || (exitCode !== 0 && !accept.includes(exitCode))) throw failureOf(label ?? program, ended)
  return { code: exitCode, stdout, stderr }
}

async function eachLine(lines: AsyncIterable<string>, onLine: (line: string) => void): Promise<void> {
  try {
    for await (const line of lines) onLine(line)
  } catch {
    // The program's end tells.
  }
}

/** Runs a program whose output is too much to be kept: it has to be read. `ended` rejects with a ChildFailure. */
export function startChild(argv: readonly string[]): { readonly output: Readable; readonly ended: Promise<void> } {
  const [program = '', ...args] = argv
  const child = execa(program, args, { ...common, env: environment(), stdin: 'ignore', buffer: { stdout: false, stderr: true } })
  const ended = child.then((end) => {
    if (end.failed) throw failureOf(program, { ...end, stdout: '' })
  })
  // Who reads the output may fail first, and then waits for nothing.
  ended.catch(() => {})
  return { output: child.stdout, ended }
}

/** Runs a program at once, for what takes a few milliseconds. Never throws. @returns undefined when it can't be run */
export function runChildSync(argv: readonly string[]): ChildResult | undefined {
  const [program = '', ...args] = argv
  const { cleanup: _, ...options } = common
  const { exitCode, stdout, stderr } = execaSync(program, args, { ...options, env: environment() })
  return exitCode === undefined ? undefined : { code: exitCode, stdout, stderr }
}
