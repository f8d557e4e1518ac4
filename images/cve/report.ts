/** What `images cve` says to people: by place, a line a package. Pure. */
import type { CveReport, Finding, FoundVulnerability, Unjudged } from './match.ts'

export function cveLines(image: string, report: CveReport): string[] {
  const { findings, components, judged, unjudged, notLookedInto, data } = report
  const count = new Set(findings.flatMap(({ vulnerabilities }) => vulnerabilities.map(({ id }) => id))).size
  const places = [...new Set(findings.map(({ place }) => place))]
  return [
    count === 0
      ? `${image}: none of the known vulnerabilities is in the ${judged} of ${components} components that could be judged`
      : `${image}: ${count} known ${count === 1 ? 'vulnerability' : 'vulnerabilities'}; ${judged} of ${components} components could be judged`,
    ...places.flatMap((place) => [`${place}:`, ...findings.filter((one) => one.place === place).map(findingLine)]),
    ...unjudged.map(unjudgedLine),
    ...notLookedInto.map((what) => `not looked into: ${what}`),
    ...data.map(
      ({ ecosystem, records, newest, ageDays, old }) =>
        `data of ${ecosystem}: ${records} entries, the newest of ${newest.slice(0, 10)} (${ageDays} ${ageDays === 1 ? 'day' : 'days'} old)${old ? ': OLD, what came since is not in it' : ''}`,
    ),
  ]
}

function findingLine({ package: name, version, components, vulnerabilities }: Finding): string {
  const others = components.filter((one) => one !== name)
  return `  ${name} ${version}${others.length === 0 ? '' : ` (${others.join(', ')})`}: ${vulnerabilities.map(vulnerabilityText).join(', ')}`
}

const vulnerabilityText = ({ id, severity, fixed }: FoundVulnerability): string =>
  `${id} [${[...(severity === null ? [] : [severity.toLowerCase()]), fixed === null ? 'no fix known' : `fixed in ${fixed}`].join(', ')}]`

const why: Readonly<Record<Unjudged['why'], (ecosystem: string) => string>> = {
  'no-data': (ecosystem) => `there is no data of ${ecosystem}`,
  'no-ecosystem': () => 'OSV has no place for them',
  'no-version': (ecosystem) => `their version is none in ${ecosystem}`,
}

const unjudgedLine = ({ ecosystem, components, why: reason }: Unjudged): string =>
  `not judged: ${components} ${components === 1 ? 'component' : 'components'}, because ${why[reason](ecosystem ?? '')}`
