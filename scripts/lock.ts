/** `golden lock`: container tags → digests, and the day, in images.lock.json. */
import { lockFile } from '../images/lock.ts'
import { updateLock } from '../images/resolve.ts'
import { openSite } from './open.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  async run({ env, progress, signal, result }) {
    const { site, folder } = await openSite(env)
    const { changes, packages } = await updateLock({ site, folder, progress, signal })
    const lines = changes.map(
      (change) =>
        `${change.service}: ${change.image}:${change.tag} ${change.from === undefined ? 'is' : `${change.from.slice(0, 19)}… →`} ${change.to.slice(0, 19)}…`,
    )
    if (packages !== undefined)
      lines.push(`packages of the distribution: ${packages.from === undefined ? '' : `${packages.from} → `}${packages.to}`)
    result(
      lines.length === 0
        ? 'Nothing to do: every tag still means the digest that is locked, and the packages are of today.'
        : `${lines.join('\n')}\nWritten to ${lockFile(folder)}. Next: "npx golden bake".`,
      { file: lockFile(folder), changes, ...(packages === undefined ? {} : { packages }) },
    )
    return 0
  },
}
