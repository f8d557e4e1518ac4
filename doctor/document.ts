/** The table of docs/doctor.md. Pure. */
import { allChecks } from './all.ts'
import { sections } from './line.ts'

const cell = (text: string): string => text.replaceAll('|', '\\|')

export function linesTable(): string {
  const rows = sections.flatMap((section) =>
    allChecks
      .filter((check) => check.section === section)
      .map(
        ({ id, looks, mends, needs = [] }) => `| ${section} | \`${id}\` | ${cell(looks)} | ${cell(mends)} | ${needs.join(', ') || '–'} |`,
      ),
  )
  return ['| | line | what is looked at | what mends it | needs |', '|---|---|---|---|---|', ...rows].join('\n')
}
