/** JSON as editors have it, with comments and commas at the end: these, the order of keys and the lines of others stay. */
import { applyEdits, findNodeAtLocation, modify, parse, parseTree, printParseErrorCode, type Node, type ParseError } from 'jsonc-parser'
import { isDeepStrictEqual } from 'node:util'
import { isRecord } from './choose-entry.ts'
import { addMember, jsonLines, styleOf } from './json-member.ts'
import type { ConfigText } from './merge.ts'

const mark = '\ufeff'
const lenient = { allowTrailingComma: true, allowEmptyContent: true }

export const jsonText: ConfigText = {
  parse(text) {
    const errors: ParseError[] = []
    const source = bare(text)
    const document: unknown = parse(source, errors, lenient)
    const [first] = errors
    if (first !== undefined)
      throw new Error(`it is not JSON: ${printParseErrorCode(first.error)} in line ${source.slice(0, first.offset).split('\n').length}`)
    const twice = source.trim() === '' ? undefined : twiceIn(parseTree(source, [], lenient))
    if (twice !== undefined) throw new Error(`it has "${twice}" twice in one place`)
    return document === undefined ? {} : document
  },
  set(text, path, value) {
    const source = bare(text)
    if (parseTree(source, [], lenient) !== undefined) return `${text.startsWith(mark) ? mark : ''}${into(source, path, value)}`
    // Nothing, or comments alone.
    return `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${into('{}', path, value)}\n`
  },
}

/** What is an object, or a longer list, by now is changed in its parts. */
function into(source: string, path: readonly (string | number)[], to: unknown): string {
  const tree = parseTree(source, [], lenient)
  const node = tree === undefined ? undefined : findNodeAtLocation(tree, [...path])
  if (node === undefined) return add(source, path, to)
  const there: unknown = parse(source.slice(node.offset, node.offset + node.length), [], lenient)
  if (isDeepStrictEqual(there, to)) return source
  if (Array.isArray(there) && Array.isArray(to) && isDeepStrictEqual(to.slice(0, there.length), there))
    return to.slice(there.length).reduce<string>((left, one, place) => into(left, [...path, there.length + place], one), source)
  if (!isRecord(there) || !isRecord(to)) {
    const style = styleOf(source, node)
    return `${source.slice(0, node.offset)}${jsonLines(to, style)}${source.slice(node.offset + node.length)}`
  }
  const gone = Object.keys(there).filter((key) => !(key in to))
  const removed = gone.reduce((left, key) => applyEdits(left, modify(left, [...path, key], undefined, {})), source)
  return Object.entries(to).reduce((left, [key, one]) => into(left, [...path, key], one), removed)
}

/** With the objects around it, as far as they are not there. */
function add(source: string, path: readonly (string | number)[], value: unknown): string {
  const key = path.at(-1)
  if (key === undefined) return source
  const tree = parseTree(source, [], lenient)
  const parent = tree === undefined ? undefined : findNodeAtLocation(tree, path.slice(0, -1))
  return parent === undefined
    ? add(source, path.slice(0, -1), { [key]: value })
    : addMember(source, parent, typeof key === 'string' ? key : undefined, value)
}

const bare = (text: string): string => (text.startsWith(mark) ? text.slice(1) : text)

/** Programs differ in which of two they take. */
function twiceIn(node: Node | undefined): string | undefined {
  const keys = node?.type === 'object' ? (node.children ?? []).map(({ children }) => String(children?.[0]?.value)) : []
  const twice = keys.find((key, place) => keys.indexOf(key) < place)
  if (twice !== undefined) return twice
  for (const child of node?.children ?? []) {
    const found = twiceIn(child)
    if (found !== undefined) return found
  }
  return undefined
}
