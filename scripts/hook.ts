/** `golden hook activate|release GROUP SLOT RELEASE`: called by the stacks' provisioners, not by people. */
import { Failure } from '../core/failure.ts'
import { claimGroupForHook } from '../rollout/claim-groups.ts'
import { claimSiteForHook } from '../rollout/claim.ts'
import { activateHook, releaseHook } from '../rollout/hook.ts'
import { slotNames, type SlotName } from '../settings/site.ts'
import { openProxmox } from './open.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: 'activate|release GROUP SLOT RELEASE',
  changes: "the Proxmox host: a group's data disk moves between its depot and the slot, and deployment.json says so",
  examples: [['npx golden hook activate serena blue 0123456789ab', 'as the stacks call it']],
  async run(context) {
    const [hook, group, slot, release] = context.arguments
    const name = slotNames.find((one): one is SlotName => one === slot)
    if (group === undefined || name === undefined || release === undefined || (hook !== 'activate' && hook !== 'release')) {
      throw new Failure(
        'usage',
        'hook wants activate or release, a group, a slot and a release id',
        'It is called while stacks are applied: run "npx golden deploy".',
      )
    }
    const { proxmox, site, folder } = await openProxmox(context.env, context, true)
    const options = { site, folder, proxmox, progress: context.progress, signal: context.signal }
    try {
      await claimSiteForHook(options, context.env, () =>
        claimGroupForHook(options, hook, group, context.env, (held) =>
          hook === 'activate' ? activateHook(held, group, name, release) : releaseHook(held, group, name),
        ),
      )
      return 0
    } finally {
      proxmox.close()
    }
  },
}
