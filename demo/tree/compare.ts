/** What two file trees have other than one another, and why it may be so. Pure. */
import type { Entry, Tree } from './entry.ts'

export type What = 'only in the first' | 'only in the second' | 'kind' | 'mode' | 'owner' | 'content'

export interface Difference {
  readonly path: string
  readonly what: What
}

/** Why a place is never the same twice. */
export interface Reason {
  readonly paths: RegExp
  /** In words that end a sentence which begins with the path. */
  readonly why: string
}

export interface Comparison {
  /** Names that both have, and that are the same. */
  readonly same: number
  readonly explained: readonly (Reason & { readonly differences: readonly Difference[] })[]
  readonly unexplained: readonly Difference[]
}

export function compareTrees(first: Tree, second: Tree, reasons: readonly Reason[]): Comparison {
  const differences = [...new Set([...first.keys(), ...second.keys()])]
    .sort()
    .flatMap((path) => differencesOf(first.get(path), second.get(path)).map((what) => ({ path, what })))
  const reasonOf = (path: string): Reason | undefined => reasons.find(({ paths }) => paths.test(path))
  const differing = new Set(differences.map(({ path }) => path))
  return {
    same: [...first.keys()].filter((path) => second.has(path) && !differing.has(path)).length,
    explained: reasons
      .map((reason) => ({ ...reason, differences: differences.filter(({ path }) => reasonOf(path) === reason) }))
      .filter((one) => one.differences.length > 0),
    unexplained: differences.filter(({ path }) => reasonOf(path) === undefined),
  }
}

function differencesOf(first: Entry | undefined, second: Entry | undefined): What[] {
  if (second === undefined) return ['only in the first']
  if (first === undefined) return ['only in the second']
  if (first.kind !== second.kind) return ['kind']
  return [
    ...(first.mode === second.mode ? [] : ['mode' as const]),
    ...(first.uid === second.uid && first.gid === second.gid ? [] : ['owner' as const]),
    ...(first.content === second.content ? [] : ['content' as const]),
  ]
}
