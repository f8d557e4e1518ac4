/** `golden rollback`: the old slot serves again, with its image, settings and secrets. */
import { planRollbacks, rollback, rollbackLines } from '../rollout/rollback.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import { describeRollout } from './rollout.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: '[GROUP …]',
  options: { plan: { type: 'boolean' } },
  optionHelp: { plan: 'say what would be done, and do nothing' },
  async run({ arguments: names, flags, env, progress, signal, result }) {
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      if (flags.plan === true) {
        const plan = await progress.step('look what there is', () => planRollbacks({ ...open, proxmox }, names))
        result(plan.flatMap(rollbackLines).join('\n'), { plan })
        return 0
      }
      const environment = await programEnvironment(open.site.engine, progress, signal)
      const groups = await rollback({ ...open, proxmox, environment, progress, signal }, names)
      result(groups.map(describeRollout).join('\n'), { changed: groups.some(({ outcome }) => outcome !== 'nothing'), groups })
      return 0
    } finally {
      proxmox.close()
    }
  },
}
