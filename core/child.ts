/**
 * Runs other programs, with execa: the one place for how, and for how it is said that it went wrong. What must clean up
 * after itself when this process is killed is run by guarded.ts instead. execa is loaded when a program is run: it takes
 * longer to load than most verbs take.
 */

export interface RunOptions {
  /** @default this process's */
  readonly cwd?: string
  /** All that the program sees (environment.ts). */
  readonly env: NodeJS.ProcessEnv
  /** Its standard input. @default empty */
  readonly input?: string
  /** It is killed then, and counts as failed. @default never */
  readonly timeoutMs?: number
  /** How much it may print on either output, in bytes, before it is ended and counts as failed. @default 100 MB */
  readonly maxBytes?: number
  /** What failures call it: never with anything that is private. @default the program's name alone */
  readonly label?: string
  /** What it prints on its standard output is a secret, and repeated nowhere. @default false */
  readonly secret?: boolean
}

/** How a program ended, as far as failures tell of it. */
export interface BadEnd {
  readonly label: string
  /** There is no such program. */
  readonly missing: boolean
  readonly timedOut: boolean
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  /** Why it could not be run or be heard out, in the system's words; not how it ended. */
  readonly trouble: string | undefined
  /** Its last lines, on standard error if it said anything there. */
  readonly said: string
}

/** A program failed. The message has what ran, how it ended, and its last lines; neither its arguments nor its environment. */
export class ChildFailure extends Error implements BadEnd {
  readonly label: string
  readonly missing: boolean
  readonly timedOut: boolean
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  readonly trouble: string | undefined
  readonly said: string

  constructor(end: BadEnd) {
    super(describeEnd(end))
    this.name = 'ChildFailure'
    this.label = end.label
    this.missing = end.missing
    this.timedOut = end.timedOut
    this.exitCode = end.exitCode
    this.signal = end.signal
    this.trouble = end.trouble
    this.said = end.said
  }
}

/** The one wording of all failures of programs. */
export function describeEnd({ label, missing, timedOut, exitCode, signal, trouble, said }: BadEnd): string {
  const how = missing
    ? 'is not on PATH'
    : timedOut
      ? 'did not end in time'
      : signal !== undefined || exitCode !== undefined
        ? `ended with ${signal ?? exitCode}`
        : `can't be run: ${trouble}`
  return `${label} ${how}${said === '' ? '' : `:\n${said}`}`
}

/** How many of its last lines a failure repeats. */
const saidLines = 20

export const lastLinesOf = (text: string, count = saidLines): string => text.trim().split('\n').slice(-count).join('\n')

/** Runs a program to its end. @throws ChildFailure unless its exit code is 0 */
export async function run(program: string, args: readonly string[], options: RunOptions): Promise<{ stdout: string; stderr: string }> {
  const { stdout, stderr } = await runForBytes(program, args, options)
  return { stdout: text(stdout), stderr: text(stderr) }
}

/** The same for what may be no text. @throws ChildFailure */
export async function runForBytes(
  program: string,
  args: readonly string[],
  { cwd, env, input, timeoutMs, maxBytes, label = program, secret = false }: RunOptions,
): Promise<{ stdout: Uint8Array; stderr: Uint8Array }> {
  const start = await starter()
  const ended = await start(program, args, {
    env,
    encoding: 'buffer',
    ...(cwd === undefined ? {} : { cwd }),
    ...(input === undefined ? { stdin: 'ignore' } : { input }),
    // A program that does not end may not heed a polite signal either.
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs, killSignal: 'SIGKILL' }),
    ...(maxBytes === undefined ? {} : { maxBuffer: maxBytes }),
  })
  if (ended.failed) throw failureOf(label, secret ? { ...ended, stdout: '' } : ended)
  return { stdout: ended.stdout, stderr: ended.stderr }
}

/** What of execa's result tells how a program ended. */
export interface EndedChild {
  readonly code?: string | undefined
  readonly timedOut: boolean
  readonly exitCode?: number | undefined
  readonly signal?: string | undefined
  readonly originalMessage?: string | undefined
  readonly stdout?: unknown
  readonly stderr?: unknown
}

/** @param label what ran */
export function failureOf(label: string, ended: EndedChild): ChildFailure {
  const { code, timedOut, exitCode, signal, originalMessage } = ended
  return new ChildFailure({
    label,
    missing: code === 'ENOENT',
    timedOut,
    exitCode,
    signal,
    trouble: originalMessage,
    said: lastLinesOf(text(ended.stderr).trim() === '' ? text(ended.stdout) : text(ended.stderr)),
  })
}

const text = (output: unknown): string =>
  typeof output === 'string' ? output : output instanceof Uint8Array ? Buffer.from(output).toString('utf8') : ''

/**
 * @returns what starts a program that is attended to while it runs: execa, by which a program sees no more than the `env`
 * that it is given, and whose ends are looked at (`failureOf`), not thrown
 */
export async function starter() {
  const { execa } = await import('execa')
  return execa({
    extendEnv: false,
    reject: false,
    stripFinalNewline: false,
    // It would listen for signals, so that others take them for handled. Who needs that ends a group (tools/group.ts).
    cleanup: false,
    // An engine that was told to end has a state to write.
    forceKillAfterDelay: false,
  })
}
