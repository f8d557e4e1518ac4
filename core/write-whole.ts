/** Files that others read while they are written. */
import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'

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
 * last one stays. A process that is killed leaves `PATH.….tmp`, which is in nobody's way.
 * @throws the system's error; the old file is as it was then, and nothing else is left
 */
export async function writeWhole(
  path: string,
  content: string | Uint8Array,
  { mode = 0o666, exactly = false, beforeReplacing }: WriteWholeOptions = {},
): Promise<void> {
  // Not by the process's id: in containers it is the same each time, and one that was killed may have left its file.
  const temporary = `${path}.${randomUUID()}.tmp`
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
