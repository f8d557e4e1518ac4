/** Questions on a terminal, by @inquirer's prompts, which are loaded when the first one is asked. */
import { Failure } from '../core/failure.ts'
import type { Terminal } from './confirm.ts'

export interface Choice<T> {
  readonly value: T
  readonly name: string
  /** Shown below the list while it is the one. */
  readonly about?: string
}

export interface Prompts {
  /** @param check what is wrong with an answer; it is asked again then. @returns without blanks at its ends */
  text(question: string, options: { readonly usual?: string; readonly check?: (answer: string) => string | undefined }): Promise<string>
  /** Shows nothing of what is typed. */
  secret(question: string): Promise<string>
  choose<T>(question: string, choices: readonly Choice<T>[], usual?: T): Promise<T>
}

/**
 * All of them reject with Failure `cancelled` when Ctrl-C or Ctrl-D is the answer, and with the signal's reason.
 * @param hint what to say then
 */
export function promptsOn({ input, output }: Terminal, signal: AbortSignal, hint: string): Prompts {
  /** What is drawn goes to the terminal, not into the result on standard output. */
  const put = async <T>(
    ask: (context: { input: NodeJS.ReadableStream; output: NodeJS.WritableStream; signal: AbortSignal }) => Promise<T>,
  ) => {
    const given = new AbortController()
    const stop = (): void => given.abort(new Failure('cancelled', 'stopped by you', hint))
    // The library hears of Ctrl-C, and of the end of its input nothing.
    const onKey = (_text: string | undefined, key: { readonly ctrl?: boolean; readonly name?: string }): void => {
      if (key.ctrl === true && key.name === 'd') stop()
    }
    input.on('keypress', onKey).once('end', stop)
    try {
      return await ask({ input, output, signal: AbortSignal.any([signal, given.signal]) })
    } catch (cause) {
      signal.throwIfAborted()
      given.signal.throwIfAborted()
      if (cause instanceof Error && cause.name === 'ExitPromptError') throw new Failure('cancelled', 'stopped by you', hint, { cause })
      throw cause
    } finally {
      input.off('keypress', onKey).off('end', stop)
    }
  }
  return {
    async text(message, { usual, check }) {
      const { default: text } = await import('@inquirer/input')
      const validate = (answer: string): string | true => check?.(answer.trim()) ?? true
      return (await put((context) => text({ message, validate, ...(usual === undefined ? {} : { default: usual }) }, context))).trim()
    },
    async secret(message) {
      const { default: password } = await import('@inquirer/password')
      return put((context) => password({ message }, context))
    },
    async choose(message, choices, usual) {
      const { default: select } = await import('@inquirer/select')
      const list = choices.map(({ value, name, about }) => ({ value, name, ...(about === undefined ? {} : { description: about }) }))
      return put((context) =>
        select({ message, choices: list, pageSize: 16, loop: false, ...(usual === undefined ? {} : { default: usual }) }, context),
      )
    },
  }
}
