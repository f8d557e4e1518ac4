/** What a verb is. Each verb has a file of its own that parses, wires and sets the exit code. */
import type { ParseArgsOptionsConfig } from 'node:util'
import type { Progress } from '../core/progress.ts'

export interface VerbContext {
  /** Flags of this verb, as `options` describes them. */
  readonly flags: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>
  readonly arguments: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly progress: Progress
  /** `--json`: the result goes to standard output as one JSON document, progress to standard error. */
  readonly json: boolean
  readonly signal: AbortSignal
  /** Prints the verb's result: the text for people, or the document with `--json`. */
  result(text: string, document: unknown): void
}

export interface Verb {
  /** e.g. `GROUP`; shown in the usage line. */
  readonly operands?: string
  readonly options?: ParseArgsOptionsConfig
  /** One line an option, for `golden VERB --help`. */
  readonly optionHelp?: Readonly<Record<string, string>>
  /** @returns the exit code: 0 done, 1 failed, 3 nothing wrong but not (yet) so (e.g. unhealthy) */
  run(context: VerbContext): Promise<number>
}
