/** PVE's property strings: `file,key=value,key=value`. */
import { complaintAbout } from './check.ts'
import type { PropertyFormat } from './schema.ts'

export interface Parsed {
  readonly values: Record<string, string>
  readonly complaint?: string
}

/** Parses and checks; the complaint is PVE's text after `invalid format - `. `path` names the option in it. */
export function parsePropertyString(format: PropertyFormat, value: string, path = ''): Parsed {
  const values: Record<string, string> = {}
  const problems: string[] = []
  const bare = Object.entries(format).find(([, property]) => property.bare)?.[0]
  for (const part of value.split(',')) {
    if (part === '') continue
    const pair = /^([^=]+)=(.*)$/s.exec(part)
    let key = pair?.[1]
    let content = pair?.[2] ?? part
    if (key === undefined) {
      if (bare === undefined) return { values, complaint: 'value without key, but schema does not define a default key\n' }
      key = bare
    } else if (Object.hasOwn(format, key)) {
      const property = format[key]
      if (property?.keyAlias !== undefined) {
        values[property.keyAlias] = key
        key = property.alias as string
      } else if (property?.alias !== undefined) key = property.alias
    }
    if (Object.hasOwn(values, key)) return { values, complaint: `duplicate key in comma-separated list property: ${key}\n` }
    const property = Object.hasOwn(format, key) ? format[key] : undefined
    if (property?.type === 'boolean') content = booleanWord(content)
    values[key] = content
    const complaint = property === undefined
      ? 'property is not defined in schema and the schema does not allow additional properties'
      : complaintAbout(property, content, `${path}.${key}`)
    if (complaint !== undefined) problems.push(`${path}.${key}: ${complaint.replace(/\n$/, '')}`)
  }
  for (const [key, property] of Object.entries(format)) {
    if (!property.optional && property.alias === undefined && values[key] === undefined) {
      problems.push(`${path}.${key}: property is missing and it is not optional`)
    }
  }
  return problems.length === 0 ? { values } : { values, complaint: `format error\n${problems.join('\n')}\n` }
}

/** Inside property strings PVE also takes words for booleans. */
const booleanWord = (word: string): string =>
  /^(1|on|yes|true)$/i.test(word) ? '1' : /^(0|off|no|false)$/i.test(word) ? '0' : word
