/**
 * golden-projects.service, as Serena's user: fetches the projects that have a git URL and no commit yet. Never in
 * Serena's way: their folders are there already, empty. What fails is reported and tried again at the next activation.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cloneReport, wantedProjects, workspacesFolder } from './places.ts'
import { git, prepareRepository } from './project.ts'

/** A URL without its user and password, for people to read. */
export const withoutSecret = (url: string): string => url.replace(/^([a-z+]+:\/\/)[^/@]*@/i, '$1')

/** Whether somebody has committed something; asked of the files, because the project's own git settings are anybody's. */
const hasCommit = (project: string): boolean =>
  existsSync(join(project, '.git', 'packed-refs')) ||
  (existsSync(join(project, '.git', 'refs', 'heads')) && readdirSync(join(project, '.git', 'refs', 'heads')).length > 0)

/**
 * The clone is made where nobody else can write, and its files come to the project by that clone's settings: those that
 * lie in the project could name programs to run, which would then see the URL with its token. @returns what went wrong
 */
function fetchProject(name: string, url: string): string | undefined {
  const project = join(workspacesFolder, name)
  if (hasCommit(project)) return undefined
  const plain = withoutSecret(url)
  const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error)).replaceAll(url, plain)
  const place = mkdtempSync(join(tmpdir(), 'clone-'))
  try {
    const made = join(place, 'made')
    try {
      git(place, ['-c', 'http.lowSpeedLimit=1000', '-c', 'http.lowSpeedTime=30', 'clone', '--quiet', '--no-checkout', url, made], 1_800_000)
    } catch (error) {
      return `project ${name}: could not be cloned from ${plain} (${reason(error)}); tried again at the next activation`
    }
    try {
      git(made, ['remote', 'set-url', 'origin', plain])
      prepareRepository(made)
      const there = inTheWay(made, project)
      if (there.length > 0)
        return `project ${name}: ${plain} was not checked out over files that are there and differ: ${listed(there)}; move them away, or push the repository instead`
      git(made, [`--work-tree=${project}`, 'checkout', '--quiet', '--force'], 300_000)
      // Fetching takes minutes, in which somebody may have pushed.
      if (hasCommit(project)) return undefined
      const before = join(project, '.git-before-clone')
      rmSync(before, { recursive: true, force: true })
      if (existsSync(join(project, '.git'))) renameSync(join(project, '.git'), before)
      cpSync(join(made, '.git'), join(project, '.git'), { recursive: true, verbatimSymlinks: true })
      rmSync(before, { recursive: true, force: true })
      return undefined
    } catch (error) {
      return `project ${name}: ${plain} was fetched, but not checked out: ${reason(error)}`
    }
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

/** What Serena makes by itself in each project gives way. */
const own = /^\.serena\/(project\.yml|\.gitignore)$/

/** Files of the project that a checkout would overwrite: people bring theirs by SFTP while a host can't be reached. */
function inTheWay(made: string, project: string): string[] {
  const here = (...args: string[]): string => git(made, [`--work-tree=${project}`, ...args], 300_000)
  here('read-tree', 'HEAD')
  try {
    here('update-index', '-q', '--refresh')
  } catch {
    /* it says by its exit code that there is something */
  }
  const paths = (text: string): string[] => text.split('\0').filter((path) => path !== '')
  const differ = paths(here('diff-files', '-z', '--name-only', '--diff-filter=MT'))
  const folders = paths(here('diff-files', '-z', '--name-only', '--diff-filter=D')).filter((path) => existsSync(join(project, path)))
  const files = paths(here('ls-files', '-z', '--killed'))
  return [...new Set([...differ, ...folders, ...files])].filter((path) => !own.test(path)).sort()
}

const listed = (paths: readonly string[]): string =>
  paths.slice(0, 3).join(', ') + (paths.length > 3 ? ` and ${paths.length - 3} more` : '')

const wanted = JSON.parse(readFileSync(wantedProjects, 'utf8')) as { name: string; git: string }[]
const report: string[] = []
for (const project of wanted) {
  const problem = fetchProject(project.name, project.git)
  if (problem !== undefined) {
    console.error(problem)
    report.push(problem)
  }
  writeFileSync(cloneReport, JSON.stringify(report))
}
