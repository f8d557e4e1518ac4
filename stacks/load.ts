/** Finding and reading the site folder. */
import { existsSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Failure } from '../proxmox/failure.ts'
import { parseSite, type Site } from './site.ts'

const project = resolve(import.meta.dirname, '..')

/** The site folder: `GOLDEN_SITE`, or `site/` in the clone. Absolute; need not exist. */
export function siteFolder(env: NodeJS.ProcessEnv): string {
  return resolve(env['GOLDEN_SITE'] ?? join(project, 'site'))
}

/** A site folder of its own (another repository) finds `serena-golden` without an installed package. */
let hooked = false
function resolveOurselves(): void {
  if (hooked) return
  hooked = true
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'serena-golden' ? { url: pathToFileURL(join(project, 'stacks/index.ts')).href, shortCircuit: true } : next(specifier, context)
  })
}

/**
 * Reads and checks `site.ts` of a site folder.
 * @throws Failure `site-missing`, `site-unreadable` (does not run), `site-invalid` (all problems, each with its path)
 */
export async function loadSite(folder: string): Promise<Site> {
  const file = join(folder, 'site.ts')
  if (!existsSync(file)) throw new Failure('site-missing', `there is no site file ${file}`, 'Run "npx golden init" to make one, or point GOLDEN_SITE to your site folder.')
  return loadSiteFile(file)
}

/** The same for one file, e.g. the example. */
export async function loadSiteFile(file: string): Promise<Site> {
  resolveOurselves()
  let input: unknown
  try {
    input = ((await import(pathToFileURL(file).href)) as { default?: unknown }).default
  } catch (cause) {
    throw new Failure('site-unreadable', `${file} can't be read: ${cause instanceof Error ? cause.message : String(cause)}`, 'Mend the file; compare it with site.example.ts.', { cause })
  }
  if (input === undefined) throw new Failure('site-unreadable', `${file} has no default export`, 'It has to say: export default defineSite({ … })')
  const parsed = parseSite(input)
  if (parsed.ok) return parsed.site
  const list = parsed.problems.map((problem) => `  ${problem.path}: ${problem.message}`).join('\n')
  throw new Failure('site-invalid', `${file} has ${parsed.problems.length === 1 ? 'a problem' : `${parsed.problems.length} problems`}:\n${list}`, `Mend ${parsed.problems.length === 1 ? 'it' : 'them'} in ${file}.`)
}
