/**
 * Before a role's containers start: folders on the data disk with their owners, the projects that are not there yet,
 * and Serena's configuration. `node prepare.js serena|logging`
 */
import { spawnSync } from 'node:child_process'
import { appendFileSync, chmodSync, chownSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { dataFolder, owner, projectsFolder, serenaFolder } from './places.ts'
import { languageServers, projectSettings, projectSettingsFile, serenaConfiguration, typescriptHome } from './serena.ts'
import { readSlot } from './slot.ts'

function folder(path: string, of: number, mode = 0o755): void {
  mkdirSync(path, { recursive: true })
  chownSync(path, of, of)
  chmodSync(path, mode)
}

function git(cwd: string, args: string[]): void {
  const result = spawnSync('git', args, { cwd, encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: cwd, GIT_CONFIG_NOSYSTEM: '1' } })
  if (result.status !== 0) throw new Error(`git ${args[0]} in ${cwd}: ${result.stderr.trim() || result.error?.message}`)
}

function makeProject(name: string): void {
  const path = join(projectsFolder, name)
  if (existsSync(path)) return
  mkdirSync(path)
  git(path, ['init', '--quiet', '--initial-branch=main'])
  // A push updates the files that Serena works on, as long as nothing there is half done.
  git(path, ['config', 'receive.denyCurrentBranch', 'updateInstead'])
  // Ignored here, so that a clone or a push that brings its own replaces it.
  appendFileSync(join(path, '.git', 'info', 'exclude'), `${projectSettingsFile}\n`)
  mkdirSync(dirname(join(path, projectSettingsFile)))
  writeFileSync(join(path, projectSettingsFile), projectSettings(name))
}

function prepareSerena(): void {
  const settings = readSlot()?.seed.serena
  if (!settings) throw new Error('the seed has no settings for Serena')
  folder(projectsFolder, owner.projects)
  folder(serenaFolder, owner.projects, 0o700)
  // What lies in there Serena's user can turn into links to anywhere: from here on with no more rights than theirs.
  process.setgroups?.([])
  process.setgid?.(owner.projects)
  process.setuid?.(owner.projects)
  for (const project of settings.projects) makeProject(project.name)
  // The server's own TypeScript, where Serena looks for it; a link, so that the image's version counts.
  const link = join(serenaFolder, typescriptHome)
  mkdirSync(dirname(link), { recursive: true })
  rmSync(link, { recursive: true, force: true })
  symlinkSync(languageServers, link)
  const all = readdirSync(projectsFolder, { withFileTypes: true })
    .filter(entry => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(entry => entry.name)
    .sort()
  const file = join(serenaFolder, 'serena_config.yml')
  rmSync(file, { force: true })
  writeFileSync(file, serenaConfiguration(settings, all), { mode: 0o600 })
}

chmodSync(dataFolder, 0o755)
if (process.argv[2] === 'serena') prepareSerena()
else if (process.argv[2] === 'logging') {
  folder(join(dataFolder, 'loki'), owner.loki, 0o700)
  folder(join(dataFolder, 'grafana'), owner.grafana, 0o700)
} else throw new Error('usage: prepare.js serena|logging')
