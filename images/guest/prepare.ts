/**
 * Before a role's containers start: folders on the data disk with their owners, the projects that are not there yet,
 * and Serena's configuration. `node prepare.js serena|logging`; `node prepare.js projects NAME …` is its own, as the
 * owner of the projects.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { dataFolder, owner, projectsFolder, projectsOnDisk, serenaFolder } from './places.ts'
import { git, prepareRepository } from './project.ts'
import { languageServers, projectSettings, projectSettingsFile, serenaConfiguration, typescriptHome } from './serena.ts'
import { readSlot } from './slot.ts'

function folder(path: string, of: number, mode = 0o755): void {
  mkdirSync(path, { recursive: true })
  chownSync(path, of, of)
  chmodSync(path, mode)
}

function command(program: string, args: string[], user?: number): void {
  const result = spawnSync(program, args, { encoding: 'utf8', ...(user === undefined ? {} : { uid: user, gid: user }) })
  if (result.status !== 0) throw new Error(`${program} ${args[0]}: ${result.stderr?.trim() || result.error?.message}`)
}

function makeProject(name: string): void {
  const path = join(projectsFolder, name)
  if (existsSync(path)) return
  mkdirSync(path)
  git(path, ['init', '--quiet', '--initial-branch=main'])
  prepareRepository(path)
  mkdirSync(dirname(join(path, projectSettingsFile)))
  writeFileSync(join(path, projectSettingsFile), projectSettings(name))
}

/** Serena's home belonged to others in earlier images. */
function serenaHome(): void {
  const before = existsSync(serenaFolder) ? lstatSync(serenaFolder).uid : owner.serena
  folder(serenaFolder, owner.serena, 0o700)
  // Links are changed, not followed.
  if (before !== owner.serena) command('chown', ['-R', '-h', '-P', `${owner.serena}:${owner.serena}`, serenaFolder])
}

function prepareSerena(): void {
  const settings = readSlot()?.seed.serena
  if (!settings) throw new Error('the seed has no settings for Serena')
  folder(projectsFolder, projectsOnDisk)
  serenaHome()
  // What lies in these two folders their owners can turn into links to anywhere: from here on with no more rights than theirs.
  const missing = settings.projects.map((project) => project.name).filter((name) => !existsSync(join(projectsFolder, name)))
  if (missing.length > 0) command(process.execPath, [import.meta.filename, 'projects', ...missing], projectsOnDisk)
  process.setgroups?.([])
  process.setgid?.(owner.serena)
  process.setuid?.(owner.serena)
  // The server's own TypeScript, where Serena looks for it; a link, so that the image's version counts.
  const link = join(serenaFolder, typescriptHome)
  mkdirSync(dirname(link), { recursive: true })
  rmSync(link, { recursive: true, force: true })
  symlinkSync(languageServers, link)
  const all = readdirSync(projectsFolder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .sort()
  const file = join(serenaFolder, 'serena_config.yml')
  rmSync(file, { force: true })
  writeFileSync(file, serenaConfiguration(settings, all), { mode: 0o600 })
}

const [part, ...names] = process.argv.slice(2)
switch (part) {
  case 'serena':
    chmodSync(dataFolder, 0o755)
    prepareSerena()
    break
  case 'projects':
    for (const name of names) makeProject(name)
    break
  case 'logging':
    chmodSync(dataFolder, 0o755)
    folder(join(dataFolder, 'loki'), owner.loki, 0o700)
    folder(join(dataFolder, 'grafana'), owner.grafana, 0o700)
    break
  default:
    throw new Error('usage: prepare.js serena|logging')
}
