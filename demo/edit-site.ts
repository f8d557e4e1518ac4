/** Edits of a lab's site.ts, as a person makes them in an editor between two runs of `golden`. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../core/failure.ts'
import { parseSite, type Site, type SiteInput } from '../settings/site.ts'

const frame = /^([\s\S]*defineSite\()(\{[\s\S]*\})(\)\s*)$/

/**
 * @param folder of a site that writeLabSite has written
 * @returns what the file says now; loadSite, once called, would go on saying what it said before
 */
export async function editSite(folder: string, change: (site: SiteInput) => SiteInput): Promise<Site> {
  const file = join(folder, 'site.ts')
  const [, before = '', json = '', after = ''] = frame.exec(await readFile(file, 'utf8')) ?? []
  if (json === '') throw new Error(`${file} is not as the lab writes it`)
  const input = change(JSON.parse(json) as SiteInput)
  const parsed = parseSite(input)
  if (!parsed.ok)
    throw new Failure('site-invalid', parsed.problems.map(({ path, message }) => `${path}: ${message}`).join('; '), 'Mend the edit.')
  await writeFile(file, `${before}${JSON.stringify(input, null, 2)}${after}`)
  return parsed.site
}
