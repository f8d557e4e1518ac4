/** `golden prune`: what nobody needs of images, bases and seeds goes. */
import { baseFingerprint, mayGoOn } from '../packer/plan.ts'
import { isNothing, pruneLines, type PruneOptions } from '../rollout/plan-prune.ts'
import { planPruning, prune } from '../rollout/prune.ts'
import { afterPlan } from './after.ts'
import { step } from './next-step.ts'
import { confirm } from './confirm.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  options: { plan: { type: 'boolean' }, yes: { type: 'boolean' }, 'old-slots': { type: 'boolean' } },
  optionHelp: {
    plan: 'say what would be removed, and why the rest stays; remove nothing',
    yes: 'do not ask',
    'old-slots': 'the slots that rest, too: there is no rollback then',
  },
  changes:
    'the Proxmox host: templates and seeds that nobody needs are removed; with --old-slots also the VMs of slots that rest, and their pins in deployment.json',
  examples: [
    ['npx golden prune', 'shows what goes, and asks'],
    ['npx golden prune --plan', 'what would go, and why the rest stays'],
    ['npx golden prune --old-slots --yes', 'no way back is needed'],
  ],
  async run({ flags, env, progress, signal, result }) {
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      const how: PruneOptions = {
        wantedBase: baseFingerprint(open.site),
        mayBeBaking: (built) => mayGoOn(Date.parse(built), proxmox.now().getTime()),
        oldSlots: flags['old-slots'] === true,
      }
      const plan = await progress.step('look what there is', () => planPruning({ ...open, proxmox }, how))
      const lines = pruneLines(plan).join('\n')
      if (flags.plan === true) {
        result(lines, { plan }, afterPlan(how.oldSlots === true ? 'prune --old-slots' : 'prune', !isNothing(plan)))
        return 0
      }
      if (isNothing(plan)) {
        result(lines, { plan, left: [] }, [])
        return 0
      }
      if (flags.yes !== true) {
        progress.info(lines)
        await confirm('This removes them for good. Type yes: ', 'yes', 'Say --yes to go ahead without a question.')
      }
      const environment = plan.oldSlots.length === 0 ? {} : await programEnvironment(open, ['engine'], progress, signal)
      const { plan: done, left } = await prune({ ...open, proxmox, environment, progress, signal }, how, plan)
      const count = (number: number, one: string): string => `${number} ${one}${number === 1 ? '' : 's'}`
      const gone = [
        ...(done.oldSlots.length === 0 ? [] : [count(done.oldSlots.length, 'slot')]),
        count(done.remove.length, 'template'),
        count(done.seeds.length, 'seed'),
      ]
      result(
        [`Removed ${gone.join(', ')}.`, ...left.map(({ why }) => why)].join('\n'),
        { plan: done, left },
        left.length === 0 ? [] : [step('prune', 'once that is mended: it goes on')],
      )
      return left.length === 0 ? 0 : 3
    } finally {
      proxmox.close()
    }
  },
}
