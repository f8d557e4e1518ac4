/** What a verb is. Each verb has a file of its own that parses, wires and sets the exit code. */
import type { ParseArgsOptionsConfig } from 'node:util'
import type { Progress } from '../core/progress.ts'
import type { NextStep } from './next-step.ts'

export interface VerbContext {
  /** Flags of this verb, as `options` describes them. */
  readonly flags: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>
  readonly arguments: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly progress: Progress
  /** `--json`: the result goes to standard output as one JSON document, progress to standard error. */
  readonly json: boolean
  readonly signal: AbortSignal
  /**
   * Prints the verb's result: the text for people, or the document with `--json`.
   * @param next what to do now, in the state that the verb leaves: on standard error, so that a result can be piped; in the
   * document as `next`
   */
  result(text: string, document: object, next?: readonly NextStep[]): void
}

/** What can stand at a place, for the shell's completion: these words, names of groups, or a path. */
export type Completes = readonly string[] | 'groups' | 'file' | 'folder'

/** A whole command as one would type it, and what it is for. */
export type Example = readonly [command: string, does: string]

export interface Verb {
  /** e.g. `GROUP`; shown in the usage line. */
  readonly operands?: string
  readonly options?: ParseArgsOptionsConfig
  /** One line an option, for `golden VERB --help`. */
  readonly optionHelp?: Readonly<Record<string, string>>
  /** What it changes, and where, or that it changes nothing: a sentence for `golden VERB --help`. */
  readonly changes: string
  readonly examples: readonly [Example, ...Example[]]
  readonly completes?: {
    readonly operands?: Completes
    /** Of options with a value. */
    readonly options?: Readonly<Record<string, Completes>>
  }
  /** @returns the exit code: 0 done, 1 failed, 3 nothing wrong but not (yet) so (e.g. unhealthy) */
  run(context: VerbContext): Promise<number>
}
