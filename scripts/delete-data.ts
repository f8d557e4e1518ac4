/** `golden delete-data GROUP`: the one verb that destroys data. */
import { checkDeleteData, deleteData } from '../rollout/delete-data.ts'
import { Failure } from '../core/failure.ts'
import { confirm } from './confirm.ts'
import { openProxmox } from './open.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: 'GROUP',
  options: { confirm: { type: 'string' } },
  optionHelp: { confirm: "the group's name once more, instead of typing it" },
  async run({ arguments: [group, ...more], flags, env, progress, signal, result }) {
    const { proxmox, site, folder } = await openProxmox(env, { progress, signal })
    try {
      if (group === undefined || more.length > 0 || site.groups[group] === undefined) {
        throw new Failure(
          'group-unknown',
          group === undefined ? 'which group?' : `there is no group "${[group, ...more].join(' ')}"`,
          `Say one of: ${Object.keys(site.groups).join(', ')}.`,
        )
      }
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
      result(volume === undefined ? `Nothing to do: group ${group} has no data disk.` : `Deleted ${volume}.`, {
        group,
        volume: volume ?? null,
      })
      return 0
    } finally {
      proxmox.close()
    }
  },
}
