/** `golden promote IMAGE`: into the channel that sites take their images from. */
import { Failure } from '../core/failure.ts'
import { who } from '../core/who.ts'
import { listImages, templateNamed } from '../images/catalog.ts'
import { channels, type Channel } from '../images/channels.ts'
import { promote } from '../images/promote.ts'
import { openProxmox } from './open.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: 'IMAGE',
  options: { channel: { type: 'string' } },
  optionHelp: { channel: `${channels.join(' or ')} (default: stable)` },
  async run({ arguments: [name], flags, env, progress, signal, result }) {
    if (name === undefined) throw new Failure('usage', 'which image?', 'Say one that "npx golden images" lists.')
    const channel = channelNamed(flags.channel)
    const { proxmox, site, folder } = await openProxmox(env, { progress, signal })
    try {
      const image = templateNamed(site, (await listImages(proxmox, site)).images, name)
      const changed = await promote({ proxmox, site, folder, by: who(), signal }, image, channel)
      const { vmid, record } = image
      result(
        changed
          ? `${image.name} (${vmid}) is in channel ${channel} now.`
          : `Nothing to do: ${image.name} (${vmid}) is in channel ${channel}.`,
        {
          outcome: changed ? 'promoted' : 'unchanged',
          image: { vmid, name: image.name, fingerprint: record.fingerprint },
          channel,
          before: image.channel ?? null,
        },
      )
      return 0
    } finally {
      proxmox.close()
    }
  },
}

function channelNamed(given: unknown): Channel {
  if (given === undefined) return 'stable'
  const found = channels.find((channel) => channel === given)
  if (found === undefined) throw new Failure('usage', `there is no channel "${String(given)}"`, `Say ${channels.join(' or ')}.`)
  return found
}
