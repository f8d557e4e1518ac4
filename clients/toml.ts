/** A table of Codex's configuration, as text. */
import type { Entry } from './known.ts'

/** Strings, numbers and tables of strings: all that an entry has. Their form is JSON's, which TOML's basic strings take. */
export function tomlValue(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{ ${Object.entries(value)
    .map(([key, one]) => `${tomlKey(key)} = ${tomlValue(one)}`)
    .join(', ')} }`
}

export const tomlKey = (key: string): string => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key))

export const tomlTable = (path: readonly string[], entry: Entry): string =>
  [`[${path.map(tomlKey).join('.')}]`, ...Object.entries(entry).map(([key, value]) => `${tomlKey(key)} = ${tomlValue(value)}`)].join('\n')
