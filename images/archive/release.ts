/** What an archive says of one of its suites, and of its packages (Debian's repository format). Pure. */
import { priorityOf } from './candidate.ts'
import { compareVersions } from './version-order.ts'

export interface Release {
  readonly names: readonly string[]
  /** ISO 8601. */
  readonly date: string
  /** Until when it may be taken for the newest, in milliseconds; undefined: for ever. */
  readonly validUntil: number | undefined
  /** Files can be had by their digest, also while the archive is being renewed. */
  readonly byHash: boolean
  /** That its packages have for apt. */
  readonly priority: number
  /** SHA-256 and size of each index, by its path below the suite. */
  readonly files: ReadonlyMap<string, { readonly sha256: string; readonly size: number }>
}

/** @returns undefined if it has no date, or no list by SHA-256 */
export function parseRelease(text: string): Release | undefined {
  const field = (name: string): string | undefined => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.trim()
  // As apt takes it for yes (its StringToBool).
  const has = (name: string): boolean => /^(yes|true|with|on|enable|1)$/i.test(field(name) ?? '')
  const date = Date.parse(field('Date') ?? '')
  const list = /^SHA256:[ \t]*\n((?:[ \t].*(?:\n|$))+)/m.exec(text)?.[1]
  if (Number.isNaN(date) || list === undefined) return undefined
  const files = new Map(
    [...list.matchAll(/^\s+([0-9a-f]{64})\s+(\d+)\s+(\S+)$/gm)].map(([, sha256 = '', size = '', path = '']) => [
      path,
      { sha256, size: Number(size) },
    ]),
  )
  const until = Date.parse(field('Valid-Until') ?? '')
  return {
    names: ['Codename', 'Suite'].flatMap((name) => field(name) || []),
    date: new Date(date).toISOString().replace('.000Z', 'Z'),
    validUntil: Number.isNaN(until) ? undefined : until,
    byHash: field('Acquire-By-Hash') === 'yes',
    priority: priorityOf(has('NotAutomatic'), has('ButAutomaticUpgrades')),
    files,
  }
}

/** Newest version of each package in an index ("Packages" files). */
export function parsePackages(text: string): Map<string, string> {
  const found = new Map<string, string>()
  let name: string | undefined
  for (const [, field, value = ''] of text.matchAll(/^(Package|Version): (.*)$/gm)) {
    if (field === 'Package') name = value.trim()
    else if (name !== undefined) {
      const known = found.get(name)
      if (known === undefined || compareVersions(known, value.trim()) < 0) found.set(name, value.trim())
      name = undefined
    }
  }
  return found
}
