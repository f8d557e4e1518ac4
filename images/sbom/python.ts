/** Distributions of Python, by their metadata (PEP 566, PEP 639). Pure. */
import type { FoundFiles } from './inventory.ts'
import type { Package } from './packages.ts'

export function pythonPackages(files: FoundFiles): Package[] {
  return [...files].flatMap(([path, text]): Package[] => {
    if (!/\.(dist-info\/METADATA|egg-info\/PKG-INFO|egg-info)$/.test(path)) return []
    // What Debian has packaged is dpkg's already.
    if (path.includes('/dist-packages/') && path.startsWith('usr/lib/')) return []
    const head = text.split(/\r?\n\r?\n/, 1).join('')
    const field = (name: string): string | undefined => new RegExp(`^${name}:[ \\t]*(.+?)[ \\t]*\\r?$`, 'mi').exec(head)?.[1]
    const [name, version] = [field('Name'), field('Version')]
    if (name === undefined || version === undefined) return []
    return [{ type: 'pypi', name: normalized(name), version, licences: licencesOf(head, field) }]
  })
}

/** PEP 503: in this form they are told apart, and package URLs have it. */
const normalized = (name: string): string => name.toLowerCase().replaceAll(/[-_.]+/g, '-')

/** The first that is said: an expression of SPDX, a line of its own words, or the classifiers. A whole text is no name. */
function licencesOf(head: string, field: (name: string) => string | undefined): string[] {
  const expression = field('License-Expression')
  if (expression !== undefined) return [expression]
  const words = field('License')
  const goesOn = /^License:.*\r?\n[ \t]/im.test(head)
  if (words !== undefined && !goesOn && words.length <= 64 && !/^unknown$/i.test(words)) return [words]
  return [...head.matchAll(/^Classifier:[ \t]*License ::(?: OSI Approved ::)? ?([^:\r\n]+?)[ \t]*\r?$/gim)].map(([, name = '']) => name)
}
