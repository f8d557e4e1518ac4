/** `--set PATH=VALUE`: any other setting of a new site. Pure. */
import { Failure } from '../../core/failure.ts'
import type { SiteInput } from '../site.ts'

export interface Setting {
  readonly path: readonly string[]
  readonly value: unknown
}

/**
 * @param text e.g. `serena.shell=true`, `image.base={"os":"debian-13"}`; what is no JSON is text
 * @throws Failure `usage`
 */
export function parseSetting(text: string): Setting {
  const [, path, given = ''] = /^([A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z][A-Za-z0-9-]*)*)=(.*)$/s.exec(text) ?? []
  if (path === undefined)
    throw new Failure('usage', `--set "${text}" is not PATH=VALUE`, 'Say e.g. --set serena.shell=true; a list as JSON, in quotes.')
  let value: unknown = given
  try {
    value = JSON.parse(given)
  } catch {
    // A word, as most values are.
  }
  return { path: path.split('.'), value }
}

/** The site with these in the place of what it has there. It may be none any more: `parseSite` says why. */
export const withSettings = (site: SiteInput, settings: readonly Setting[]): SiteInput =>
  settings.reduce<unknown>((tree, { path, value }) => put(tree, path, value), site) as SiteInput

function put(tree: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  if (key === undefined) return value
  const branch = typeof tree === 'object' && tree !== null && !Array.isArray(tree) ? (tree as Record<string, unknown>) : {}
  return { ...branch, [key]: put(branch[key], rest, value) }
}
