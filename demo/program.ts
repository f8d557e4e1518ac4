/** Runs the verbs as a person would type them, and the lab beside them. */
import { spawn, type ChildProcess } from 'node:child_process'
import { openSync, closeSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { failureOf, lastLinesOf, starter } from '../core/child.ts'
import { Failure, type FailureFacts } from '../core/failure.ts'

const project = resolve(import.meta.dirname, '..')
// As scripts/golden starts it.
const cli = ['--disable-warning=ExperimentalWarning', join(project, 'golden.ts')]

export interface Typed {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface VerbRun extends Typed {
  /** The verb's `--json` document. */
  readonly document: any
}

export interface TypingOptions {
  readonly env: NodeJS.ProcessEnv
  readonly signal: AbortSignal
  /** Hears every line of its progress. */
  readonly onLine?: (line: string) => void
}

/** `golden VERB …` in a process of its own, as it says it to people. */
export async function typeVerb(verb: readonly string[], options: TypingOptions): Promise<Typed> {
  options.signal.throwIfAborted()
  const child = (await starter())(process.execPath, [...cli, ...verb], {
    cwd: project,
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const stop = (): void => {
    child.kill('SIGINT')
  }
  options.signal.addEventListener('abort', stop, { once: true })
  if (options.signal.aborted) stop()
  createInterface({ input: child.stderr }).on('line', (line) => options.onLine?.(line))
  const ended = await child
  options.signal.removeEventListener('abort', stop)
  options.signal.throwIfAborted()
  const { exitCode: code = 128, stdout, stderr } = ended
  if (ended.exitCode === undefined && ended.signal === undefined) throw failureOf(`golden ${verb.join(' ')}`, ended)
  return { code, stdout, stderr }
}

/** The same with `--json`. */
export async function runVerb(verb: readonly string[], options: TypingOptions): Promise<VerbRun> {
  const typed = await typeVerb([...verb, '--json'], options)
  let document: unknown
  try {
    document = JSON.parse(typed.stdout)
  } catch {
    document = undefined
  }
  return { ...typed, document }
}

/** The same, for a verb that has to succeed. @returns its document */
export async function verb(words: readonly string[], options: TypingOptions): Promise<any> {
  const run = await runVerb(words, options)
  if (run.code === 0) return run.document
  const [error] = (run.document?.errors ?? []) as readonly FailureFacts[]
  throw error
    ? new Failure(error.code, `golden ${words.join(' ')}: ${error.message}`, error.hint)
    : new Failure(
        'verb-failed',
        `golden ${words.join(' ')} ended with exit code ${run.code}:\n${lastLinesOf(run.stderr, 12)}`,
        'See what it printed above.',
      )
}

/**
 * A process that outlives this one if it has to (`demo --keep`), in whatever way this one ends; its output goes to a log
 * file. Not by execa, which reads all output itself and lets go of no child.
 */
export function startDetached(words: readonly string[], env: NodeJS.ProcessEnv, logFile: string): ChildProcess {
  const log = openSync(logFile, 'a', 0o600)
  try {
    return spawn(process.execPath, [...cli, ...words], { cwd: project, env, stdio: ['ignore', log, log], detached: true })
  } finally {
    closeSync(log)
  }
}

export function exitOf(child: ChildProcess): Promise<number> {
  const { promise, resolve: done, reject } = Promise.withResolvers<number>()
  child.once('error', reject)
  child.once('close', (code, signal) => done(code ?? (signal ? 128 : 1)))
  return promise
}

export const lastLines = (file: string, count: number): string => readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count).join('\n')
