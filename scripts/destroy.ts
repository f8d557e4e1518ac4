/** `golden destroy`: the VMs go, the data stays in its depots. */
import { destroy, planDestruction, type DestroyedGroup } from '../rollout/destroy.ts'
import { destructionLines } from '../rollout/plan-destroy.ts'
import { afterDestroy, afterPlan } from './after.ts'
import { confirm } from './confirm.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: '[GROUP …]',
  options: { plan: { type: 'boolean' }, yes: { type: 'boolean' } },
  optionHelp: { plan: 'say what would be done, and do nothing', yes: 'do not ask' },
  changes:
    'the Proxmox host: VMs and seeds of the groups are removed, data disks go back into their depots. In the site folder deployment.json and state/',
  examples: [
    ['npx golden destroy', 'all groups; shows what goes, and asks'],
    ['npx golden destroy logging --yes', 'one of them, without a question'],
    ['npx golden destroy --plan', 'only say what would be done'],
  ],
  completes: { operands: 'groups' },
  async run({ arguments: names, flags, env, progress, signal, result }) {
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      const only = names.length === 0 ? undefined : names
      // Nobody is asked about what can't be done.
      const plan = await progress.step('look what there is', () => planDestruction({ ...open, proxmox }, only))
      const lines = plan.flatMap(destructionLines)
      if (flags.plan === true) {
        result(
          lines.join('\n'),
          { plan },
          afterPlan(
            ['destroy', ...names].join(' '),
            plan.some(({ exists }) => exists),
          ),
        )
        return 0
      }
      const what = names.length === 0 ? `all VMs of site ${open.site.name}` : `the VMs of ${names.join(', ')}`
      if (flags.yes !== true) {
        progress.info(lines.join('\n'))
        await confirm(`This removes ${what}; the data disks stay. Type yes: `, 'yes', 'Say --yes to go ahead without a question.')
      }
      const environment = await programEnvironment(open, ['engine'], progress, signal)
      const groups = await destroy({ ...open, proxmox, environment, progress, signal }, only)
      const ended = groups.map(
        (group) => `${group.group}: ${group.outcome === 'absent' ? 'there was no VM' : 'destroyed'}; ${aboutData(group)}`,
      )
      result(ended.join('\n'), { groups }, afterDestroy(groups))
      return 0
    } finally {
      proxmox.close()
    }
  },
}

function aboutData({ dataDisk, data }: DestroyedGroup): string {
  switch (dataDisk) {
    case 'kept':
      return `its data is kept: ${data?.volume ?? ''} in depot ${data?.depot ?? ''}`
    case 'none':
      return 'it has no data'
    case 'missing':
      return 'its data disk is MISSING, neither in its depot nor in a slot'
    case 'several':
      return 'its depot has more than one disk, and nobody can say which one is the data'
  }
}
