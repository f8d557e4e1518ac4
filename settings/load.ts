/** Finding and reading the site folder. */
import { existsSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Failure } from '../core/failure.ts'
import { parseSite, type Site } from './site.ts'

const project = resolve(import.meta.dirname, '..')

/**
 * The site folder: `GOLDEN_SITE`, or `site/` in the clone. Absolute; need not exist.
 * @throws Failure `site-folder-unclear` for a GOLDEN_SITE that would be some folder that nobody meant
 */
export function siteFolder(env: NodeJS.ProcessEnv): string {
  const given = env.GOLDEN_SITE
  if (given === undefined) return join(project, 'site')
  const unclear = (why: string, hint: string): Failure => new Failure('site-folder-unclear', `GOLDEN_SITE ${why}`, hint)
  if (given.trim() === '')
    throw unclear('is set, but empty', `Give it the path of your site folder, or unset it: then it is ${join(project, 'site')}.`)
  if (given !== given.trim()) throw unclear(`begins or ends with a blank: "${given}"`, 'Give it the path alone.')
  // Only shells know what that means, and not between quotes.
  if (given.startsWith('~'))
    throw unclear(`is "${given}", and no shell has replaced the ~`, 'Write the path in full, or $HOME instead of ~.')
  return resolve(given)
}

/** A site folder of its own (another repository) finds `serena-golden` without an installed package. */
let hooked = false
function resolveOurselves(): void {
  if (hooked) return
  hooked = true
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'serena-golden'
        ? { url: pathToFileURL(join(project, 'settings/index.ts')).href, shortCircuit: true }
        : next(specifier, context),
  })
}

const variables = new Set<string>()

/** Names of the environment variables that site files of this process have read: whoever reads them again needs those, too. */
export const variablesOfSites = (): ReadonlySet<string> => variables

async function withNotedVariables<T>(load: () => Promise<T>): Promise<T> {
  const own = process.env
  process.env = new Proxy(own, {
    get: (target, name) => {
      if (typeof name === 'string') variables.add(name)
      return Reflect.get(target, name) as unknown
    },
  })
  try {
    return await load()
  } finally {
    process.env = own
  }
}

const firstLine = (text: string): string => text.split('\n').find((line) => line.trim() !== '') ?? text

/** The file with the line, and the column where that is known: Node names them in the stack, and of what does not parse before it. */
function placeIn(file: string, cause: unknown): string {
  const stack = cause instanceof Error ? (cause.stack ?? '') : ''
  const at = [pathToFileURL(file).href, file]
    .map((name) => stack.indexOf(`${name}:`))
    .filter((index) => index >= 0)
    .sort((a, b) => a - b)[0]
  const [, line] = /\.ts((?::\d+){1,2})/.exec(at === undefined ? '' : stack.slice(at)) ?? []
  return `${file}${line ?? ''}`
}

/**
 * Reads and checks `site.ts` of a site folder.
 * @throws Failure `site-missing`, `site-unreadable` (does not run), `site-invalid` (all problems, each with its path)
 */
export async function loadSite(folder: string): Promise<Site> {
  const file = join(folder, 'site.ts')
  if (!existsSync(file))
    throw new Failure(
      'site-missing',
      `there is no site file ${file}`,
      'Run "npx golden init" to make one, or point GOLDEN_SITE to your site folder.',
    )
  return loadSiteFile(file)
}

/** The same for one file, e.g. the example. */
export async function loadSiteFile(file: string): Promise<Site> {
  resolveOurselves()
  let input: unknown
  try {
    input = (await withNotedVariables(() => import(pathToFileURL(file).href) as Promise<{ default?: unknown }>)).default
  } catch (cause) {
    throw new Failure(
      'site-unreadable',
      `${placeIn(file, cause)} can't be read: ${cause instanceof Error ? firstLine(cause.message) : String(cause)}`,
      'Mend the file; compare it with site.example.ts.',
      { cause },
    )
  }
  if (input === undefined)
    throw new Failure('site-unreadable', `${file} has no default export`, 'It has to say: export default defineSite({ … })')
  const parsed = parseSite(input)
  if (parsed.ok) return parsed.site
  const { problems } = parsed
  const list = problems.map(({ path, message }) => `  ${path}: ${message}`).join('\n')
  const hint = `Mend ${problems.length === 1 ? 'it' : 'them'} in ${file}.`
  throw new Failure('site-invalid', `${file} has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n${list}`, hint, {
    parts: problems.map(({ path, message }) => ({ code: 'site-invalid', message, hint, path })),
  })
}
