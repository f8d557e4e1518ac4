/** `golden rollout`: what site.ts says by now, and the newest image, take over from what runs. */
import { lookFirst } from '../doctor/first.ts'
import { rolloutLines } from '../rollout/plan-rollout.ts'
import { planRollouts, rollout, type RolledOutGroup } from '../rollout/rollout.ts'
import { afterPlan, afterRollout } from './after.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: '[GROUP …]',
  options: { plan: { type: 'boolean' }, image: { type: 'string' } },
  optionHelp: { plan: 'say what would be done, and do nothing', image: 'the image that is to run, by name or VMID (default: the newest)' },
  changes:
    'the Proxmox host: the VM of the slot that rests is made anew, data disk and service address go to it, and the slot before is kept, shut down. In the site folder deployment.json and state/',
  examples: [
    ['npx golden rollout --plan', 'every step, and what changes'],
    ['npx golden rollout', 'all groups, one after the other'],
    ['npx golden rollout serena --image 9004', 'one group, and not the newest image'],
  ],
  completes: { operands: 'groups' },
  async run({ arguments: names, flags, env, progress, signal, result }) {
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      await lookFirst('rollout', { ...open, proxmox, env, progress, signal })
      const what = { ...(names.length === 0 ? {} : { only: names }), ...(typeof flags.image === 'string' ? { image: flags.image } : {}) }
      if (flags.plan === true) {
        const plan = await planRollouts({ ...open, ...what, proxmox, progress, signal })
        const words = ['rollout', ...names, ...(typeof flags.image === 'string' ? ['--image', flags.image] : [])]
        result(
          plan.flatMap((one) => rolloutLines(one, open.site.rollout.soakMinutes)).join('\n'),
          { plan },
          afterPlan(
            words.join(' '),
            plan.some((one) => one.do !== 'nothing'),
          ),
        )
        return 0
      }
      const environment = await programEnvironment(open, ['engine'], progress, signal)
      const groups = await rollout({ ...open, ...what, proxmox, environment, progress, signal })
      const changed = groups.some(({ outcome }) => outcome !== 'nothing')
      result(groups.map(describeRollout).join('\n'), { changed, groups }, afterRollout(groups))
      return 0
    } finally {
      proxmox.close()
    }
  },
}

/** A line for a group. */
export function describeRollout({ group, outcome, from, slot, image, parts }: RolledOutGroup): string {
  if (outcome === 'nothing') return `${group}: nothing to do, slot ${slot} serves, image ${image}`
  if (outcome === 'finished') return `${group}: an earlier run is finished, slot ${slot} serves, image ${image}`
  const seconds = parts.reduce((sum, { ms }) => sum + ms, 0) / 1000
  return `${group}: slot ${slot} has taken over from ${from} in ${seconds.toFixed(1)} s, image ${image}`
}
