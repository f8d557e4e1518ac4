/**
 * golden-projects.service, as Serena's user: fetches the projects that have a git URL and no commit yet. Never in
 * Serena's way: their folders are there already, empty. What fails is reported and tried again at the next activation.
 */
import { join } from 'node:path'
import { thisMachine, type Files, type Machine } from './machine.ts'
import { cloneReport, wantedProjects, workspacesFolder } from './places.ts'
import { git, prepareRepository } from './project.ts'

/** A URL without its user and password, for people to read. */
export const withoutSecret = (url: string): string => url.replace(/^([a-z+]+:\/\/)[^/@]*@/i, '$1')

/** Whether somebody has committed something; asked of the files, because the project's own git settings are anybody's. */
const hasCommit = (files: Files, project: string): boolean =>
  files.exists(join(project, '.git', 'packed-refs')) ||
  (files.exists(join(project, '.git', 'refs', 'heads')) && files.list(join(project, '.git', 'refs', 'heads')).length > 0)

/**
 * The clone is made where nobody else can write, and its files come to the project by that clone's settings: those that
 * lie in the project could name programs to run, which would then see the URL with its token. @returns what went wrong
 */
async function fetchProject(machine: Machine, name: string, url: string): Promise<string | undefined> {
  const { files } = machine
  const project = join(workspacesFolder, name)
  if (hasCommit(files, project)) return undefined
  const plain = withoutSecret(url)
  const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error)).replaceAll(url, plain)
  const place = files.mkdtemp('/tmp/clone-')
  try {
    const made = join(place, 'made')
    try {
      const patience = ['-c', 'http.lowSpeedLimit=1000', '-c', 'http.lowSpeedTime=30']
      await git(machine, place, [...patience, 'clone', '--quiet', '--no-checkout', url, made], 1_800_000)
    } catch (error) {
      return `project ${name}: could not be cloned from ${plain} (${reason(error)}); tried again at the next activation`
    }
    try {
      await git(machine, made, ['remote', 'set-url', 'origin', plain])
      await prepareRepository(machine, made)
      const there = await inTheWay(machine, made, project)
      if (there.length > 0)
        return `project ${name}: ${plain} was not checked out over files that are there and differ: ${listed(there)}; move them away, or push the repository instead`
      await git(machine, made, [`--work-tree=${project}`, 'checkout', '--quiet', '--force'], 300_000)
      // Fetching takes minutes, in which somebody may have pushed.
      if (hasCommit(files, project)) return undefined
      const before = join(project, '.git-before-clone')
      files.remove(before)
      if (files.exists(join(project, '.git'))) files.rename(join(project, '.git'), before)
      files.copy(join(made, '.git'), join(project, '.git'))
      files.remove(before)
      return undefined
    } catch (error) {
      return `project ${name}: ${plain} was fetched, but not checked out: ${reason(error)}`
    }
  } finally {
    files.remove(place)
  }
}

/** What Serena makes by itself in each project gives way. */
const own = /^\.serena\/(project\.yml|\.gitignore)$/

/** Files of the project that a checkout would overwrite: people bring theirs by SFTP while a host can't be reached. */
async function inTheWay(machine: Machine, made: string, project: string): Promise<string[]> {
  const here = (...args: string[]): Promise<string> => git(machine, made, [`--work-tree=${project}`, ...args], 300_000)
  await here('read-tree', 'HEAD')
  try {
    await here('update-index', '-q', '--refresh')
  } catch {
    /* it says by its exit code that there is something */
  }
  const paths = (text: string): string[] => text.split('\0').filter((path) => path !== '')
  const differ = paths(await here('diff-files', '-z', '--name-only', '--diff-filter=MT'))
  const gone = paths(await here('diff-files', '-z', '--name-only', '--diff-filter=D'))
  const folders = gone.filter((path) => machine.files.exists(join(project, path)))
  const files = paths(await here('ls-files', '-z', '--killed'))
  return [...new Set([...differ, ...folders, ...files])].filter((path) => !own.test(path)).sort()
}

const listed = (paths: readonly string[]): string =>
  paths.slice(0, 3).join(', ') + (paths.length > 3 ? ` and ${paths.length - 3} more` : '')

export async function clone(machine: Machine): Promise<number> {
  const wanted = JSON.parse(machine.files.read(wantedProjects)) as { name: string; git: string }[]
  const report: string[] = []
  for (const project of wanted) {
    const problem = await fetchProject(machine, project.name, project.git)
    if (problem !== undefined) {
      machine.complain(problem)
      report.push(problem)
    }
    machine.files.write(cloneReport, JSON.stringify(report))
  }
  return 0
}

if (import.meta.main) process.exitCode = await clone(thisMachine)
