import { join } from 'node:path'
import { makeFolder } from '../core/folders.ts'
import type { HeldNight } from './hold-night.ts'
import { markdownOf } from './markdown.ts'
import { pageOf } from './page.ts'
import { reportOf, type Report } from './report.ts'
import { languages, wordsOf, type Language } from './words.ts'
import { writeWhole } from '../core/write-whole.ts'

export interface WrittenReport {
  /** In the site's language. */
  readonly report: Report
  readonly markdown: string
}

/** Of the nights before, as many as the page plots. */
const mostBefore = 10

/** Each file in one step: whoever reads one has a whole one. */
export async function writeReport(folder: string, night: HeldNight, language: Language, zone?: string): Promise<WrittenReport> {
  const reports = languages.map((one) => reportOf(night, wordsOf[one], zone))
  const report = reports.find(({ words }) => words.language === language) as Report
  const markdown = markdownOf(report)
  await makeFolder(folder)
  const files = {
    'report.md': markdown,
    'report.html': pageOf(reports, language),
    'report.json': `${JSON.stringify({ ...night.record, before: night.before.slice(-mostBefore) }, null, 2)}\n`,
  }
  for (const [name, text] of Object.entries(files)) await writeWhole(join(folder, name), text)
  return { report, markdown }
}
