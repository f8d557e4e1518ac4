/** Files that others read while they are written. */
import { createHash, randomUUID } from 'node:crypto'
import { open, readdir, rename, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { identityOf } from './process-identity.ts'

export interface WriteWholeOptions {
  /** Of a file that is made anew, before the umask: 0o600 for what is secret. */
  readonly mode?: number
  /** That mode whatever the umask, as of a file of somebody else's that stays theirs. */
  readonly exactly?: boolean
  /** Asked when the new file is on the disk: what it throws leaves the old one as it is. */
  readonly beforeReplacing?: () => Promise<void>
}

/**
 * Whoever reads sees the old file or the new one, whole, after a power cut too. Several processes may write at once: the
 * last one stays. A process that is killed leaves `PATH.….tmp`, which is in nobody's way: whoever writes PATH next on that
 * computer removes it.
 * @throws the system's error; the old file is as it was then, and nothing else is left
 */
export async function writeWhole(
  path: string,
  content: string | Uint8Array,
  { mode = 0o666, exactly = false, beforeReplacing }: WriteWholeOptions = {},
): Promise<void> {
  await removeHalves(path)
  // Not by the process's number alone: in containers it is the same each time.
  const temporary = `${path}.${await writerOf(process.pid)}.${randomUUID().slice(0, 8)}.tmp`
  try {
    const handle = await open(temporary, 'wx', mode)
    try {
      if (exactly) await handle.chmod(mode)
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await beforeReplacing?.()
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** `COMPUTER-PID-BEGIN`, the first and the last as digests. */
async function writerOf(pid: number): Promise<string> {
  const { host, started } = await identityOf(pid)
  return `${short(host)}-${pid}-${short(started)}`
}

const short = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8)

/** Of processes of this computer that are gone. A folder that can't be read is the writing's own failure. */
async function removeHalves(path: string): Promise<void> {
  const folder = dirname(path)
  const begin = `${basename(path)}.`
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(begin)) continue
    const [, writer, host, pid] = /^((\w{8})-(\d+)-\w{8})\.\w{8}\.tmp$/.exec(name.slice(begin.length)) ?? []
    if (host !== short(hostname()) || writer === (await writerOf(Number(pid)))) continue
    await rm(join(folder, name), { force: true })
  }
}
