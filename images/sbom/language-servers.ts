/** The language servers' packages, by the lock that `npm ci` stages them from (images/language-servers). */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Package } from './packages.ts'

interface Locked {
  readonly version?: string
  readonly license?: string
  readonly dev?: boolean
  readonly os?: string | readonly string[]
}

/** Those for Linux: others are never fetched. */
export async function languageServerPackages(): Promise<Package[]> {
  const lock = JSON.parse(await readFile(join(import.meta.dirname, '../language-servers/package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, Locked>>
  }
  return Object.entries(lock.packages).flatMap(([path, { version, license, dev, os }]): Package[] => {
    if (path === '' || version === undefined || dev === true || (os !== undefined && ![os].flat().includes('linux'))) return []
    return [
      {
        type: 'npm',
        name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
        version,
        licences: license === undefined ? [] : [license],
      },
    ]
  })
}
