import { createInterface } from 'node:readline/promises'
import { Failure } from '../core/failure.ts'

/** Where a question is asked; standard input and standard error, unless a test says otherwise. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  readonly output: NodeJS.WritableStream
}

const own: Terminal = { input: process.stdin, output: process.stderr }

/** Asks on the terminal. @throws Failure `not-confirmed` for any other answer, or when nobody is there to ask; `cancelled` */
export async function confirm(question: string, wanted: string, hint: string, terminal: Terminal = own): Promise<void> {
  if (terminal.input.isTTY !== true) throw new Failure('not-confirmed', 'there is no terminal to ask on', hint)
  if ((await ask(question, { terminal })).trim() !== wanted)
    throw new Failure('not-confirmed', 'it was not confirmed', 'Nothing was changed.')
}

export interface AskOptions {
  readonly terminal?: Terminal
  /** Ends the question. */
  readonly signal?: AbortSignal
  /** What to say when Ctrl-C or Ctrl-D is the answer. @default nothing was changed */
  readonly hint?: string
}

/** @throws Failure `cancelled` when Ctrl-C or Ctrl-D is the answer; the signal's reason */
export async function ask(question: string, { terminal = own, signal, hint = 'Nothing was changed.' }: AskOptions = {}): Promise<string> {
  const lines = createInterface({ ...terminal, terminal: true })
  try {
    // While it asks, it is this that hears Ctrl-C, not the process; and a question that is closed is never answered.
    const closed = new Promise<never>((_resolve, reject) => lines.once('close', () => reject(new Error('closed'))))
    return await Promise.race([signal === undefined ? lines.question(question) : lines.question(question, { signal }), closed])
  } catch (cause) {
    signal?.throwIfAborted()
    terminal.output.write('\n')
    throw new Failure('cancelled', 'stopped by you', hint, { cause })
  } finally {
    lines.close()
  }
}
