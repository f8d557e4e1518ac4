/**
 * golden-projects.service, as the user `projects`: fetches the projects that have a git URL and no commit yet. Never in
 * Serena's way: their folders are there already, empty. What fails is reported and tried again at the next activation.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cloneReport, projectsFolder, wantedProjects } from './places.ts'

/** A URL without its user and password, for people to read. */
export const withoutSecret = (url: string): string => url.replace(/^([a-z+]+:\/\/)[^/@]*@/i, '$1')

function git(name: string, args: string[], timeoutMs: number): { ok: boolean; reason: string } {
  const result = spawnSync('git', args, { cwd: join(projectsFolder, name), encoding: 'utf8', timeout: timeoutMs })
  const reason = result.error?.message ?? result.stderr.trim().split('\n').at(-1) ?? ''
  return { ok: result.status === 0, reason }
}

function fetchProject(name: string, url: string): string | undefined {
  if (git(name, ['rev-parse', '--verify', '--quiet', 'HEAD'], 30_000).ok) return undefined
  // Not as a remote: a token in the URL would lie in the project, where Serena's clients can read it.
  const plain = withoutSecret(url)
  if (plain === url) git(name, ['remote', 'add', 'origin', url], 30_000)
  const fetched = git(name, ['-c', 'http.lowSpeedLimit=1000', '-c', 'http.lowSpeedTime=30', 'fetch', '--quiet', url, 'HEAD'], 1_800_000)
  if (!fetched.ok) return `project ${name}: could not be cloned from ${plain} (${fetched.reason.replaceAll(url, plain)}); tried again at the next activation`
  const reset = git(name, ['merge', '--quiet', '--ff-only', 'FETCH_HEAD'], 300_000)
  return reset.ok ? undefined : `project ${name}: ${plain} was fetched, but not checked out: ${reset.reason}`
}

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
