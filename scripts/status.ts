/** `golden status`: what runs where, and how it is. */
import { readStatus, renderStatus } from '../rollout/status.ts'
import { openProxmox } from './open.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  async run({ env, progress, signal, result }) {
    const { proxmox, site, folder } = await openProxmox(env, { progress, signal })
    try {
      const status = await readStatus({ site, folder, proxmox, signal })
      result(renderStatus(status), status)
      return status.healthy ? 0 : 3
    } finally {
      proxmox.close()
    }
  },
}
