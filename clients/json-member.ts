/** One more member of an object or a list, in the file's own style, below those that are there. Pure. */
import type { Node } from 'jsonc-parser'

export interface JsonStyle {
  /** One level. */
  readonly unit: string
  readonly eol: string
  /** Of the line where the value begins. */
  readonly indent: string
}

/** As the first line that is indented is. */
export const styleOf = (source: string, { offset }: Node): JsonStyle => ({
  unit: /\n([ \t]+)\S/.exec(source)?.[1] ?? '  ',
  eol: source.includes('\r\n') ? '\r\n' : '\n',
  indent: /^[ \t]*/.exec(source.slice(source.lastIndexOf('\n', offset - 1) + 1))?.[0] ?? '',
})

export const jsonLines = (value: unknown, { unit, eol, indent }: JsonStyle): string =>
  JSON.stringify(value, null, unit).replaceAll('\n', `${eol}${indent}`)

/** @param key none for a list */
export function addMember(source: string, parent: Node, key: string | undefined, value: unknown): string {
  const style = styleOf(source, parent)
  const last = parent.children?.at(-1)
  const indent = last !== undefined && startsLine(source, last.offset) ? styleOf(source, last).indent : style.indent + style.unit
  const member = `${key === undefined ? '' : `${JSON.stringify(key)}: `}${jsonLines(value, { ...style, indent })}`
  const end = last === undefined ? parent.offset + 1 : last.offset + last.length
  const comma = last === undefined ? undefined : commaAfter(source, end)
  // A comment on the same line is about what is before it.
  const from = comma ?? end
  const place = from + (/^[ \t]*(?:\/\/[^\r\n]*|\/\*[^\r\n]*?\*\/(?=[ \t]*[\r\n]))?/.exec(source.slice(from))?.[0].trimEnd().length ?? 0)
  const close = parent.offset + parent.length - 1
  const isAlone = /[\r\n]/.test(source.slice(place, close))
  return [
    source.slice(0, end),
    last === undefined || comma !== undefined ? '' : ',',
    source.slice(end, place),
    `${style.eol}${indent}${member}`,
    comma === undefined ? '' : ',',
    isAlone ? '' : `${style.eol}${style.indent}`,
    isAlone ? source.slice(place) : source.slice(place).trimStart(),
  ].join('')
}

const startsLine = (source: string, offset: number): boolean => /(?:^|\n)[ \t]*$/.test(source.slice(0, offset))

/** @returns where it ends */
function commaAfter(source: string, offset: number): number | undefined {
  const found = /^(?:\s|\/\/[^\r\n]*|\/\*[\s\S]*?\*\/)*,/.exec(source.slice(offset))
  return found === null ? undefined : offset + found[0].length
}
