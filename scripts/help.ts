/** What `golden help` and `golden VERB --help` print. Pure. */
import type { Example, Verb } from './verb.ts'

/** Of the verbs that people call. */
export function overview(verbs: Readonly<Record<string, { readonly summary: string; readonly hidden?: true }>>): string {
  const shown = Object.entries(verbs).filter(([, { hidden }]) => hidden !== true)
  return [
    'usage: npx golden VERB [OPTIONS] [--json]',
    '',
    ...shown.map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`),
    '',
    '"npx golden VERB --help" tells what a verb changes, its options, and examples.',
  ].join('\n')
}

export function verbHelp(name: string, summary: string, verb: Verb): string {
  const options = Object.entries(verb.options ?? {})
  return [
    `usage: npx golden ${name}${verb.operands === undefined ? '' : ` ${verb.operands}`}${options.length === 0 ? '' : ' [OPTIONS]'} [--json]`,
    '',
    summary,
    '',
    `Changes: ${verb.changes}.`,
    ...(options.length === 0 ? [] : ['', 'Options:']),
    ...options.map(
      ([option, { type }]) => `  --${`${option}${type === 'string' ? ' VALUE' : ''}`.padEnd(34)} ${verb.optionHelp?.[option] ?? ''}`,
    ),
    '',
    'Examples:',
    ...exampleLines(verb.examples),
  ].join('\n')
}

/** One below the other, what they are for in a column; a long command has it on a line of its own. */
function exampleLines(examples: readonly Example[]): string[] {
  const column = Math.min(52, Math.max(...examples.map(([command]) => command.length)))
  return examples.flatMap(([command, does]) =>
    command.length > column ? [`  ${command}`, `  ${' '.repeat(column)} # ${does}`] : [`  ${command.padEnd(column)} # ${does}`],
  )
}
