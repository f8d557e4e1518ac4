/** What is new in a lock, piece by piece. Pure. */
import type { Lock } from './lock.ts'

export interface LockChange {
  readonly what: 'base' | 'container' | 'package' | 'archive' | 'language server' | 'tool'
  readonly name: string
  /** Undefined: it is new. */
  readonly from?: string
  /** Undefined: it is gone. */
  readonly to?: string
}

/** All pieces of a lock by what they are and their name, each with what is locked of it. */
function pieces({ base, packages, services, languageServers = {}, tools = {} }: Lock): Map<string, { piece: LockChange; value: string }> {
  const found = new Map<string, { piece: LockChange; value: string }>()
  const add = (what: LockChange['what'], name: string, value: string): void =>
    void found.set(`${what} ${name}`, { piece: { what, name }, value })
  if (base !== undefined) add('base', base.os, [base.serial, `sha256:${base.sha256}`].filter((part) => part !== undefined).join(' '))
  for (const [service, one] of Object.entries(services))
    if (one !== undefined) add('container', service, `${one.image}${one.tag === undefined ? '' : `:${one.tag}`}@${one.digest}`)
  for (const { url, components, suites, snapshot } of packages?.archives ?? [])
    for (const [suite, date] of Object.entries(suites))
      add('archive', `${url} ${suite} ${components.join(' ')}`, snapshot === undefined ? date : `${date}, snapshot ${snapshot.at}`)
  for (const [name, version] of Object.entries(packages?.versions ?? {})) add('package', name, version)
  for (const [name, version] of Object.entries(languageServers)) add('language server', name, version)
  for (const [name, version] of Object.entries(tools)) add('tool', name, version)
  return found
}

/** @param before undefined: there was none */
export function lockChanges(before: Lock | undefined, after: Lock): LockChange[] {
  const old = before === undefined ? new Map<string, never>() : pieces(before)
  const now = pieces(after)
  return [
    ...[...now].flatMap(([key, { piece, value }]) => {
      const was = old.get(key)?.value
      return was === value ? [] : [{ ...piece, ...(was === undefined ? {} : { from: was }), to: value }]
    }),
    ...[...old].flatMap(([key, { piece, value }]) => (now.has(key) ? [] : [{ ...piece, from: value }])),
  ]
}

/** For people a line says enough: a digest is told by its beginning. */
const shortened = (text: string): string => text.replaceAll(/(sha256:[0-9a-f]{12})[0-9a-f]+/g, '$1…')

/** A line each. */
export const changeLines = (changes: readonly LockChange[]): string[] =>
  changes.map(({ what, name, from, to }) => {
    const [was, is] = [from, to].map((text) => text && shortened(text))
    return `${what} ${name}: ${was === undefined ? is : is === undefined ? `${was} is gone` : `${was} → ${is}`}`
  })
