/** Everything that is installed in one file system, by whatever its package managers keep there. Pure. */
import { alpinePackages } from './alpine.ts'
import { debianPackages } from './debian.ts'
import { goPackages } from './go.ts'
import type { FoundFiles } from './inventory.ts'
import { nodePackages } from './node.ts'
import { pythonPackages } from './python.ts'

export interface Package {
  /** Types of package URLs. */
  readonly type: 'deb' | 'apk' | 'pypi' | 'npm' | 'golang'
  readonly name: string
  readonly version: string
  /** As its author or packager writes them: SPDX, or Debian's short names; none where nothing says so to a machine. */
  readonly licences: readonly string[]
  readonly architecture?: string
  /** What it was built from, where that is called otherwise: vulnerabilities of Debian's and Alpine's are told by it. */
  readonly source?: { readonly name: string; readonly version: string }
}

/** What `os-release` says. */
export interface Distribution {
  /** e.g. `debian` */
  readonly id: string
  /** e.g. `13` */
  readonly version: string
}

const byName = (a: Package, b: Package): number => {
  const [left, right] = [a, b].map(({ type, name, version, architecture }) => `${type} ${name} ${version} ${architecture ?? ''}`)
  return left === right ? 0 : (left ?? '') < (right ?? '') ? -1 : 1
}

/** Each once, sorted: a package may be there twice, as in a cache. */
export function packagesIn(files: FoundFiles): Package[] {
  const all = [
    ...debianPackages(files),
    ...alpinePackages(files),
    ...pythonPackages(files),
    ...nodePackages(files),
    ...goPackages(files),
  ].sort(byName)
  return all.filter((one, at) => at === 0 || byName(one, all[at - 1] ?? one) !== 0)
}

export function distributionOf(files: FoundFiles): Distribution | undefined {
  const text = files.get('etc/os-release') ?? files.get('usr/lib/os-release') ?? ''
  const field = (name: string): string | undefined => new RegExp(`^${name}=["']?([A-Za-z0-9._-]+)["']?\\s*$`, 'm').exec(text)?.[1]
  const [id, version] = [field('ID'), field('VERSION_ID')]
  return id === undefined || version === undefined ? undefined : { id, version }
}
