/**
 * Before a role's containers start: folders on the data disk with their owners, the projects that are not there yet,
 * and Serena's configuration. `node prepare.js serena|logging`; `node prepare.js projects NAME …` is its own, as the
 * owner of the projects.
 */
import { dirname, join } from 'node:path'
import { thisMachine, type Machine } from './machine.ts'
import { dataFolder, node, owner, programsFolder, projectsFolder, projectsOnDisk, serenaFolder } from './places.ts'
import { git, prepareRepository } from './project.ts'
import { replaceFile } from './replace-file.ts'
import { languageServers, projectSettings, projectSettingsFile, serenaConfiguration, typescriptHome } from './serena.ts'
import { readSlot } from './slot.ts'
import { fullOf } from './space.ts'
import { kindOf } from './state.ts'

function folder({ files }: Machine, path: string, of: number, mode = 0o755): void {
  files.mkdir(path)
  files.chown(path, of, of)
  files.chmod(path, mode)
}

async function command(machine: Machine, program: string, args: string[], user?: number): Promise<void> {
  const result = await machine.run(program, args, user === undefined ? {} : { user })
  if (result.status !== 0) throw new Error(`${program} ${args[0]}: ${result.stderr.trim() || result.error}`)
}

async function makeProject(machine: Machine, name: string): Promise<void> {
  const { files } = machine
  const path = join(projectsFolder, name)
  if (files.exists(path)) return
  // Whole or not at all: one without the rest would never get it. Names with a dot are nobody's projects.
  const made = join(projectsFolder, `.${name}.new`)
  files.remove(made)
  files.mkdir(made)
  await git(machine, made, ['init', '--quiet', '--initial-branch=main'])
  await prepareRepository(machine, made)
  files.mkdir(dirname(join(made, projectSettingsFile)))
  files.write(join(made, projectSettingsFile), projectSettings(name))
  files.rename(made, path)
}

/** Serena's home belonged to others in earlier images. */
async function serenaHome(machine: Machine): Promise<void> {
  const { files } = machine
  const before = files.exists(serenaFolder) ? files.look(serenaFolder).uid : owner.serena
  folder(machine, serenaFolder, owner.serena, 0o700)
  // Links are changed, not followed.
  if (before !== owner.serena) await command(machine, 'chown', ['-R', '-h', '-P', `${owner.serena}:${owner.serena}`, serenaFolder])
}

async function prepareSerena(machine: Machine): Promise<void> {
  const { files } = machine
  const settings = readSlot(files)?.seed.serena
  if (!settings) throw new Error('the seed has no settings for Serena')
  folder(machine, projectsFolder, projectsOnDisk)
  await serenaHome(machine)
  // What lies in these two folders their owners can turn into links to anywhere: from here on with no more rights than theirs.
  const missing = settings.projects.map((project) => project.name).filter((name) => !files.exists(join(projectsFolder, name)))
  if (missing.length > 0)
    await command(machine, node, [join(programsFolder, 'prepare.js'), 'projects', ...missing], projectsOnDisk).catch((error: Error) => {
      // Those who have theirs need not wait for room.
      if (!fullOf(files).data) throw error
      machine.complain(`the data disk is full, a project is not made: ${error.message}`)
    })
  machine.become(owner.serena)
  // The server's own TypeScript, where Serena looks for it; a link, so that the image's version counts.
  const link = join(serenaFolder, typescriptHome)
  files.mkdir(dirname(link))
  files.remove(link)
  files.symlink(languageServers, link)
  const all = files
    .list(projectsFolder)
    .filter((name) => !name.startsWith('.') && files.look(join(projectsFolder, name)).kind === 'folder')
    .sort()
  const file = join(serenaFolder, 'serena_config.yml')
  const wanted = serenaConfiguration(settings, all)
  const before = kindOf(files, file) === 'file' ? files.read(file) : undefined
  if (before === wanted) return
  // Whole or not at all, as a disk may be full: then this slot has the wrong settings and does not start, but whoever had those of before does.
  if (before === undefined) files.remove(file)
  files.remove(`${file}.new`)
  replaceFile(files, file, wanted, 0o600)
}

export async function prepare(machine: Machine, [part, ...names]: readonly string[]): Promise<number> {
  switch (part) {
    case 'serena':
      machine.files.chmod(dataFolder, 0o755)
      await prepareSerena(machine)
      break
    case 'projects':
      for (const name of names) await makeProject(machine, name)
      break
    case 'logging':
      machine.files.chmod(dataFolder, 0o755)
      folder(machine, join(dataFolder, 'loki'), owner.loki, 0o700)
      folder(machine, join(dataFolder, 'grafana'), owner.grafana, 0o700)
      break
    default:
      throw new Error('usage: prepare.js serena|logging')
  }
  return 0
}

if (import.meta.main) process.exitCode = await prepare(thisMachine, process.argv.slice(2))
