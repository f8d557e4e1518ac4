/** `golden bake`: an image of the pinned inputs, or nothing to do. */
import { cacheFolder } from '../core/folders.ts'
import { bake } from '../packer/bake.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  async run({ env, progress, signal, result }) {
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      const environment = await programEnvironment(open.site.engine, progress, signal)
      const { outcome, template } = await bake({ ...open, proxmox, environment, cacheDir: cacheFolder(env), progress, signal })
      const what = `${template.name} (${template.vmid}, fingerprint ${template.fingerprint.slice(0, 12)})`
      result(
        outcome === 'unchanged' ? `Nothing to do: ${what} was baked from the same inputs.` : `Baked ${what}.\nNext: "npx golden deploy".`,
        { outcome, template },
      )
      return 0
    } finally {
      proxmox.close()
    }
  },
}
