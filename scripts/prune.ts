/** `golden prune`: what nobody needs of images, bases and seeds goes. */
import { baseFingerprint, mayGoOn } from '../packer/plan.ts'
import { isNothing, pruneLines, type PruneOptions } from '../rollout/plan-prune.ts'
import { planPruning, prune } from '../rollout/prune.ts'
import { afterPlan, afterPrune } from './after.ts'
import { confirm } from './confirm.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import { pinsNow } from './pins-now.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  options: { plan: { type: 'boolean' }, yes: { type: 'boolean' }, 'old-slots': { type: 'boolean' }, all: { type: 'boolean' } },
  optionHelp: {
    plan: 'say what would be removed, and why the rest stays; remove nothing',
    yes: 'do not ask',
    'old-slots': 'the slots that rest, too: there is no rollback then',
    all: 'what a site keeps for itself, too (the newest images, the last of each channel, the base), because it is to go',
  },
  changes:
    'the Proxmox host: templates and seeds that nobody needs are removed; with --old-slots also the VMs of slots that rest, and their pins in deployment.json',
  examples: [
    ['npx golden prune', 'shows what goes, and asks'],
    ['npx golden prune --plan', 'what would go, and why the rest stays'],
    ['npx golden prune --old-slots --yes', 'no way back is needed'],
    ['npx golden prune --all', 'after the last destroy: no image is needed any more'],
  ],
  async run({ flags, env, progress, signal, result }) {
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      const how: PruneOptions = {
        wantedBase: baseFingerprint(open.site),
        mayBeBaking: (built) => mayGoOn(Date.parse(built), proxmox.now().getTime()),
        oldSlots: flags['old-slots'] === true,
        all: flags.all === true,
      }
      const words = ['prune', ...(how.oldSlots ? ['--old-slots'] : []), ...(how.all ? ['--all'] : [])].join(' ')
      const plan = await progress.step('look what there is', () => planPruning({ ...open, proxmox }, how))
      const lines = pruneLines(plan).join('\n')
      if (flags.plan === true) {
        result(lines, { plan }, afterPlan(words, !isNothing(plan)))
        return 0
      }
      if (isNothing(plan)) {
        result(lines, { plan, left: [] }, afterPrune(words, 0, how.all === true, await pinsNow(open.folder)))
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
        afterPrune(words, left.length, how.all === true, await pinsNow(open.folder)),
      )
      return left.length === 0 ? 0 : 3
    } finally {
      proxmox.close()
    }
  },
}
