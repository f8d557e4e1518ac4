/** Matches an SBOM with what is known to be vulnerable. What can't be judged is counted, never passed over. Pure. */
import type { Sbom } from '../sbom/record.ts'
import { judge } from './affected.ts'
import { packageKey, type OsvData, type Vulnerability } from './data.ts'
import { orderOf } from './order.ts'
import type { Suspect } from './suspects.ts'

export interface FoundVulnerability {
  /** Of CVE, if it has one. */
  readonly id: string
  /** What else it is called. */
  readonly aliases: readonly string[]
  readonly summary: string | null
  /** In the words of the data. */
  readonly severity: string | null
  /** The first version that is mended; null: there is none, or nobody says. */
  readonly fixed: string | null
}

export interface Finding {
  readonly place: string
  readonly ecosystem: string
  /** Of a distribution's package: its source. */
  readonly package: string
  readonly version: string
  readonly components: readonly string[]
  readonly vulnerabilities: readonly FoundVulnerability[]
}

export interface Unjudged {
  /** What there is no data of, or null: OSV has no place for it. */
  readonly ecosystem: string | null
  readonly components: number
  readonly why: 'no-data' | 'no-ecosystem' | 'no-version'
}

export interface CveReport {
  readonly schema: 1
  /** How many components the SBOM has, and how many of them were compared. */
  readonly components: number
  readonly judged: number
  readonly unjudged: readonly Unjudged[]
  readonly findings: readonly Finding[]
  /** What the SBOM itself does not know. */
  readonly notLookedInto: readonly string[]
  readonly data: readonly DataAge[]
}

export interface DataAge {
  readonly ecosystem: string
  readonly records: number
  /** ISO 8601. */
  readonly newest: string
  readonly ageDays: number
  readonly old: boolean
}

/** From here on data is called old. */
const oldDays = 7

export const wantedKeys = (suspects: readonly Suspect[]): ReadonlySet<string> =>
  new Set(suspects.flatMap(({ ecosystems = [], name }) => ecosystems.map((ecosystem) => packageKey(ecosystem, name))))

export function matchSbom(sbom: Sbom, suspects: readonly Suspect[], data: OsvData, now: Date): CveReport {
  const unjudged = new Map<string, Unjudged>()
  const used = new Set<string>()
  const findings: Finding[] = []
  let judged = 0
  const passOver = ({ components }: Suspect, ecosystem: string | null, why: Unjudged['why']): void => {
    const key = `${ecosystem ?? ''} ${why}`
    unjudged.set(key, { ecosystem, why, components: (unjudged.get(key)?.components ?? 0) + components.length })
  }
  for (const suspect of suspects) {
    const { place, name, version, components } = suspect
    if (suspect.ecosystems === undefined) {
      passOver(suspect, null, 'no-ecosystem')
      continue
    }
    const ecosystem = suspect.ecosystems.find((one) => data.ecosystems.has(one))
    const order = orderOf(ecosystem ?? '')
    if (ecosystem === undefined || order === undefined) {
      passOver(suspect, suspect.ecosystems[0] ?? null, 'no-data')
      continue
    }
    used.add(ecosystem)
    const verdicts = (data.byPackage.get(packageKey(ecosystem, name)) ?? []).flatMap((vulnerability) =>
      (vulnerability.affected ?? [])
        .filter((one) => one.package?.ecosystem === ecosystem && one.package.name === name)
        .map((one) => ({ vulnerability, one, verdict: judge(version, one, order) })),
    )
    if (verdicts.some(({ verdict }) => verdict.kind === 'unknown')) passOver(suspect, ecosystem, 'no-version')
    else judged += components.length
    const hits = verdicts.flatMap(({ vulnerability, one, verdict }): Hit[] =>
      verdict.kind === 'affected'
        ? [
            {
              vulnerability,
              fixed: verdict.fixed ?? null,
              severity:
                one.ecosystem_specific?.severity ?? one.ecosystem_specific?.urgency ?? vulnerability.database_specific?.severity ?? null,
            },
          ]
        : [],
    )
    if (hits.length > 0) findings.push({ place, ecosystem, package: name, version, components, vulnerabilities: merged(hits) })
  }
  return {
    schema: 1,
    components: suspects.reduce((sum, { components }) => sum + components.length, 0),
    judged,
    unjudged: [...unjudged.values()],
    findings,
    notLookedInto: notLookedInto(sbom),
    data: [...used].sort().map((ecosystem) => ageOf(ecosystem, data, now)),
  }
}

function ageOf(ecosystem: string, data: OsvData, now: Date): DataAge {
  const { records = 0, newest = '' } = data.ecosystems.get(ecosystem) ?? {}
  const ageDays = Math.max(0, Math.floor((now.getTime() - Date.parse(newest)) / 86_400_000))
  return { ecosystem, records, newest, ageDays, old: !(ageDays <= oldDays) }
}

interface Hit {
  readonly vulnerability: Vulnerability
  readonly fixed: string | null
  readonly severity: string | null
}

/** Distributions put their own name in front of a CVE's. */
const bareId = (id: string): string => id.replace(/^[A-Z]+-(?=CVE-)/, '')

/** The same one by several names is one, and an advisory about those that are there says nothing new. */
function merged(hits: readonly Hit[]): FoundVulnerability[] {
  const groups: { names: Set<string>; hits: Hit[] }[] = []
  for (const hit of hits) {
    const names = new Set([hit.vulnerability.id, ...(hit.vulnerability.aliases ?? [])].map(bareId))
    const same = groups.filter((group) => [...names].some((name) => group.names.has(name)))
    for (const group of same) groups.splice(groups.indexOf(group), 1)
    groups.push({
      names: new Set([...names, ...same.flatMap((group) => [...group.names])]),
      hits: [...same.flatMap((group) => group.hits), hit],
    })
  }
  const isSaid = (group: (typeof groups)[number]): boolean => {
    const about = group.hits.flatMap(({ vulnerability }) => vulnerability.upstream ?? []).map(bareId)
    const others = groups.filter((one) => one !== group)
    return (
      about.length > 0 &&
      ![...group.names].some((name) => name.startsWith('CVE-')) &&
      about.every((name) => others.some(({ names }) => names.has(name)))
    )
  }
  return groups
    .filter((group) => !isSaid(group))
    .map(({ names, hits: all }) => {
      const sorted = [...names].sort((a, b) => Number(b.startsWith('CVE-')) - Number(a.startsWith('CVE-')) || (a < b ? -1 : 1))
      return {
        id: sorted[0] ?? '',
        aliases: sorted.slice(1),
        summary: all.find(({ vulnerability }) => vulnerability.summary !== undefined)?.vulnerability.summary ?? null,
        severity: all.find(({ severity }) => severity !== null)?.severity ?? null,
        fixed: all.find(({ fixed }) => fixed !== null)?.fixed ?? null,
      }
    })
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

function notLookedInto(sbom: Sbom): string[] {
  const of = (properties: Sbom['metadata']['properties']): string[] =>
    (properties ?? []).flatMap(({ name, value }) => (name === 'golden:not-looked-into' ? [value] : []))
  return [
    ...of(sbom.metadata.properties),
    ...(sbom.components ?? []).flatMap(({ name, properties }) => of(properties).map((value) => `${name}: ${value}`)),
  ]
}
