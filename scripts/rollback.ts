/** `golden rollback`: the old slot serves again, with its image, settings and secrets. */
import { Failure } from '../core/failure.ts'
import { planRollbacks, rollback, rollbackLines, type RollbackOptions } from '../rollout/rollback.ts'
import { afterPlan, afterRollback } from './after.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import { describeRollout } from './rollout.ts'
import { pinsNow } from './pins-now.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: '[GROUP …]',
  options: { plan: { type: 'boolean' }, state: { type: 'string' } },
  optionHelp: {
    plan: 'say what would be done, and do nothing',
    state: "now (default): the services' state as it is; before: as the old slot's image had left it",
  },
  changes: 'the Proxmox host: data disk and service address go back to the slot before. In the site folder deployment.json and state/',
  examples: [
    ['npx golden rollback --plan', 'every step'],
    ['npx golden rollback', 'all groups, with their state as it is now'],
    ['npx golden rollback serena --state before', "the services' state, too, as the old image had left it"],
  ],
  completes: { operands: 'groups', options: { state: ['now', 'before'] } },
  async run({ arguments: names, flags, env, progress, signal, result }) {
    const how = stateOf(flags.state)
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      if (flags.plan === true) {
        const plan = await progress.step('look what there is', () => planRollbacks({ ...open, proxmox, signal }, names, how))
        const words = ['rollback', ...names, ...(how.state === 'before' ? ['--state', 'before'] : [])]
        result(
          plan.flatMap(rollbackLines).join('\n'),
          { plan },
          afterPlan(
            words.join(' '),
            plan.some((one) => one.do !== 'nothing'),
          ),
        )
        return 0
      }
      const environment = await programEnvironment(open, ['engine'], progress, signal)
      const groups = await rollback({ ...open, proxmox, environment, progress, signal }, names, how)
      result(
        groups.map(describeRollout).join('\n'),
        { changed: groups.some(({ outcome }) => outcome !== 'nothing'), groups },
        afterRollback(groups, await pinsNow(open.folder)),
      )
      return 0
    } finally {
      proxmox.close()
    }
  },
}

/** @throws Failure `usage` */
function stateOf(flag: unknown): RollbackOptions {
  if (flag === undefined) return {}
  if (flag === 'now' || flag === 'before') return { state: flag }
  throw new Failure('usage', `--state takes now or before, not "${String(flag)}"`, 'Run "npx golden rollback --help".')
}
