/**
 * Makes up for what just-bash (3.4) does otherwise than a shell, by changing a script's syntax tree before it runs:
 * - it hands a program file only nine arguments: commands that may have more go through `RUN_WORDS`;
 * - it gives up the whole script when a redirection can't be opened: such commands first ask `CHECK_REDIRECTION`;
 * - its `command -v` knows only registered commands: `FIND_COMMAND` looks at the guest's files.
 */
import { getCommandNames, type ScriptNode, type StatementNode, type WordNode } from 'just-bash'

/** Name of the internal command that runs the program named by its first word. */
export const RUN_WORDS = '__run_words'
/** Fails with a message if one of the files named can't be written. */
export const CHECK_REDIRECTION = '__check_redirection'
/** Prints where the program of this name is. */
export const FIND_COMMAND = '__find_command'

const KEEP = new Set([
  ...`
    : . [ true false cd export unset exit local set break continue return eval shift getopts source read mapfile readarray
    declare typeset readonly let command shopt exec test echo printf pwd alias unalias type hash ulimit umask trap wait kill jobs
    builtin pushd popd dirs help history times time __run_program
  `
    .trim()
    .split(/\s+/),
  RUN_WORDS,
])
const KEYWORDS = new Set('if then else elif fi case esac for while until do done in function { } ! [['.split(' '))
const bundled = new Set(getCommandNames())

type CommandNode = StatementNode['pipelines'][number]['commands'][number]
type Simple = Extract<CommandNode, { type: 'SimpleCommand' }>

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
const word = (text: string): WordNode => ({ type: 'Word', parts: [{ type: 'Literal', value: text }] })
const statement = (command: CommandNode): StatementNode => ({
  type: 'Statement',
  pipelines: [{ type: 'Pipeline', commands: [command], negated: false }],
  operators: [],
  background: false,
})
const simple = (name: string, args: WordNode[]): Simple => ({
  type: 'SimpleCommand',
  assignments: [],
  name: word(name),
  args,
  redirections: [],
})

function literal(target: WordNode | null | undefined): string | undefined {
  const [part] = target?.parts ?? []
  return target?.parts.length === 1 && part?.type === 'Literal' ? part.value : undefined
}

/** Can the word become several? */
function several(target: WordNode): boolean {
  return target.parts.some(
    (part) =>
      ['ParameterExpansion', 'CommandSubstitution', 'Glob', 'BraceExpansion'].includes(part.type) ||
      (part.type === 'DoubleQuoted' &&
        part.parts.some((each) => each.type === 'ParameterExpansion' && /^[@*]|\[[@*]\]$/.test(each.parameter))),
  )
}

function substitutes(target: WordNode): boolean {
  return JSON.stringify(target).includes('"CommandSubstitution"')
}

/** Files that the command opens for writing, as words; those that only their evaluation would tell (`$(…)`) left out. */
function outputs(command: CommandNode): WordNode[] {
  if (!('redirections' in command)) return []
  return command.redirections.flatMap((each) =>
    ['>', '>>', '>|', '&>', '&>>'].includes(each.operator) &&
    each.target.type === 'Word' &&
    !substitutes(each.target) &&
    !/^\/dev\/(null|stdout|stderr)$/.test(literal(each.target) ?? '')
      ? [each.target]
      : [],
  )
}

/**
 * Changes the tree in place.
 * @param modelled names of programs that are run by the fake guest itself
 * @param writable can this file be written, as things are now?
 */
export function rewriteCommands(script: ScriptNode, modelled: ReadonlySet<string>, writable: (path: string) => boolean): ScriptNode {
  const functions = new Set<string>()
  const commands: Simple[] = []
  const lists: CommandNode[][] = []
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const each of value) walk(each)
      return
    }
    if (!isObject(value)) return
    if (value.type === 'FunctionDef') functions.add(String(value.name))
    if (value.type === 'SimpleCommand') commands.push(value as unknown as Simple)
    if (value.type === 'Pipeline') lists.push(value.commands as CommandNode[])
    for (const each of Object.values(value)) walk(each)
  }
  walk(script)
  const behind = (name: string): boolean =>
    name.includes('/') || (!KEEP.has(name) && !functions.has(name) && (modelled.has(name) || !bundled.has(name)))
  for (const command of commands) {
    const name = literal(command.name)
    if (name === undefined || command.name === null) continue
    const [first, second] = command.args.map(literal)
    if (
      name === 'command' &&
      first === '-v' &&
      command.args.length === 2 &&
      !(second !== undefined && (KEEP.has(second) || KEYWORDS.has(second) || functions.has(second)))
    ) {
      command.name = word(FIND_COMMAND)
      command.args = command.args.slice(1)
    } else if (command.args.length > 9 || command.args.some(several)) {
      if (name === 'exec' && first !== undefined && behind(first)) command.args = [word(RUN_WORDS), ...command.args]
      if (name !== 'exec' && behind(name)) {
        command.args = [command.name, ...command.args]
        command.name = word(RUN_WORDS)
      }
    }
  }
  for (const list of lists)
    for (const [index, command] of list.entries()) {
      const files = outputs(command).filter((file) => {
        const text = literal(file)
        return text === undefined || !text.startsWith('/') || !writable(text)
      })
      if (files.length === 0) continue
      const check = simple(CHECK_REDIRECTION, files)
      // Behind a pipe: an `if` of just-bash gets nothing of what comes through it, a group does.
      if (index > 0) {
        const both = { ...statement(check), operators: ['&&' as const] }
        both.pipelines = [...both.pipelines, ...statement(command).pipelines]
        list[index] = { type: 'Group', body: [both], redirections: [] }
        continue
      }
      list[index] = {
        type: 'If',
        clauses: [{ condition: [statement(check)], body: [statement(command)] }],
        elseBody: [statement(simple('false', []))],
        redirections: [],
      }
    }
  return script
}
