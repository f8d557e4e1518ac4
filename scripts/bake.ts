/** `golden bake`: an image of the pinned inputs, or nothing to do. */
import { lookFirst } from '../doctor/first.ts'
import { cacheFolder } from '../core/folders.ts'
import { bake, planBaking } from '../packer/bake.ts'
import { bakeLines } from '../packer/preview.ts'
import { afterImage, afterPlan } from './after.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import { pinsNow } from './pins-now.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  options: { plan: { type: 'boolean' } },
  optionHelp: { plan: 'say what would be done, and do nothing' },
  changes:
    "the Proxmox host: a template in the site's pool, and its base the first time; the VM that it is made in is gone afterwards. In the site folder records/, and the packages in images.lock.json",
  examples: [
    ['npx golden bake', 'an image of what site.ts and images.lock.json say'],
    ['npx golden bake --plan', 'whether there would be anything to bake, and why'],
  ],
  async run({ flags, env, progress, signal, result }) {
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      await lookFirst('bake', { ...open, proxmox, env, progress, signal })
      if (flags.plan === true) {
        const preview = await planBaking({ ...open, proxmox, cacheDir: cacheFolder(env), progress })
        const { kind } = preview.plan
        result(bakeLines(open.site, preview).join('\n'), { preview }, afterPlan('bake', kind === 'bake' || kind === 'finish'))
        return 0
      }
      const environment = await programEnvironment(open, ['packer'], progress, signal)
      const { outcome, template, state, completed } = await bake({
        ...open,
        proxmox,
        environment,
        cacheDir: cacheFolder(env),
        progress,
        signal,
      })
      const what = `${template.name} (${template.vmid}, fingerprint ${template.fingerprint.slice(0, 12)})`
      const first = outcome === 'unchanged' ? `Nothing to do: ${what} was baked from the same inputs.` : `Baked ${what}.`
      result(
        completed ? `${first}\nimages.lock.json says by now what all of its packages are: keep it with site.ts.` : first,
        { outcome, template, lockCompleted: completed },
        afterImage({ ...template, verification: state.verification, channel: state.channel }, open.site, await pinsNow(open.folder)),
      )
      return 0
    } finally {
      proxmox.close()
    }
  },
}
