/** A folder for a moment, for programs that take files only. What processes that were killed have left of theirs goes with the next one's. */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { isTaken } from './process-identity.ts'

const prefix = 'golden-scratch-'

/** Where a PID means this process: another container may have the same folder for its temporary files. */
const pidsOf = async (): Promise<string> =>
  createHash('sha256')
    .update(`${hostname()} ${await readlink('/proc/self/ns/pid').catch(() => '')}`)
    .digest('hex')
    .slice(0, 8)

const swept = new Set<string>()

/** The folder is gone when this ends, whatever `use` comes to. */
export async function inScratch<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const parent = tmpdir()
  const own = `${prefix}${await pidsOf()}-`
  if (!swept.has(parent)) {
    swept.add(parent)
    await sweep(parent, own)
  }
  const folder = await mkdtemp(join(parent, `${own}${process.pid}-`))
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function sweep(parent: string, own: string): Promise<void> {
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.startsWith(own)) continue
    const pid = Number(/^\d+/.exec(name.slice(own.length))?.[0] ?? Number.NaN)
    if (Number.isNaN(pid) || (await isTaken(pid))) continue
    // Somebody else's on this computer stays.
    await rm(join(parent, name), { recursive: true, force: true }).catch(() => {})
  }
}
