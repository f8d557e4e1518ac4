/** `golden delete-data GROUP`: the one verb that destroys data. */
import { checkDeleteData, deleteData } from '../rollout/delete-data.ts'
import { Failure } from '../core/failure.ts'
import { groupUnknown } from '../releases/order.ts'
import { afterDeleteData } from './after.ts'
import { confirm } from './confirm.ts'
import { openProxmox } from './open.ts'
import { pinsNow } from './pins-now.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: 'GROUP',
  options: { confirm: { type: 'string' } },
  optionHelp: { confirm: "the group's name once more, instead of typing it" },
  changes: 'the Proxmox host: the data disk of that group is deleted for good, and nothing brings it back but a backup',
  examples: [
    ['npx golden delete-data logging', 'asks for the name once more'],
    ['npx golden delete-data logging --confirm logging', 'for scripts'],
  ],
  completes: { operands: 'groups', options: { confirm: 'groups' } },
  async run({ arguments: [group], flags, env, progress, signal, result }) {
    const { proxmox, site, folder } = await openProxmox(env, { progress, signal })
    try {
      const groups = Object.keys(site.groups)
      if (group === undefined) throw new Failure('group-unknown', 'which group?', `Say one of: ${groups.join(', ')}.`)
      if (!groups.includes(group)) throw groupUnknown(group, groups)
      await checkDeleteData({ site, folder, proxmox }, group)
      const given = flags.confirm
      if (given === undefined)
        await confirm(
          `This deletes the data of group ${group} for good. Type its name: `,
          group,
          `Say --confirm ${group} to go ahead without a question.`,
        )
      else if (given !== group)
        throw new Failure('not-confirmed', `--confirm says "${String(given)}", the group is ${group}`, 'Nothing was changed.')
      const volume = await deleteData({ site, folder, proxmox, progress, signal }, group)
      result(
        volume === undefined ? `Nothing to do: group ${group} has no data disk.` : `Deleted ${volume}.`,
        { group, volume: volume ?? null },
        afterDeleteData(await pinsNow(folder)),
      )
      return 0
    } finally {
      proxmox.close()
    }
  },
}
