/** `npm run picture`: draws docs/picture.svg and docs/picture.ja.svg from the flow table of the example site. */
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { loadSiteFile } from '../../settings/load.ts'
import { picture } from './picture.ts'
import { languages, type Language } from './words.ts'

const root = resolve(import.meta.dirname, '../..')

/** Beside the pages; in the README's own language without a word about it. */
export const pictureFile = (language: Language): string => join(root, 'docs', language === 'en' ? 'picture.svg' : `picture.${language}.svg`)

/** By language. */
export async function drawAll(): Promise<ReadonlyMap<Language, string>> {
  const site = await loadSiteFile(join(root, 'site.example.ts'))
  return new Map(languages.map((language) => [language, picture(site, language)]))
}

if (import.meta.main) for (const [language, svg] of await drawAll()) await writeFile(pictureFile(language), svg)
