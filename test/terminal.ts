/** A program on a terminal (a pty, by util-linux's `script`), and a person at it who waits for a question before they answer. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { shellWord } from '../core/shell-word.ts'
import { missingPrograms } from './images/programs.ts'

/** What a terminal takes that is not here, for the name of a test that is skipped; others than util-linux have another `script`. */
export const missingForTerminal = (...more: string[]): string[] =>
  process.platform === 'linux' ? missingPrograms(['script', 'stty', ...more]) : ['Linux']

export const enter = '\r'
export const down = '\x1b[B'
export const ctrlC = '\x03'
export const ctrlD = '\x04'

export interface Terminal {
  /** Waits until this is on the screen, after what was waited for before. @returns all that came until then */
  sees(pattern: RegExp): Promise<string>
  type(text: string): void
  /** Everything that was shown so far, without colours and movements. */
  shown(): string
  /** The exit code. */
  readonly ended: Promise<number>
}

/** What starts it; tests of a user's computer have another. */
export type Start = (program: string, args: readonly string[]) => ChildProcess

const spawned =
  (env: NodeJS.ProcessEnv): Start =>
  (program, args) =>
    spawn(program, args, { env, stdio: 'pipe' })

/** @param command a program and its arguments */
export function onTerminal(command: readonly string[], start: Start | NodeJS.ProcessEnv): Terminal {
  // Wide, so that no line is broken; `script` itself has no size to hand on.
  const line = `stty cols 400 rows 50; exec ${command.map(shellWord).join(' ')}`
  const child = (typeof start === 'function' ? start : spawned(start))('script', ['-qefc', line, '/dev/null'])
  let text = ''
  let seen = 0
  let hasEnded = false
  let wake = Promise.withResolvers<void>()
  const tell = (): void => {
    wake.resolve()
    wake = Promise.withResolvers()
  }
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    tell()
  })
  const ended = once(child, 'close').then(([code]) => {
    hasEnded = true
    tell()
    return code as number
  })
  const shown = (): string => plain(text)
  return {
    async sees(pattern) {
      for (;;) {
        const found = new RegExp(pattern.source, pattern.flags.replace('g', '')).exec(shown().slice(seen))
        if (found !== null) {
          const came = shown().slice(seen, seen + found.index + found[0].length)
          seen += found.index + found[0].length
          return came
        }
        if (hasEnded) throw new Error(`it has ended without ${String(pattern)}:\n${shown()}`)
        await wake.promise
      }
    },
    type: (answer) => void child.stdin?.write(answer),
    shown,
    ended,
  }
}

/** Without escape sequences (ECMA-48): what a person reads. */
const plain = (text: string): string => text.replaceAll(/\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|\r|\x07/g, '')
