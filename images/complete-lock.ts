/** What a bake gives back to the lock: every package that there is, as apt has decided. */
import { findLock, renderLock, writeLock, type Lock } from './lock.ts'
import { readManifest } from './manifest.ts'
import type { TemplateRecord } from './record.ts'

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

/**
 * The same by an image of this very lock that is there already: its bake was ended before it got that far, or the lock was
 * made again since. Without that `golden lock` would never look for anything newer of what the lock has no word of.
 * @param image as its record has it: a manifest of another bake of the same inputs is not its own
 */
export async function completeFromManifest(
  folder: string,
  lock: Lock,
  { name, manifest, built }: { readonly name: string } & Pick<TemplateRecord, 'manifest' | 'built'>,
  warn: (text: string) => void,
): Promise<boolean> {
  if (lock.packages === undefined || lock.packages.complete) return false
  const found = await readManifest(folder, name, manifest)
  if (found.ok && found.manifest.built === built) return completeLock(folder, lock, found.manifest.packages, warn)
  warn(
    `images.lock.json can't get the versions of all packages of ${name}, and updates of those that it lacks go unnoticed: its manifest ${found.ok ? 'is that of another bake of the same inputs' : found.problem}. With the manifest in the site folder "npx golden bake" completes the lock; without it "npx golden lock --packages" and a bake do, once the archives have changed.`,
  )
  return false
}
