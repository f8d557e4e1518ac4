/**
 * What is alike of commands: the program, its verbs and its options are kept; whose name, path, number, address or text it is
 * given is not. Two commands of one shape ask the same of a guest.
 */
import { parse, type ScriptNode } from 'just-bash'
import { posix } from 'node:path'
import type { Recorded } from './record.ts'

/** Distinct shapes, by who was asked. */
export interface Shapes {
  /** Over SSH. */
  readonly ssh: readonly string[]
  /** The guest agent, but for programs. */
  readonly agent: readonly string[]
  /** Programs that the guest agent runs. */
  readonly exec: readonly string[]
  /** Programs that run because of all that: as fake guests see them, and as they stand in a script that an agent's shell gets. */
  readonly programs: readonly string[]
}

export type Kind = keyof Shapes
export const kinds = ['ssh', 'agent', 'exec', 'programs'] as const satisfies readonly Kind[]

/** Sorted. */
export function shapesOf(all: Iterable<Recorded>): Shapes {
  const found: Record<Kind, Set<string>> = { ssh: new Set(), agent: new Set(), exec: new Set(), programs: new Set() }
  for (const recorded of all) for (const [kind, shape] of shapes(recorded)) found[kind].add(shape)
  return { ssh: [...found.ssh].sort(), agent: [...found.agent].sort(), exec: [...found.exec].sort(), programs: [...found.programs].sort() }
}

/** What is in one and not in the other, as `KIND: SHAPE`. */
export const beyond = (one: Shapes, other: Shapes): string[] =>
  kinds.flatMap((kind) => one[kind].filter((shape) => !other[kind].includes(shape)).map((shape) => `${kind}: ${shape}`))

function shapes(recorded: Recorded): (readonly [Kind, string])[] {
  switch (recorded.by) {
    case 'ssh':
      return [['ssh', withInput(shapeOf(recorded.command.trim().split(/\s+/)), recorded.input)]]
    case 'program':
      return [['programs', shapeOf(recorded.argv)]]
    case 'agent':
      return [['agent', [recorded.command, ...Object.keys(recorded.args).sort()].join(' ')]]
    case 'exec': {
      const [shell = '', option, script] = recorded.argv
      const text = isShell(shell) ? (option === '-c' ? script : option === undefined ? recorded.input : undefined) : undefined
      const exec = ['exec', withInput(shapeOf(recorded.argv, true), recorded.input)] as const
      return [exec, ...(text === undefined ? [] : programsOf(text).map((shape) => ['programs', shape] as const))]
    }
  }
}

const isShell = (path: string): boolean => /^(sh|bash|dash)$/.test(posix.basename(path))
const withInput = (shape: string, input: string | undefined): string => (input === undefined ? shape : `${shape} < SCRIPT`)

/** Shapes of the programs that a script names; none of one that is no shell script. */
function programsOf(script: string): string[] {
  const found: string[] = []
  const functions = new Set<string>()
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) for (const each of value) walk(each)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return
    const node = value as { type?: string; name?: unknown; args?: unknown[] }
    if (node.type === 'FunctionDef') functions.add(String(node.name))
    const name = node.type === 'SimpleCommand' ? literal(node.name) : undefined
    if (name !== undefined && !ofTheShell.has(name)) found.push(shapeOf([name, ...(node.args ?? []).map((word) => literal(word) ?? '$')]))
    for (const each of Object.values(value)) walk(each)
  }
  let tree: ScriptNode
  try {
    tree = parse(script)
  } catch {
    return []
  }
  walk(tree)
  return found.filter((shape) => !functions.has(shape.split(' ')[0] ?? ''))
}

/** Of a word in a script: what it stands for, if nothing of it has to be looked up. */
function literal(word: unknown): string | undefined {
  const { parts = [], ...part } = (word ?? {}) as { parts?: unknown[]; type?: string; value?: string }
  if (part.type === 'Literal' || part.type === 'SingleQuoted' || part.type === 'Escaped') return part.value
  if (part.type !== 'Word' && part.type !== 'DoubleQuoted') return undefined
  const texts = parts.map(literal)
  return texts.includes(undefined) ? undefined : texts.join('')
}

const ofTheShell = new Set(
  ': . [ cd command echo eval exec exit export false local printf pwd read return set shift test trap true umask unset wait'.split(' '),
)

/** Words that are the programs' own. What else is a plain word is somebody's name. */
const ownWords = new Set(
  `add address always autoremove bind cat chain clean clear clone config counter cp create custom daemon-reload del delete destroy dev dhcp
  disable dist-upgrade down element enable export flush format get image inet init inspect install ip ip6 is-active is-enabled is-failed
  iso9660 kill link list list-jobs list-unit-files list-units load logs ls map mask network never none nodev noexec nosuid plain prune
  ps pull reload reload-or-restart replace reset-failed restart rm route rule ruleset run set settle sh show start status stop table tables
  tmpfs trigger true try-restart type unmask up update upgrade version volume`.split(/\s+/),
)

/** Programs of the system are called by their names; what is anybody else's by its path, and then its first word is a verb. */
function shapeOf(argv: readonly string[], withVerb = false): string {
  const [program = '', ...args] = argv
  const isOthers = withVerb && program.startsWith('/usr/local/')
  const words = args.map((word, at) => (isOthers && at === 0 && plain.test(word) ? word : wordShape(word)))
  const name = isOthers ? program : posix.basename(program)
  // Several of a kind are as good as one.
  const shape = [name, ...words.filter((word, at) => word !== words[at - 1] || word.startsWith('-'))].join(' ')
  // What a program in a container or in another network is told is nothing that the guest is asked.
  return shape.replace(/^(docker-compose .* run .*-T NAME|nsenter .*--net \S+|setpriv .* --regid N NAME) .*$/, '$1')
}

const plain = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/
const unit = /^[\w@*\\.-]+\.(service|socket|target|timer|mount|slice|path|device|scope)$/

function wordShape(word: string): string {
  if (word === '…') return 'ID'
  if (/^-+$/.test(word)) return word
  const [, option, value] = /^(-[^=]*)=(.*)$/s.exec(word) ?? []
  if (option !== undefined) return `${option}=${listShape(value ?? '')}`
  if (word.startsWith('-')) return word
  // What is shown, in a program's own words.
  if (!/[\n;|]/.test(word) && /\{\{.*\}\}|\$\{[\w:;-]+\}|^%[a-zA-Z]/.test(word)) return word
  return listShape(word)
}

/** Several with commas, such as a mount's options, each with or without a value. */
function listShape(word: string): string {
  if (/\s/.test(word)) return 'TEXT'
  if (word.includes(',') && /^[\w.=:,*-]+$/.test(word)) return word.split(',').map(listShape).join(',')
  const [, key, value] = /^([A-Za-z][\w.:-]*)=(.*)$/s.exec(word) ?? []
  return key === undefined ? oneShape(word) : `${key}=${oneShape(value ?? '')}`
}

function oneShape(word: string): string {
  if (ownWords.has(word)) return word
  if (/@sha256:/.test(word)) return word.startsWith('@') ? 'TEXT' : 'IMAGE'
  if (/^…(:|$)/.test(word)) return word === '…' ? 'ID' : 'ID:PATH'
  if (/^--?[a-z]/.test(word)) return word
  if (/^\d+(:\d+)*$/.test(word)) return word.replace(/\d+/g, 'N')
  if (/^\d+(\.\d+){3}(\/\d+)?(:\d+)?$/.test(word)) return word.replace(/^\d+(\.\d+){3}/, 'ADDRESS').replace(/(?<=[:/])\d+/g, 'N')
  if (unit.test(word)) return 'UNIT'
  if (/^\/[\w@.…*\\/-]*$/.test(word)) return 'PATH'
  if (/^\w[\w.+-]*$/.test(word)) return 'NAME'
  return 'TEXT'
}
