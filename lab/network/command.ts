/** Running a program to its end, for what it prints. */
import { runChild, type ChildOptions } from '../child.ts'

/** Runs `argv` and returns its standard output. @throws ChildFailure with the program's name and what it said */
export const run = async (argv: readonly string[], options: Pick<ChildOptions, 'input' | 'signal' | 'onOutput'> = {}): Promise<string> =>
  (await runChild(argv, options)).stdout
