/**
 * golden-seed.service: copies the folder `golden/` of the seed CD to memory and renders this slot's configuration.
 * Without such a folder (the VM in which the image is baked) nothing is rendered, and all other units stay quiet.
 */
import { hkdfSync, randomBytes } from 'node:crypto'
import { dirname, join, relative } from 'node:path'
import { seedFiles } from '../contract/files.ts'
import type { ImageRecord } from '../contract/record.ts'
import { thisMachine, type Files, type Machine } from './machine.ts'
import { imageRecordFile, owner, probeFile, run, seedFolder, sessionKeyFile, type RenderedFile } from './places.ts'
import { dockerSettings, parseSeed, renderFiles, type SeedContents } from './render.ts'
import { cdHost, findSeedCd } from './seed-cd.ts'

const dockerSettingsFile = '/etc/docker/daemon.json'

export async function boot(machine: Machine): Promise<number> {
  const { files } = machine
  files.mkdir(run, 0o755)
  files.chmod(run, 0o755)
  const device = findSeedCd(await cdHost(machine))
  if (device === undefined) {
    machine.say('no seed CD: nothing to do')
    return 0
  }
  if (!(await copySeed(machine, device))) {
    machine.say('the CD has no folder golden: nothing to do')
    return 0
  }
  const contents = readSeed(files, seedFolder)
  const seed = parseSeed(contents['seed.json'] ?? '')
  const image = JSON.parse(files.read(imageRecordFile)) as ImageRecord
  for (const file of renderFiles(seed, image, contents)) write(files, file)
  // Of this boot only, where they are random; golden-auth and nginx have read them when this runs once more.
  if (!files.exists(probeFile)) write(files, { path: probeFile, content: randomBytes(24).toString('base64url'), mode: 0o400 })
  if (!files.exists(sessionKeyFile))
    write(files, { path: sessionKeyFile, content: sessionKey(contents[seedFiles.peerKey]), mode: 0o400, owner: owner.nginx })
  // On the root disk, where dockerd looks for them; it starts after this (golden-seed.service).
  const settings = dockerSettings(files.read(dockerSettingsFile), seed)
  if (settings !== undefined) replace(files, dockerSettingsFile, settings)
  machine.say(`release ${seed.release}: slot ${seed.slot} of ${seed.group}, ${seed.roles.join(' and ')}`)
  return 0
}

/** The same in both slots, so that a session that was opened in one goes on in the other. Seeds of earlier versions have no key for it. */
export function sessionKey(peerKey: string | undefined): string {
  const derived = (from: string): Uint8Array => new Uint8Array(hkdfSync('sha256', from, '', "golden: the session keeper's seal", 32))
  return Buffer.from(peerKey === undefined ? randomBytes(32) : derived(peerKey.trim())).toString('base64url')
}

/** False when the CD is not one of ours. The CD is not left mounted. */
async function copySeed(machine: Machine, device: string): Promise<boolean> {
  const { files } = machine
  const mountPoint = join(run, 'cd')
  files.mkdir(mountPoint, 0o700)
  await command(machine, 'mount', ['-t', 'iso9660', '-o', 'ro,nosuid,nodev,noexec', device, mountPoint])
  try {
    const source = join(mountPoint, 'golden')
    if (!files.exists(join(source, 'seed.json'))) return false
    files.mkdir(seedFolder, 0o700)
    files.copy(source, seedFolder)
    close(files, seedFolder)
    return true
  } finally {
    await command(machine, 'umount', [mountPoint])
  }
}

/** ISO 9660 has no owners worth keeping: root only. */
function close(files: Files, path: string): void {
  const isFolder = files.look(path).kind === 'folder'
  files.chown(path, 0, 0)
  files.chmod(path, isFolder ? 0o700 : 0o600)
  if (isFolder) for (const name of files.list(path)) close(files, join(path, name))
}

function readSeed(files: Files, folder: string): SeedContents {
  const contents: Record<string, string> = {}
  const read = (path: string): void => {
    const { kind } = files.look(path)
    if (kind === 'folder') for (const name of files.list(path)) read(join(path, name))
    else if (kind === 'file') contents[relative(folder, path)] = files.read(path)
  }
  read(folder)
  return contents
}

/** Whole or not at all: after a loss of power it is read again. */
function replace(files: Files, path: string, content: string): void {
  files.write(`${path}.new`, content, 0o644)
  files.rename(`${path}.new`, path)
}

function write(files: Files, file: RenderedFile): void {
  const mode = file.mode ?? 0o644
  const of = file.owner ?? owner.root
  folderFor(files, dirname(file.path), of, (mode & 0o044) !== 0)
  files.write(file.path, file.content, 0o600)
  files.chown(file.path, of, of)
  files.chmod(file.path, mode)
}

/** Folders between /run/golden and the file get the file's owner; open ones belong to root. */
function folderFor(files: Files, path: string, of: number, open: boolean): void {
  if (path === run || files.exists(path)) return
  folderFor(files, dirname(path), of, open)
  files.mkdir(path)
  files.chown(path, open ? owner.root : of, open ? owner.root : of)
  files.chmod(path, open || path === `${run}/ssh` ? 0o755 : 0o700)
}

async function command(machine: Machine, program: string, args: string[]): Promise<void> {
  const result = await machine.run(program, args)
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${result.stderr.trim() || result.error}`)
}

if (import.meta.main) process.exitCode = await boot(thisMachine)
