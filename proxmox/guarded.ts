/** Runs an external program that cleans up after itself, and lets it do so however this process ends. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

export interface GuardedProgram {
  readonly program: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** Asks the program to end; it is waited for. */
  readonly signal: AbortSignal
  /** Each line that it prints, on either output. */
  readonly heard: (line: string) => void
  /** It runs, as this process. */
  readonly started?: (pid: number) => Promise<void>
}

/**
 * Descriptor 3 is a pipe from this process: when it closes, because of an abort or because this process has ended in
 * whatever way, the program gets SIGTERM. Both Packer and the engines then end what they are at and clean up; a signal
 * from the terminal does not reach them (a group of their own), or a second one would make them drop everything. What
 * the program prints goes on to be read when nobody wants it any more: it would die of SIGPIPE in the middle of
 * cleaning up. Its exit code comes by descriptor 4, because a pipeline has only that of its last part.
 */
const guard = `
{
  "$@" 3<&- 4>&- </dev/null 2>&1 &
  program=$!
  { read -r line <&3; kill -TERM "$program"; } >/dev/null 2>&1 4>&- &
  watcher=$!
  wait "$program"
  code=$?
  kill "$watcher" 2>/dev/null
  echo "$code" >&4
} | { cat; cat >/dev/null; } 3<&- 4>&-
`

/** @returns its exit code; 127 when there is no such program */
export async function runGuarded({ program, args, cwd, env, signal, heard, started }: GuardedProgram): Promise<number> {
  const child = spawn('sh', ['-c', guard, 'sh', program, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'], detached: true })
  const lifeline = child.stdio[3] as Writable
  lifeline.on('error', () => { /* it ended first */ })
  const stop = (): void => { lifeline.end() }
  let code = ''
  ;(child.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => { code += text })
  for (const stream of [child.stdout, child.stderr]) if (stream !== null) createInterface({ input: stream as Readable }).on('line', heard)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  child.on('error', reject)
  child.on('close', () => resolve())
  signal.addEventListener('abort', stop)
  if (signal.aborted) stop()
  try {
    if (child.pid !== undefined) await started?.(child.pid)
    await promise
  } finally {
    signal.removeEventListener('abort', stop)
  }
  // Without a code the guard itself was killed.
  return code.trim() === '' ? 137 : Number(code)
}
