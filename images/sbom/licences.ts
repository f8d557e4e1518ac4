/**
 * Licences by what packages say of themselves to a machine. Debian's copyright files are that only where they have the form of
 * DEP-5; of the others nothing is said. Pure.
 */

/** Short names that Debian has given (its copyright-format 1.0, and what is common besides), as SPDX calls them. */
const shortNames: Readonly<Record<string, string>> = {
  expat: 'MIT',
  'gpl-1': 'GPL-1.0-only',
  'gpl-1+': 'GPL-1.0-or-later',
  'gpl-2': 'GPL-2.0-only',
  'gpl-2+': 'GPL-2.0-or-later',
  'gpl-3': 'GPL-3.0-only',
  'gpl-3+': 'GPL-3.0-or-later',
  'lgpl-2': 'LGPL-2.0-only',
  'lgpl-2+': 'LGPL-2.0-or-later',
  'lgpl-2.1': 'LGPL-2.1-only',
  'lgpl-2.1+': 'LGPL-2.1-or-later',
  'lgpl-3': 'LGPL-3.0-only',
  'lgpl-3+': 'LGPL-3.0-or-later',
  'agpl-3': 'AGPL-3.0-only',
  'agpl-3+': 'AGPL-3.0-or-later',
  'gfdl-1.3+': 'GFDL-1.3-or-later',
  'artistic-1': 'Artistic-1.0',
  cc0: 'CC0-1.0',
  'mpl-2': 'MPL-2.0',
}

/** What SPDX calls a licence of that name; whatever else it is stays as it is. */
export const spdxName = (name: string): string => shortNames[name.toLowerCase()] ?? name

/** Short names of all licences in a copyright file of DEP-5's form, each once, sorted. */
export function debianLicences(text: string): string[] {
  if (!/^Format:.*copyright-format/im.test(text.slice(0, 2000))) return []
  const found = [...text.matchAll(/^License:[ \t]*(\S[^\r\n]*?)[ \t]*\r?$/gim)].map(([, name = '']) => spdxName(name))
  return [...new Set(found)].sort()
}
