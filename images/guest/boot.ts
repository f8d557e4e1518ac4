/**
 * golden-seed.service: copies the folder `golden/` of the seed CD to memory and renders this slot's configuration.
 * Without such a folder (the VM in which the image is baked) nothing is rendered, and all other units stay quiet.
 */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { ImageRecord } from '../contract/record.ts'
import { imageRecordFile, owner, probeFile, run, seedFolder, sessionKeyFile, type RenderedFile } from './places.ts'
import { dockerSettings, parseSeed, renderFiles, type SeedContents } from './render.ts'
import { findSeedCd } from './seed-cd.ts'

const dockerSettingsFile = '/etc/docker/daemon.json'

function main(): void {
  mkdirSync(run, { recursive: true, mode: 0o755 })
  chmodSync(run, 0o755)
  const device = findSeedCd()
  if (device === undefined) {
    console.log('no seed CD: nothing to do')
    return
  }
  if (!copySeed(device)) {
    console.log('the CD has no folder golden: nothing to do')
    return
  }
  const contents = readSeed(seedFolder)
  const seed = parseSeed(contents['seed.json'] ?? '')
  const image = JSON.parse(readFileSync(imageRecordFile, 'utf8')) as ImageRecord
  for (const file of renderFiles(seed, image, contents)) write(file)
  // Of this boot only; golden-auth and nginx have read them when this runs once more.
  if (!existsSync(probeFile)) write({ path: probeFile, content: randomBytes(24).toString('base64url'), mode: 0o400 })
  if (!existsSync(sessionKeyFile))
    write({ path: sessionKeyFile, content: randomBytes(32).toString('base64url'), mode: 0o400, owner: owner.nginx })
  // On the root disk, where dockerd looks for them; it starts after this (golden-seed.service).
  const settings = dockerSettings(readFileSync(dockerSettingsFile, 'utf8'), seed)
  if (settings !== undefined) replace(dockerSettingsFile, settings)
  console.log(`release ${seed.release}: slot ${seed.slot} of ${seed.group}, ${seed.roles.join(' and ')}`)
}

/** False when the CD is not one of ours. The CD is not left mounted. */
function copySeed(device: string): boolean {
  const mountPoint = join(run, 'cd')
  mkdirSync(mountPoint, { recursive: true, mode: 0o700 })
  command('mount', ['-t', 'iso9660', '-o', 'ro,nosuid,nodev,noexec', device, mountPoint])
  try {
    const source = join(mountPoint, 'golden')
    if (!existsSync(join(source, 'seed.json'))) return false
    mkdirSync(seedFolder, { recursive: true, mode: 0o700 })
    cpSync(source, seedFolder, { recursive: true })
    close(seedFolder)
    return true
  } finally {
    command('umount', [mountPoint])
  }
}

/** ISO 9660 has no owners worth keeping: root only. */
function close(path: string): void {
  const isFolder = statSync(path).isDirectory()
  chownSync(path, 0, 0)
  chmodSync(path, isFolder ? 0o700 : 0o600)
  if (isFolder) for (const name of readdirSync(path)) close(join(path, name))
}

function readSeed(folder: string): SeedContents {
  const contents: Record<string, string> = {}
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) contents[relative(folder, path)] = readFileSync(path, 'utf8')
  }
  return contents
}

/** Whole or not at all: after a loss of power it is read again. */
function replace(path: string, content: string): void {
  writeFileSync(`${path}.new`, content, { mode: 0o644 })
  renameSync(`${path}.new`, path)
}

function write(file: RenderedFile): void {
  const mode = file.mode ?? 0o644
  const of = file.owner ?? owner.root
  folderFor(dirname(file.path), of, (mode & 0o044) !== 0)
  writeFileSync(file.path, file.content, { mode: 0o600 })
  chownSync(file.path, of, of)
  chmodSync(file.path, mode)
}

/** Folders between /run/golden and the file get the file's owner; open ones belong to root. */
function folderFor(path: string, of: number, open: boolean): void {
  if (path === run || existsSync(path)) return
  folderFor(dirname(path), of, open)
  mkdirSync(path)
  chownSync(path, open ? owner.root : of, open ? owner.root : of)
  chmodSync(path, open || path === `${run}/ssh` ? 0o755 : 0o700)
}

function command(program: string, args: string[]): void {
  const result = spawnSync(program, args, { encoding: 'utf8' })
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${result.stderr.trim() || result.error?.message}`)
}

main()
