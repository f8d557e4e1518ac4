/** Packages of npm, by their package.json in a node_modules folder. Pure. */
import type { FoundFiles } from './inventory.ts'
import type { Package } from './packages.ts'

interface PackageJson {
  readonly name?: unknown
  readonly version?: unknown
  readonly license?: unknown
  readonly licenses?: unknown
}

export function nodePackages(files: FoundFiles): Package[] {
  return [...files].flatMap(([path, text]): Package[] => {
    // Others are of folders inside of a package.
    if (!/(^|\/)node_modules\/(@[^/]+\/)?[^/@][^/]*\/package\.json$/.test(path)) return []
    const { name, version, license, licenses } = parsed(text)
    if (typeof name !== 'string' || typeof version !== 'string' || name === '' || version === '') return []
    return [{ type: 'npm', name, version, licences: [license, licenses].flat().flatMap(wordsOf) }]
  })
}

function parsed(text: string): PackageJson {
  try {
    return Object(JSON.parse(text)) as PackageJson
  } catch {
    return {}
  }
}

/** A word, or an object of the time before SPDX. */
function wordsOf(licence: unknown): string[] {
  const words = typeof licence === 'object' && licence !== null ? (licence as { type?: unknown }).type : licence
  return typeof words === 'string' && words !== '' && !/^SEE LICENSE/i.test(words) ? [words] : []
}
