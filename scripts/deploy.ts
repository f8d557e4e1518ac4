/** `golden deploy`: pins the newest image for a first slot, then applies the stacks. */
import { lookFirst } from '../doctor/first.ts'
import { deploy, planDeployment } from '../rollout/deploy.ts'
import { deploymentLines } from '../rollout/plan-deploy.ts'
import { afterDeploy, afterPlan } from './after.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  options: { plan: { type: 'boolean' } },
  optionHelp: { plan: 'say what would be done, and do nothing' },
  changes:
    'the Proxmox host: seeds, VMs and their firewall rules; a data disk is made if there never was one, or moves from its depot into the slot. In the site folder deployment.json and state/',
  examples: [
    ['npx golden deploy', 'the first time, and whenever something of it was lost'],
    ['npx golden deploy --plan', 'only say what would be done'],
  ],
  async run({ flags, env, progress, signal, result }) {
    const { proxmox, ...open } = await openProxmox(env, { progress, signal })
    try {
      await lookFirst('deploy', { ...open, proxmox, env, progress, signal })
      if (flags.plan === true) {
        const plan = await planDeployment({ ...open, proxmox, progress })
        const isMade = plan.groups.some(({ vm, seed, data }) => vm.do === 'make' || seed.do === 'upload' || data.do !== 'keep')
        result(deploymentLines(plan).join('\n'), { plan }, afterPlan('deploy', isMade))
        return 0
      }
      const environment = await programEnvironment(open, ['engine'], progress, signal)
      const groups = await deploy({ ...open, proxmox, environment, progress, signal })
      const changed = groups.some((group) => group.outcome === 'deployed')
      const lines = groups.map(
        (group) =>
          `${group.group}: ${group.outcome === 'unchanged' ? 'nothing to do' : 'deployed'}, slot ${group.slot}, image ${group.image.name}${group.differences.map((difference) => `\n  ${difference}`).join('')}`,
      )
      result(lines.join('\n'), { changed, groups }, afterDeploy(groups))
      return 0
    } finally {
      proxmox.close()
    }
  },
}
