/** `golden status`: what runs where, and how it is. */
import { setTimeout as delay } from 'node:timers/promises'
import { renderStatus } from '../rollout/render-status.ts'
import { readStatus, type SiteStatus } from '../rollout/status.ts'
import { afterStatus } from './after.ts'
import { openProxmox } from './open.ts'
import type { Verb } from './verb.ts'

/** Between two looks with `--watch`. */
const lookEveryMs = 3000

export const verb: Verb = {
  options: { watch: { type: 'boolean' } },
  optionHelp: { watch: 'go on looking, and tell what is new, until Ctrl-C' },
  changes: 'nothing',
  examples: [
    ['npx golden status', 'exit code 3 if anything is not well'],
    ['npx golden status --watch', 'go on looking'],
    ['npx golden status --json', 'for programs'],
  ],
  async run({ flags, env, progress, signal, result }) {
    const { proxmox, site, folder } = await openProxmox(env, { progress, signal })
    const look = (): Promise<SiteStatus> => readStatus({ site, folder, proxmox, signal })
    try {
      if (flags.watch !== true) {
        const status = await look()
        result(renderStatus(status), status, afterStatus(status))
        return exitCode(status)
      }
      return await watch(look, signal, (text, status) => result(`${new Date().toISOString()}\n${text}`, status))
    } finally {
      proxmox.close()
    }
  },
}

const exitCode = ({ healthy }: SiteStatus): number => (healthy ? 0 : 3)

/** Until it is asked to end, which is no failure of it. @param tell is told what differs from the look before */
async function watch(
  look: () => Promise<SiteStatus>,
  signal: AbortSignal,
  tell: (text: string, status: SiteStatus) => void,
): Promise<number> {
  let code = 0
  try {
    for (let shown = ''; ; ) {
      const status = await look()
      code = exitCode(status)
      const text = renderStatus(status)
      if (text !== shown) tell(text, status)
      shown = text
      await delay(lookEveryMs, undefined, { signal })
    }
  } catch (error) {
    if (signal.aborted) return code
    throw error
  }
}
