/** Runs an external program that cleans up after itself, and lets it do so however this process ends. */
import { spawn, type ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'

export interface GuardedProgram {
  readonly program: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** Asks the program to end; it is waited for. */
  readonly signal: AbortSignal
  /** Each line that it prints, on either output. */
  readonly heard: (line: string) => void
  /** It is about to run, as this process. */
  readonly started?: (pid: number) => Promise<void>
  /** Time for what it leaves behind to end by itself, and for its last words to arrive. @default 5000 */
  readonly graceMs?: number
}

/**
 * The program is a child of ours, and leads a group of its own: a signal from the terminal does not reach it, or a
 * second one would make it drop everything. It begins once it is watched; if this process ends before that, never.
 */
const waiting = 'read -r go <&3 || exit 125; exec "$@" 3<&-'

/** What it prints goes on to be read when nobody wants it any more: it would die of SIGPIPE in the middle of cleaning up. */
const drain = 'cat; exec cat >/dev/null'

/**
 * Its input is a pipe from this process. When that closes without a word this process has ended, in whatever way: the
 * program gets SIGTERM, upon which both Packer and the engines end what they are at and clean up. What it leaves in its
 * group, such as an engine's provider when the engine itself was killed, goes after it. (A zombie counts as ended.)
 */
const watch = `
read -r word && exit
kill -s TERM "$1"
runs() {
  kill -s 0 "$1" || return 1
  if read -r stat <"/proc/$1/stat"; then case "$stat" in *") Z "*) return 1;; esac; fi
}
while runs "$1"; do sleep 1; done
kill -s TERM -- "-$1" || exit
sleep $2
kill -s KILL -- "-$1"
`

/** @returns its exit code; 127 when there is no such program, 128 and more when it was killed */
export async function runGuarded({ program, args, cwd, env, signal, heard, started, graceMs = 5000 }: GuardedProgram): Promise<number> {
  const script = (
    text: string,
    words: readonly string[],
    options: { stdio: ('ignore' | 'pipe' | Writable)[]; cwd?: string; env?: NodeJS.ProcessEnv },
  ): ChildProcess => {
    const child = spawn('/bin/sh', ['-c', text, 'sh', ...words], { ...options, detached: true })
    // Who of them ended first does not matter: pipes to one that is gone are no failure.
    for (const pipe of child.stdio ?? []) pipe?.on('error', () => {})
    return child
  }
  const reader = script(drain, [], { stdio: ['pipe', 'pipe', 'ignore'] })
  const words = reader.stdin as Writable
  const child = script(waiting, [program, ...args], { cwd, env, stdio: ['ignore', words, words, 'pipe'] })
  // The program alone has it now: the reader is at its end when that is.
  words.destroy()
  reader.on('error', () => {})
  const ended = endOf(child)
  const drained = linesOf(reader.stdout as Readable, heard)
  const stop = (): void => {
    child.kill('SIGTERM')
  }
  let watcher: ChildProcess | undefined
  try {
    if (child.pid !== undefined) {
      watcher = script(watch, [String(child.pid), String(graceMs / 1000)], { stdio: ['pipe', 'ignore', 'ignore'] })
      watcher.on('error', () => {})
      await started?.(child.pid)
    }
    ;(child.stdio[3] as Writable).end('go\n')
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
    const code = await ended
    await endGroup(child.pid, graceMs)
    await Promise.race([drained, delay(graceMs, undefined, { ref: false })])
    return code
  } finally {
    signal.removeEventListener('abort', stop)
    ;(child.stdio[3] as Writable | undefined)?.destroy()
    watcher?.stdin?.end('done\n')
    // Whoever has left the group may hold on to the output.
    reader.stdout?.destroy()
  }
}

function endOf(child: ChildProcess): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.on('error', reject)
  child.on('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  return promise
}

function linesOf(stream: Readable, heard: (line: string) => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  createInterface({ input: stream }).on('line', heard).on('close', resolve)
  return promise
}

/** Ends what the leader of a group, which is gone, has left behind in it. */
async function endGroup(leader: number | undefined, graceMs: number): Promise<void> {
  if (leader === undefined || !tell(leader, 'SIGTERM')) return
  for (const until = performance.now() + graceMs; performance.now() < until; ) {
    await delay(50)
    if (!tell(leader, 0)) return
  }
  tell(leader, 'SIGKILL')
}

/** @returns whether anybody is in the group */
function tell(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-leader, signal)
  } catch {
    return false
  }
}
