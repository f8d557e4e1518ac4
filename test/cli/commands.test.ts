/** Every command that the documents and the program's own hints name exists, and the verb takes it word by word. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseWords } from '../../scripts/parse-words.ts'
import { verbs } from '../../verbs.ts'
import { fencesOf, inlineCodeOf } from '../docs/markdown.ts'
import { project } from '../flow/computer.ts'

interface Command {
  readonly where: string
  readonly text: string
}

const read = (file: string): string => readFileSync(join(project, file), 'utf8')
const documents = globSync(['*.md', 'docs/**/*.md', 'lab/README.md', 'tools/README.md'], { cwd: project }).sort()

/** Code of a document, one command a line, comments taken off: what a shell is given, and the code within sentences. */
function codeOf(markdown: string): string[] {
  const typed = fencesOf(markdown)
    .filter(({ language }) => ['', 'sh', 'bash', 'console'].includes(language))
    .flatMap(({ lines }) => lines)
  return [...typed, ...inlineCodeOf(markdown)].map((line) => line.replace(/\s#.*$/, '').trim())
}

/** The parts of a line of shell that call this project's programs. */
function commandsOf(line: string): string[] {
  return [...line.matchAll(/(?:^|[\s("&;])((?:npx golden|golden|npx cdktn|npm (?:run|test|ci))\b(?:"[^"]*"|'[^']*'|[^"'|;&)])*)/g)].map(
    ([, command = '']) => command.trim(),
  )
}

const commands: Command[] = [
  ...documents.flatMap((where) =>
    codeOf(read(where))
      .flatMap(commandsOf)
      .map((text) => ({ where, text })),
  ),
  // What a failure tells people to run.
  ...globSync(['{core,proxmox,settings,packer,images,releases,stacks,rollout,verify,clients,scripts,demo,tools}/**/*.ts'], {
    cwd: project,
    exclude: (name) => name.includes('bindings'),
  }).flatMap((where) => [...read(where).matchAll(/"((?:npx )?golden [a-z][^"\n]*)"/g)].map(([, text = '']) => ({ where, text }))),
]

/** @returns what is wrong with it, or nothing */
async function problemOf(text: string): Promise<string | undefined> {
  const [program, ...words] = wordsOf(text.replace(/^npx /, ''))
  if (program === 'cdktn') return ['synth', 'diff', 'deploy', 'destroy'].includes(words[0] ?? '') ? undefined : 'cdktn has no such command'
  if (program === 'npm') {
    const [command, script = '', ...rest] = words
    if (command !== 'run') return undefined
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
    const verb = /scripts\/golden (\w+)$/.exec(scripts[script] ?? '')?.[1]
    if (scripts[script] === undefined) return `package.json has no script ${script}`
    // Words, such as numbers, are the script's own business.
    return !rest.some((word) => /^--./.test(word)) || script === 'golden'
      ? undefined
      : verb === undefined
        ? `script ${script} takes no flags`
        : problemOfVerb(verb, rest)
  }
  return problemOfVerb(words[0] ?? '', words.slice(1))
}

async function problemOfVerb(name: string, words: readonly string[]): Promise<string | undefined> {
  // Placeholders, in documents and in templates of hints.
  if (name === '' || name === 'help' || /^[A-Z…$[]/.test(name)) return undefined
  const entry = verbs[name === '--version' ? 'version' : name]
  if (entry === undefined) return `there is no verb ${name}`
  try {
    parseWords(
      name,
      (await entry.load()).verb,
      words.filter((word) => word !== '--'),
    )
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** As a shell has them; what a template of a hint fills in is one. */
const wordsOf = (text: string): string[] =>
  [...text.replaceAll(/\$\{[^}]*\}/g, 'X').matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) => word.replaceAll(/["']/g, ''))

describe('commands that people are told to type', () => {
  it('are found at all', () => {
    expect(documents).toEqual(expect.arrayContaining(['README.md', 'README.ja.md', 'docs/operations.md']))
    expect(commands.filter(({ where }) => where === 'README.md').map(({ text }) => text)).toEqual(
      expect.arrayContaining([
        'npm run tour',
        'npm run demo',
        'npm test',
        'npm run demo -- --keep',
        'npx golden bake',
        'npx golden setup --print',
        'npx golden client claude-code --write --show-password',
        "npx cdktn deploy '*'",
      ]),
    )
    expect(commands.filter(({ where }) => where.endsWith('.ts')).length).toBeGreaterThan(20)
  })

  it.each([
    'npx golden bakee',
    'golden bake --quick',
    'golden bake image',
    'golden revoke IMAGE --reason',
    'golden promote ONE TWO',
    'npm run nothing',
    'npm run demo -- --quick',
    'npx cdktn apply',
  ])('"%s" would be noticed', async (text) => {
    expect(await problemOf(text)).toBeDefined()
  })

  it('exist, with their flags', async () => {
    const problems: string[] = []
    for (const { where, text } of commands) {
      const problem = await problemOf(text)
      if (problem !== undefined) problems.push(`${where}: "${text}": ${problem}`)
    }
    expect(problems).toEqual([])
  })

  it('are the same in both READMEs', () => {
    const of = (file: string): string[] =>
      commands
        .filter(({ where }) => where === file)
        .map(({ text }) => text)
        .sort()
    expect(of('README.ja.md')).toEqual(of('README.md'))
  })
})
