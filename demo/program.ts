/** Runs the verbs as a person would type them, and the lab beside them. */
import { spawn, type ChildProcess } from 'node:child_process'
import { openSync, closeSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Failure, type FailureFacts } from '../core/failure.ts'

const project = resolve(import.meta.dirname, '..')
// As scripts/golden starts it.
const cli = ['--disable-warning=ExperimentalWarning', join(project, 'golden.ts')]

export interface VerbRun {
  readonly code: number
  /** The verb's `--json` document. */
  readonly document: any
  readonly stderr: string
}

/**
 * `golden VERB … --json` in a process of its own.
 * @param onLine every line of its progress
 */
export async function runVerb(
  verb: readonly string[],
  options: { env: NodeJS.ProcessEnv; signal: AbortSignal; onLine?: (line: string) => void },
): Promise<VerbRun> {
  options.signal.throwIfAborted()
  const child = spawn(process.execPath, [...cli, ...verb, '--json'], {
    cwd: project,
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const stop = (): void => {
    child.kill('SIGINT')
  }
  options.signal.addEventListener('abort', stop, { once: true })
  let stdout = ''
  let stderr = ''
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) options.onLine?.(line)
  })
  const code = await exitOf(child)
  options.signal.removeEventListener('abort', stop)
  options.signal.throwIfAborted()
  let document: unknown
  try {
    document = JSON.parse(stdout)
  } catch {
    document = undefined
  }
  return { code, document, stderr }
}

/** The same, for a verb that has to succeed. @returns its document */
export async function verb(
  words: readonly string[],
  options: { env: NodeJS.ProcessEnv; signal: AbortSignal; onLine?: (line: string) => void },
): Promise<any> {
  const run = await runVerb(words, options)
  if (run.code === 0) return run.document
  const error = run.document?.error as FailureFacts | undefined
  throw error
    ? new Failure(error.code, `golden ${words.join(' ')}: ${error.message}`, error.hint)
    : new Failure(
        'verb-failed',
        `golden ${words.join(' ')} ended with exit code ${run.code}:\n${run.stderr.trimEnd().split('\n').slice(-12).join('\n')}`,
        'See what it printed above.',
      )
}

/** A process that outlives this one if it has to (`demo --keep`); its output goes to a log file. */
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
