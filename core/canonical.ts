/** One text for one value: what digests of structured data are made of. */
import { createHash } from 'node:crypto'

export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [key: string]: Plain | undefined }

/** JSON with sorted keys and without blanks; undefined entries are left out. */
export function canonical(value: Plain): string {
  if (Array.isArray(value)) return `[${value.map((entry: Plain) => canonical(entry)).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
      .filter(([, entry]) => entry !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonical(entry as Plain)}`).join(',')}}`
  }
  return JSON.stringify(value)
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
