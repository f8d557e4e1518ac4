/** What of an SBOM can be looked up: each component by the name and version under which an ecosystem of OSV has it. Pure. */
import { PackageURL } from 'packageurl-js'
import type { Sbom } from '../sbom/record.ts'

export interface Suspect {
  /** `machine`, `language-servers`, or a container's service. */
  readonly place: string
  /** Names that it may have in the data; undefined: OSV has none for this. */
  readonly ecosystems: readonly string[] | undefined
  readonly name: string
  readonly version: string
  /** The components of this source, by their own names. */
  readonly components: readonly string[]
}

type Component = NonNullable<Sbom['components']>[number]

/** Components of the same source in the same place are one. */
export function suspectsOf(sbom: Sbom): Suspect[] {
  const found = new Map<string, Suspect>()
  const add = (place: string, { name, version = '', purl }: Pick<Component, 'name' | 'version' | 'purl'>): void => {
    const suspect = { place, ...identify(name, version, purl) }
    const key = JSON.stringify([place, suspect.ecosystems, suspect.name, suspect.version])
    found.set(key, { ...suspect, components: [...(found.get(key)?.components ?? []), name] })
  }
  for (const component of sbom.components ?? []) {
    if (component.type === 'container') for (const one of component.components ?? []) add(component.name, one)
    else add(component['bom-ref'].split(' ', 1).join(''), component)
  }
  return [...found.values()]
}

function identify(name: string, version: string, purl: string | undefined): Pick<Suspect, 'ecosystems' | 'name' | 'version'> {
  if (purl === undefined) return { ecosystems: undefined, name, version }
  const { type, namespace, name: bare, qualifiers } = PackageURL.fromString(purl)
  const { distro = '', upstream } = qualifiers ?? {}
  const [, sourceName = bare, sourceVersion = version] = /^(.+?)(?:@(.+))?$/.exec(upstream ?? '') ?? []
  const source = { name: sourceName, version: sourceVersion }
  switch (type) {
    case 'deb':
    case 'apk':
      return { ecosystems: ecosystemsOf(distro), ...source }
    case 'pypi':
      return { ecosystems: ['PyPI'], name: bare, version }
    case 'npm':
      return { ecosystems: ['npm'], name: namespace == null ? bare : `${namespace}/${bare}`, version }
    case 'golang':
      // As it is in the data. The rules for package URLs want lower case, which would be another module to Go.
      return { ecosystems: ['Go'], name, version: version.replace(/^v/, '') }
    default:
      return { ecosystems: undefined, name, version }
  }
}

/** As OSV calls the release of a distribution. */
function ecosystemsOf(distro: string): string[] | undefined {
  const [, id, version = ''] = /^(debian|ubuntu|alpine)-(.+)$/.exec(distro) ?? []
  if (id === 'debian') return [`Debian:${version}`]
  if (id === 'ubuntu') return [`Ubuntu:${version}:LTS`, `Ubuntu:${version}`]
  const [minor] = /^\d+\.\d+/.exec(version) ?? []
  return id === 'alpine' && minor !== undefined ? [`Alpine:v${minor}`] : undefined
}
