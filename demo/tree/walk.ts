/** `node demo/tree/walk.ts FOLDER`: each name below it as a line of JSON, `[path, entry]`. Runs where a disk is mounted. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Entry } from './entry.ts'
import { layerNames } from './layer-names.ts'

const [root = ''] = process.argv.slice(2)

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

async function entryOf(path: string): Promise<Entry> {
  const stat = await lstat(path)
  const { uid, gid } = stat
  const entry = (kind: Entry['kind'], content = ''): Entry => ({ kind, mode: stat.mode & 0o7777, uid, gid, content })
  if (stat.isFile()) return entry('file', `${stat.size} ${await hashOf(path)}`)
  if (stat.isDirectory()) return entry('folder')
  if (stat.isSymbolicLink()) return entry('link', await readlink(path))
  if (stat.isCharacterDevice() || stat.isBlockDevice()) return entry('device', String(stat.rdev))
  return entry('other')
}

/** Docker's store of layers, if there is one. */
async function layers(): Promise<(path: string) => string> {
  const store = 'var/lib/docker/image/overlay2/layerdb/sha256'
  const chains = await readdir(join(root, store)).catch(() => [])
  const named = await Promise.all(
    chains.map(async (chain) => [(await readFile(join(root, store, chain, 'cache-id'), 'utf8')).trim(), chain] as const),
  )
  return layerNames(new Map(named))
}

const named = await layers()

async function walk(path: string): Promise<void> {
  for (const name of (await readdir(join(root, path))).sort()) {
    const below = `${path}/${name}`
    const entry = await entryOf(join(root, below))
    process.stdout.write(`${JSON.stringify([named(below), entry])}\n`)
    if (entry.kind === 'folder') await walk(below)
  }
}
await walk('')
