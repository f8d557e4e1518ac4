/** The pages: every link leads somewhere, every page is found, what is told in two languages is the same, settings are settings. */
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { linesTable } from '../../doctor/document.ts'
import { defineSite, fromCommand, fromEnv, fromFile } from '../../settings/index.ts'
import { parseSite } from '../../settings/site.ts'
import { anchorsOf, fencesOf, inlineCodeOf, linksOf, withoutComment } from './markdown.ts'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const pages = globSync('{*.md,*/*.md,docs/**/*.md,images/guest/*.md}', {
  cwd: root,
  exclude: ['node_modules/**', 'site/**', '*/node_modules/**'],
}).sort()

/** What a stranger needs in the first hour, or when something is wrong, and reads in Japanese as well. */
const inJapanese = [
  'README.md',
  'docs/clients.md',
  'docs/certificates.md',
  'docs/doctor.md',
  'docs/how-to/add-a-project.md',
  'docs/how-to/add-a-person.md',
  'docs/how-to/inside-the-lan.md',
  'docs/how-to/without-port-forwarding.md',
  'docs/how-to/windows-and-wsl.md',
  'docs/how-to/languages.md',
  'docs/how-to/backup-and-restore.md',
  'docs/how-to/two-in-the-morning.md',
]
const japaneseOf = (page: string): string => (page === 'README.md' ? 'README.ja.md' : page.replace(/^docs\//, 'docs/ja/'))

/** @returns why a link leads nowhere, if it does */
function lost(page: string, link: string, text: (file: string) => string = read): string | undefined {
  if (/^[a-z]+:/i.test(link)) return undefined
  const [path = '', anchor] = link.split('#')
  const file = path === '' ? page : normalize(join(dirname(page), decodeURI(path)))
  if (file.startsWith('..') || !existsSync(join(root, file))) return `${page}: there is no ${link}`
  if (anchor === undefined || !file.endsWith('.md')) return undefined
  return anchorsOf(text(file)).includes(decodeURI(anchor)) ? undefined : `${page}: ${file} has no heading #${anchor}`
}

describe('links', () => {
  it('are found, and would be noticed if they led nowhere', () => {
    expect(pages).toEqual(expect.arrayContaining(['README.md', 'docs/operations.md', 'docs/how-to/languages.md', 'lab/README.md']))
    expect(linksOf('[a](b.md#c) `[no](x)` ![p](p.svg) <img src="q.svg">')).toEqual(['b.md#c', 'p.svg', 'q.svg'])
    expect(anchorsOf("# At 2 a.m.\n## The services' own state\n## 別のポート\n```sh\n# no\n```")).toEqual([
      'at-2-am',
      'the-services-own-state',
      '別のポート',
    ])
    expect(lost('README.md', 'docs/nothing.md')).toContain('there is no')
    expect(lost('README.md', 'docs/rollout.md#never')).toContain('has no heading')
    expect(lost('README.md', '../outside.md')).toContain('there is no')
  })

  it.each(pages)('of %s lead somewhere', (page) => {
    expect(linksOf(read(page)).flatMap((link) => lost(page, link) ?? [])).toEqual([])
  })

  it('lead from the README to every page, in one language or the other', () => {
    const seen = new Set<string>()
    const visit = (page: string): void => {
      if (seen.has(page)) return
      seen.add(page)
      for (const link of linksOf(read(page)).filter((one) => !/^[a-z]+:/i.test(one))) {
        const path = relative(root, resolve(root, dirname(page), link.split('#')[0] || '.'))
        if (path.endsWith('.md')) visit(path)
        else if (existsSync(join(root, path)) && statSync(join(root, path)).isDirectory())
          for (const one of pages) if (dirname(one) === path) visit(one)
      }
    }
    for (const page of ['README.md', 'README.ja.md']) visit(page)
    expect(pages.filter((page) => page.startsWith('docs/') && !seen.has(page))).toEqual([])
  })
})

describe('pages in both languages', () => {
  /** The table that the code makes is in English alone, and linked. */
  const told = (file: string): string => read(file).replace(`\n${linesTable()}\n`, '')

  it('are all that there is in Japanese', () => {
    expect(globSync('{README.ja.md,docs/ja/**/*.md}', { cwd: root }).sort()).toEqual(inJapanese.map(japaneseOf).sort())
  })

  it.each(inJapanese)('%s and its Japanese page lead to each other, and that one to no English page that there is in Japanese', (page) => {
    const japanese = japaneseOf(page)
    const filesOf = (file: string): string[] => linksOf(read(file)).map((link) => normalize(join(dirname(file), link.split('#')[0] ?? '')))
    expect(filesOf(page)).toContain(japanese)
    expect(filesOf(japanese)).toContain(page)
    expect(filesOf(japanese).filter((file) => file !== page && inJapanese.includes(file))).toEqual([])
  })

  it.each(inJapanese)('%s has the same code in both languages, in the same order', (page) => {
    const codeOf = (file: string) => fencesOf(told(file)).map(({ language, lines }) => ({ language, lines: lines.map(withoutComment) }))
    expect(codeOf(japaneseOf(page))).toEqual(codeOf(page))
  })

  it.each(inJapanese)('%s names the same commands, settings and files in both languages', (page) => {
    const named = (file: string): string[] =>
      [...new Set(inlineCodeOf(told(file)))].filter((code) => /[./{}]|^(?:npx|npm|git) |^--|^[a-z]+-[a-z-]+$/.test(code)).sort()
    expect(named(japaneseOf(page))).toEqual(named(page))
  })

  it.each(inJapanese)('%s has as many headings and tables in both languages', (page) => {
    const shape = (file: string): string[] =>
      told(file)
        .split('\n')
        .flatMap((line) => /^#{1,4} |^\|/.exec(line)?.[0] ?? [])
    expect(shape(japaneseOf(page))).toEqual(shape(page))
  })
})

it.each(['README.md', 'README.ja.md'])('%s leads to a Proxmox in ten commands at most, each with how long it takes', (page) => {
  const commands = fencesOf(read(page)).find(({ lines }) => lines.some((line) => line.startsWith('npx golden setup')))?.lines ?? []
  expect(commands.length).toBeGreaterThan(5)
  expect(commands.length).toBeLessThanOrEqual(10)
  const duration = /# .*(?:second|minute|longer than deploy|秒|分|deploy より)/
  expect(commands.filter((line) => !duration.test(line) || withoutComment(line) === '')).toEqual([])
})

/** Parts of a site file, as the pages show them, put into the example site. */
const settings = pages.flatMap((page) =>
  fencesOf(read(page))
    .filter(({ language, lines }) => language === 'ts' && /^[a-z]+: /.test(lines[0] ?? ''))
    .map(({ lines }) => ({ page, text: lines.join('\n') })),
)

function problemsOf(text: string, example: Record<string, unknown>): string[] {
  const given = new Function('defineSite', 'fromFile', 'fromEnv', 'fromCommand', `return {\n${text}\n}`)(
    defineSite,
    fromFile,
    fromEnv,
    fromCommand,
  )
  const parsed = parseSite(joined(example, given as Record<string, unknown>))
  return parsed.ok ? [] : parsed.problems.map(({ path, message }) => `${path} ${message}`)
}

const isPart = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
const joined = (one: Record<string, unknown>, other: Record<string, unknown>): Record<string, unknown> => ({
  ...one,
  ...Object.fromEntries(
    Object.entries(other).map(([key, value]) => [key, isPart(value) && isPart(one[key]) ? joined(one[key], value) : value]),
  ),
})

describe('settings that the pages show', async () => {
  const example = (await import('../../site.example.ts')).default as unknown as Record<string, unknown>

  it('are found, and would be noticed if they were none', () => {
    expect(settings.length).toBeGreaterThan(8)
    expect(problemsOf("public: { host: 'a b' }", example)).not.toEqual([])
    expect(problemsOf('publik: {}', example)).not.toEqual([])
  })

  it.each(settings)('$page: $text', ({ text }) => {
    expect(problemsOf(text, example)).toEqual([])
  })
})
