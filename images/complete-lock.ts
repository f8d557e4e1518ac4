/** What a bake gives back to the lock: every package that there is, as apt has decided. */
import { findLock, renderLock, writeLock, type Lock } from './lock.ts'

/**
 * @param baked the lock that was baked
 * @param versions of all packages in the image
 * @param warn told when the file can't be completed: the image is no worse for it
 * @returns whether it was
 */
export async function completeLock(
  folder: string,
  baked: Lock,
  versions: Readonly<Record<string, string>>,
  warn: (text: string) => void,
): Promise<boolean> {
  if (baked.packages === undefined || baked.packages.complete || Object.keys(versions).length === 0) return false
  try {
    const now = await findLock(folder)
    if (now === undefined || renderLock(now) !== renderLock(baked)) {
      warn('images.lock.json was changed while it was baked: it does not get the versions of all packages')
      return false
    }
    await writeLock(folder, { ...baked, packages: { ...baked.packages, complete: true, versions: { ...versions } } })
    return true
  } catch (error) {
    warn(`images.lock.json can't get the versions of all packages: ${error instanceof Error ? error.message : String(error)}`)
    return false
  }
}
