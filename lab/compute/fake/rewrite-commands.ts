/**
 * just-bash (3.4) hands a program file only its first nine arguments. So commands that may have more are put behind
 * an internal command, which as any command gets all of its words and starts the program itself.
 */
import { getCommandNames, type ScriptNode, type WordNode } from 'just-bash'

/** Name of the internal command that runs the program named by its first word. */
export const RUN_WORDS = '__run_words'

const KEEP = new Set([':', '.', '[', 'true', 'false', 'cd', 'export', 'unset', 'exit', 'local', 'set', 'break', 'continue', 'return', 'eval', 'shift', 'getopts', 'source', 'read', 'mapfile', 'readarray', 'declare', 'typeset', 'readonly', 'let', 'command', 'shopt', 'test', 'echo', 'printf', 'pwd', 'alias', 'unalias', 'type', 'hash', 'ulimit', 'umask', 'trap', 'wait', 'kill', 'jobs', 'builtin', 'pushd', 'popd', 'dirs', 'help', 'history', 'times', 'time', '__run_program', RUN_WORDS])
const bundled = new Set(getCommandNames())

interface Simple { readonly type: 'SimpleCommand'; name: WordNode | null; args: WordNode[] }

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

function literal(word: WordNode | null | undefined): string | undefined {
  const [part] = word?.parts ?? []
  return word?.parts.length === 1 && part?.type === 'Literal' ? part.value : undefined
}

/** Can the word become several? */
function several(word: WordNode): boolean {
  return word.parts.some((part) => ['ParameterExpansion', 'CommandSubstitution', 'Glob', 'BraceExpansion'].includes(part.type) || (part.type === 'DoubleQuoted' && part.parts.some((each) => each.type === 'ParameterExpansion' && /^[@*]|\[[@*]\]$/.test(each.parameter))))
}

/** Changes the tree in place. `modelled`: names of programs that are run by the fake guest itself. */
export function rewriteCommands(script: ScriptNode, modelled: ReadonlySet<string>): ScriptNode {
  const functions = new Set<string>()
  const commands: Simple[] = []
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) { for (const each of value) walk(each); return }
    if (!isObject(value)) return
    if (value['type'] === 'FunctionDef') functions.add(String(value['name']))
    if (value['type'] === 'SimpleCommand') commands.push(value as unknown as Simple)
    for (const each of Object.values(value)) walk(each)
  }
  walk(script)
  const behind = (name: string): boolean => name.includes('/') || (!KEEP.has(name) && !functions.has(name) && (modelled.has(name) || !bundled.has(name)))
  const word = (text: string): WordNode => ({ type: 'Word', parts: [{ type: 'Literal', value: text }] })
  for (const command of commands) {
    const name = literal(command.name)
    if (name === undefined || command.name === null || (command.args.length <= 9 && !command.args.some(several))) continue
    if (name === 'exec') {
      const target = literal(command.args[0])
      if (target !== undefined && behind(target)) command.args = [word(RUN_WORDS), ...command.args]
    } else if (behind(name)) {
      command.args = [command.name, ...command.args]
      command.name = word(RUN_WORDS)
    }
  }
  return script
}
