/** `golden status`: what runs where, and how it is. */
import { setTimeout as delay } from 'node:timers/promises'
import { renderStatus } from '../rollout/render-status.ts'
import { readStatus } from '../rollout/status.ts'
import { openProxmox } from './open.ts'
import type { Verb } from './verb.ts'

/** Between two looks with `--watch`. */
const lookEveryMs = 3000

export const verb: Verb = {
  options: { watch: { type: 'boolean' } },
  optionHelp: { watch: 'go on looking, and tell what is new, until Ctrl-C' },
  async run({ flags, env, progress, signal, result }) {
    const { proxmox, site, folder } = await openProxmox(env, { progress, signal })
    try {
      for (let shown = ''; ; ) {
        const status = await readStatus({ site, folder, proxmox, signal })
        const text = renderStatus(status)
        if (text !== shown) result(flags.watch === true ? `${new Date().toISOString()}\n${text}` : text, status)
        shown = text
        if (flags.watch !== true) return status.healthy ? 0 : 3
        await delay(lookEveryMs, undefined, { signal })
      }
    } finally {
      proxmox.close()
    }
  },
}
