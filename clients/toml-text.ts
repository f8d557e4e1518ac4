/** TOML as Codex has it: a table is put at the end, or changed line by line. What that can't do is noticed by who asked. */
import { parse } from 'smol-toml'
import { isDeepStrictEqual } from 'node:util'
import { isRecord } from './choose-entry.ts'
import type { Entry } from './known.ts'
import type { ConfigText } from './merge.ts'
import { tomlKey, tomlTable, tomlValue } from './toml.ts'

export const tomlText: ConfigText = {
  parse: read,
  set(text, path, value) {
    const eol = text.includes('\r\n') ? '\r\n' : '\n'
    const there = path.reduce<unknown>((left, key) => (isRecord(left) ? left[key] : undefined), read(text))
    if (!isRecord(there)) return append(text, tomlTable(path, value as Entry), eol)
    const lines = text.split(eol)
    const start = lines.findIndex((line) => isHeader(line, path))
    if (start < 0) return text
    const next = lines.findIndex((line, place) => place > start && /^\s*\[/.test(line))
    const end = next < 0 ? lines.length : next
    const table = Object.entries(value as Entry).reduce(
      (left, [key, one]) => (isDeepStrictEqual(there[key], one) ? left : put(left, key, `${tomlKey(key)} = ${tomlValue(one)}`)),
      lines.slice(start, end).filter((line) => !Object.keys(there).some((key) => !(key in value) && isKey(line, key))),
    )
    return [...lines.slice(0, start), ...table, ...lines.slice(end)].join(eol)
  },
}

/** The parser's objects are without a prototype. */
function read(text: string): unknown {
  return JSON.parse(JSON.stringify(parse(text)))
}

function append(text: string, table: string, eol: string): string {
  const gap = text.trim() === '' ? '' : text.endsWith('\n') ? eol : eol + eol
  return `${text}${gap}${table.replaceAll('\n', eol)}${eol}`
}

const isHeader = (line: string, path: readonly string[]): boolean =>
  /^\s*\[[^[]/.test(line) && line.replace(/#.*$/, '').replaceAll(/[\s"'[\]]/g, '') === path.join('.')

const isKey = (line: string, key: string): boolean => (/^\s*["']?([\w.-]+)["']?\s*=/.exec(line) ?? [])[1] === key

/** In the place of the line with that key, or below the header. */
function put(lines: readonly string[], key: string, line: string): string[] {
  const place = lines.findIndex((one) => isKey(one, key))
  return place < 0 ? [...lines.slice(0, 1), line, ...lines.slice(1)] : lines.toSpliced(place, 1, line)
}
