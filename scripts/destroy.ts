/** `golden destroy`: the VMs go, the data stays in its depots. */
import { destroy } from '../rollout/destroy.ts'
import { confirm } from './confirm.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  summary: 'remove the VMs of all (or the named) groups; their data disks stay in the depots',
  operands: '[GROUP …]',
  options: { yes: { type: 'boolean' } },
  optionHelp: { yes: 'do not ask' },
  async run({ arguments: names, flags, env, progress, signal, result }) {
    const { proxmox, ...open } = await openProxmox(env)
    try {
      const what = names.length === 0 ? `all VMs of site ${open.site.name}` : `the VMs of ${names.join(', ')}`
      if (flags['yes'] !== true) await confirm(`This removes ${what}; the data disks stay. Type yes: `, 'yes', 'Say --yes to go ahead without a question.')
      const environment = await programEnvironment(open.site.engine, progress, signal)
      const groups = await destroy({ ...open, proxmox, environment, progress, signal }, names.length === 0 ? undefined : names)
      const lines = groups.map((group) => `${group.group}: ${group.outcome === 'absent' ? 'there was no VM' : 'destroyed'}${group.data ? `; its data is kept: ${group.data.volume} in depot ${group.data.depot}` : '; it never had data'}`)
      result(`${lines.join('\n')}\n"npx golden deploy" brings it back with its data; "npx golden delete-data GROUP" deletes data.`, { groups })
      return 0
    } finally {
      proxmox.close()
    }
  }
}
