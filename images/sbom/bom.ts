/**
 * The SBOM of an image, as CycloneDX 1.6: packages of the machine, its language servers, and each container image with what is
 * inside. The same facts give the same text. Loaded by packer/render-sbom.ts only: the library takes a while.
 */
import { Enums, Models, Serialize, Spec, SPDX } from '@cyclonedx/cyclonedx-library'
import { PackageURL } from 'packageurl-js'
import { sha256 } from '../../core/canonical.ts'
import type { Service } from '../contract/record.ts'
import type { Inventory } from './inventory.ts'
import { distributionOf, packagesIn, type Distribution, type Package } from './packages.ts'

export interface SbomFacts {
  /** Name of the image. */
  readonly name: string
  readonly fingerprint: string
  /** ISO 8601. */
  readonly built: string
  /** Digest references by service. */
  readonly references: Readonly<Partial<Record<Service, string>>>
  readonly languageServers: readonly Package[]
}

/** What is said of what nobody has looked at, so that nobody takes its absence for an answer. */
const lookedInto = 'dpkg, apk, distributions of Python, packages of npm, modules of Go in the programs of containers'
const notLookedInto =
  'what else is compiled into programs, as crates of Rust and modules of Go in the programs of the machine; files that no package manager knows'

export function renderSbom(facts: SbomFacts, inventory: Inventory): string {
  const { name, fingerprint, built, references, languageServers } = facts
  const bom = new Models.Bom({ serialNumber: serialOf(`${fingerprint} ${built}`) })
  bom.metadata.timestamp = new Date(built)
  bom.metadata.component = new Models.Component(Enums.ComponentType.OperatingSystem, name, {
    bomRef: 'image',
    version: fingerprint,
    description: 'Golden VM image',
  })
  bom.metadata.tools.components.add(new Models.Component(Enums.ComponentType.Application, 'serena-golden', { bomRef: 'tool' }))
  bom.metadata.properties.add(new Models.Property('golden:looked-into', lookedInto))
  bom.metadata.properties.add(new Models.Property('golden:not-looked-into', notLookedInto))
  addPackages(bom.components, 'machine', packagesIn(inventory.machine), distributionOf(inventory.machine))
  addPackages(bom.components, 'language-servers', languageServers, undefined)
  for (const [service, reference] of Object.entries(references)) bom.components.add(containerOf(service, reference, inventory))
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6))
  return `${serializer.serialize(bom, { sortLists: true, space: 1 })}\n`
}

function containerOf(service: string, reference: string, inventory: Inventory): Models.Component {
  const [repository = '', digest = ''] = reference.split('@')
  const component = new Models.Component(Enums.ComponentType.Container, service, {
    bomRef: service,
    version: digest,
    purl: new PackageURL('oci', null, repository.slice(repository.lastIndexOf('/') + 1), digest, { repository_url: repository }).toString(),
  })
  component.hashes.set(Enums.HashAlgorithm['SHA-256'], digest.replace(/^sha256:/, ''))
  const files = inventory.containers.get(service)
  const unread = files?.get('unread')?.trim() ?? ''
  if (unread !== '')
    component.properties.add(new Models.Property('golden:not-looked-into', `${unread.split('\n').length} files that are links to others`))
  if (files === undefined) component.properties.add(new Models.Property('golden:not-looked-into', 'all of it'))
  else addPackages(component.components, service, packagesIn(files), distributionOf(files))
  return component
}

/** @param place where they are: of the same package there is one in each */
function addPackages(
  to: Models.ComponentRepository,
  place: string,
  packages: readonly Package[],
  distribution: Distribution | undefined,
): void {
  for (const one of packages) {
    const purl = purlOf(one, distribution)
    const component = new Models.Component(Enums.ComponentType.Library, one.name, {
      bomRef: `${place} ${purl ?? `${one.type} ${one.name} ${one.version}`}`,
      version: one.version,
      ...(purl === undefined ? {} : { purl }),
    })
    for (const licence of licencesOf(one.licences)) component.licenses.add(licence)
    to.add(component)
  }
}

/** Undefined: there is none for such a name. */
export function purlOf({ type, name, version, architecture, source }: Package, distribution: Distribution | undefined): string | undefined {
  const [scope, bare = name] = scoped(type, name)
  const ofSystem = type === 'deb' || type === 'apk'
  const qualifiers = ofSystem
    ? {
        ...(architecture === undefined ? {} : { arch: architecture }),
        ...(distribution === undefined ? {} : { distro: `${distribution.id}-${distribution.version}` }),
        // Not in the specification, but what other tools write and read as well.
        ...(source === undefined ? {} : { upstream: `${source.name}@${source.version}` }),
      }
    : {}
  try {
    const namespace = ofSystem ? (distribution?.id ?? (type === 'apk' ? 'alpine' : 'debian')) : scope
    return new PackageURL(type, namespace ?? null, bare, version, qualifiers, null).toString()
  } catch {
    return undefined
  }
}

/** The namespace of a package URL, and the name in it. */
function scoped(type: Package['type'], name: string): [string | null, string?] {
  const slash = type === 'golang' || name.startsWith('@') ? name.lastIndexOf('/') : -1
  return slash < 0 ? [null, name] : [name.slice(0, slash), name.slice(slash + 1)]
}

/** An expression stands alone; identifiers and other names may be many. */
function licencesOf(names: readonly string[]): Models.License[] {
  const [only = ''] = names
  if (names.length === 1 && isExpression(only)) return [declared(new Models.LicenseExpression(only))]
  return [...new Set(names.map((name) => SPDX.fixupSpdxId(name) ?? name))].map((name) =>
    declared(SPDX.isSupportedSpdxId(name) ? new Models.SpdxLicense(name) : new Models.NamedLicense(name)),
  )
}

function declared<L extends Models.License>(licence: L): L {
  licence.acknowledgement = Enums.LicenseAcknowledgement.Declared
  return licence
}

/** As far as it is certain without all of SPDX's grammar. */
const isExpression = (text: string): boolean =>
  / (?:AND|OR) /.test(text) &&
  text.split(/ (?:AND|OR) /).every((name) => SPDX.isSupportedSpdxId(name.replaceAll(/^\(|\)$/g, ''))) &&
  text.split('(').length === text.split(')').length

/** A UUID of version 8 (RFC 9562): made of a hash, not by chance. */
function serialOf(text: string): string {
  const digits = sha256(text).slice(0, 32)
  const uuid = `${digits.slice(0, 12)}8${digits.slice(13, 16)}${'89ab'[Number.parseInt(digits.charAt(16), 16) % 4]}${digits.slice(17)}`
  return `urn:uuid:${uuid.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')}`
}
