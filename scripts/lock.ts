/** `golden lock`: what goes into the image, resolved and written down; or what would be new. */
import { cacheFolder } from '../core/folders.ts'
import { lockFile } from '../images/lock.ts'
import { changeLines, type LockChange } from '../images/lock-changes.ts'
import { updateLock, type LockUpdate } from '../images/resolve.ts'
import { loadSite, siteFolder } from '../settings/load.ts'
import { afterLock } from './after.ts'
import type { Site } from '../settings/site.ts'
import { newestOf, wantedPins } from '../tools/wanted.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  options: { check: { type: 'boolean' }, base: { type: 'boolean' }, packages: { type: 'boolean' } },
  optionHelp: {
    check: 'say what would be new, and write nothing; exit code 3 if there is anything',
    base: "take the distribution's newest cloud image, if site.ts pins none",
    packages: 'take the packages as they are now, and let the next bake say which there are',
  },
  changes: 'images.lock.json in the site folder; with --check nothing',
  examples: [
    ['npx golden lock', 'take what is newer by now'],
    ['npx golden lock --check', 'exit code 3 if there is anything newer'],
    ['npx golden lock --base', "the distribution's newest cloud image, too"],
  ],
  async run({ flags, env, progress, signal, result }) {
    const folder = siteFolder(env)
    const check = flags.check === true
    const site = await loadSite(folder)
    const update = await updateLock({
      site,
      folder,
      cacheDir: cacheFolder(env),
      tools: toolVersions(site),
      progress,
      signal,
      check,
      newBase: flags.base === true,
      again: flags.packages === true,
    })
    result(
      describe(update, lockFile(folder), check),
      { file: lockFile(folder), changes: update.changes, notYet: update.notYet, written: update.different && !check },
      afterLock(update.different, check),
    )
    return check && update.different ? 3 : 0
  },
}

/** What bakes and what deploys. */
export function toolVersions({ programs }: Pick<Site, 'programs'>): Record<string, string> {
  const pins = wantedPins(programs)
  const names = ['packer', 'packer-plugin-proxmox', 'tofu', 'terraform-provider-proxmox'] as const
  return Object.fromEntries(names.map((name) => [name, newestOf(pins[name])]))
}

/** So many packages are told one by one; the file has all. */
const most = 20

function describe({ changes, different, notYet }: LockUpdate, file: string, check: boolean): string {
  const waiting =
    notYet.length === 0
      ? ''
      : `\nNewer in the archive, and not in its snapshots yet: ${notYet.map(({ name, to }) => `${name} ${to}`).join(', ')}. Run it again in some hours.`
  if (!different) return `Nothing new: what is locked is what there is.${waiting}`
  const isPackage = ({ what }: LockChange): boolean => what === 'package'
  const packages = changeLines(changes.filter(isPackage))
  const lines = [
    ...changeLines(changes.filter((change) => !isPackage(change))),
    ...packages.slice(0, most),
    ...(packages.length > most ? [`… and ${packages.length - most} more packages`] : []),
    ...(changes.length === 0 ? ['nothing newer; the next bake says anew which packages there are'] : []),
  ]
  return `${lines.join('\n')}\n${check ? 'Nothing was written' : `Written to ${file}`}.${waiting}`
}
