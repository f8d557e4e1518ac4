/** `golden promote IMAGE`: into the channel that sites take their images from. */
import { Failure } from '../core/failure.ts'
import { who } from '../core/who.ts'
import { listImages, templateNamed } from '../images/catalog.ts'
import { channels, newestFit, type Channel } from '../images/channels.ts'
import { promote } from '../images/promote.ts'
import { afterImage } from './after.ts'
import { openProxmox } from './open.ts'
import { pinsNow } from './pins-now.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: 'IMAGE',
  options: { channel: { type: 'string' } },
  optionHelp: { channel: `${channels.join(' or ')} (default: stable)` },
  changes: 'tags and description of that template on the Proxmox host',
  examples: [
    ['npx golden promote 9004', 'from now on deployments and rollouts take it, if it is the newest'],
    ['npx golden promote 9004 --channel candidate', 'back to the beginning'],
  ],
  completes: { options: { channel: channels } },
  async run({ arguments: [name], flags, env, progress, signal, result }) {
    if (name === undefined) throw new Failure('usage', 'which image?', 'Say one that "npx golden images" lists.')
    const channel = channelNamed(flags.channel)
    const { proxmox, site, folder } = await openProxmox(env, { progress, signal })
    try {
      const { images } = await listImages(proxmox, site)
      const image = templateNamed(site, images, name)
      const changed = await promote({ proxmox, site, folder, by: who(), signal }, image, channel)
      const { vmid, record } = image
      const now = images.map((one) => (one.vmid === vmid ? { ...one, channel } : one))
      const isTaken = newestFit(site.image, now)?.vmid === vmid
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
        // Somebody who takes one back knows what it lacks.
        channel === 'candidate' && site.image.channel !== 'candidate'
          ? []
          : afterImage({ ...image, fingerprint: record.fingerprint, channel }, site, await pinsNow(folder), isTaken),
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
  if (found === undefined)
    throw new Failure('usage', `there is no channel "${String(given)}"`, `Say ${channels.join(' or ')}.`, {
      unknown: { said: String(given), known: channels },
    })
  return found
}
