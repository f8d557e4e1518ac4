/** `golden bake`: an image of the pinned inputs, or nothing to do. */
import { cacheFolder } from '../core/folders.ts'
import { bake, planBaking } from '../packer/bake.ts'
import { bakeLines } from '../packer/preview.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  options: { plan: { type: 'boolean' } },
  optionHelp: { plan: 'say what would be done, and do nothing' },
  async run({ flags, env, progress, signal, result }) {
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      if (flags.plan === true) {
        const preview = await planBaking({ ...open, proxmox, cacheDir: cacheFolder(env), progress })
        result(bakeLines(open.site, preview).join('\n'), { preview })
        return 0
      }
      const environment = await programEnvironment(open.site.engine, progress, signal)
      const { outcome, template, completed } = await bake({ ...open, proxmox, environment, cacheDir: cacheFolder(env), progress, signal })
      const what = `${template.name} (${template.vmid}, fingerprint ${template.fingerprint.slice(0, 12)})`
      result(
        outcome === 'unchanged'
          ? `Nothing to do: ${what} was baked from the same inputs.`
          : `Baked ${what}.${completed ? '\nimages.lock.json says by now what all of its packages are: keep it with site.ts.' : ''}\nNext: "npx golden deploy".`,
        { outcome, template, lockCompleted: completed },
      )
      return 0
    } finally {
      proxmox.close()
    }
  },
}
