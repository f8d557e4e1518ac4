/** Modules of Go in programs, by what Go writes into them (images/guest/go-programs.ts; `go version -m`). Pure. */
import type { FoundFiles } from './inventory.ts'
import type { Package } from './packages.ts'

/** In the inventory: what was found in all programs of a container image. */
export const goProgramsFile = 'go-programs'

const modulePackage = (name: string, version: string): Package => ({ type: 'golang', name, version, licences: [] })

export function goPackages(files: FoundFiles): Package[] {
  // An empty line is no end: Go writes one behind each replacement, too (runtime/debug, BuildInfo.String).
  const programs = (files.get(goProgramsFile) ?? '').split(/^(?=go1|devel )/m).filter((text) => text.trim() !== '')
  return programs.flatMap((text): Package[] => {
    const [go = '', ...lines] = text.trim().split('\n')
    return [modulePackage('stdlib', standardVersion(go)), ...modulesOf(lines)]
  })
}

/** The program's own module too, which has a version only where it was built from a published one. */
function modulesOf(lines: readonly string[]): Package[] {
  const found: Package[] = []
  for (const line of lines) {
    const [word = '', name = '', version = ''] = line.split('\t')
    if (word === 'mod' || word === 'dep') found.push(modulePackage(name, version))
    // Built from this instead; from a folder, where that is no published one: nobody knows which the one before is now.
    else if (word === '=>') {
      const before = found.pop()
      if (before !== undefined)
        found.push(version === '' || version === unpublished ? modulePackage(before.name, unpublished) : modulePackage(name, version))
    }
  }
  return found.filter(({ name }) => name !== '')
}

/** Go's own word for what was not built from a published version. */
const unpublished = '(devel)'

/** Of Go's standard library, as osv.dev has it: `go1.24rc1` is 1.24.0-rc.1 there. */
function standardVersion(go: string): string {
  const [, minor, patch = '0', kind, number] = /^go(\d+\.\d+)(?:\.(\d+))?(?:(rc|beta)(\d+))?(?:[ -].*)?$/.exec(go) ?? []
  if (minor === undefined) return go
  return `${minor}.${patch}${kind === undefined ? '' : `-${kind}.${number}`}`
}
