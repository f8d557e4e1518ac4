/** `golden sign IMAGE`: you vouch for it as it is now. */
import { listImages, templateNamed } from '../images/catalog.ts'
import { newestFit } from '../images/channels.ts'
import { Failure } from '../core/failure.ts'
import { requireSigningKey } from '../images/signature.ts'
import { diskOf } from '../images/trust.ts'
import { vouch } from '../images/vouch.ts'
import { sizeText } from '../core/quantity.ts'
import { afterImage } from './after.ts'
import { confirm } from './confirm.ts'
import { openProxmox } from './open.ts'
import { pinsNow } from './pins-now.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: 'IMAGE',
  options: { yes: { type: 'boolean' } },
  optionHelp: { yes: 'do not ask' },
  changes: "the signature in that template's description on the Proxmox host",
  examples: [
    ['npx golden sign 9004', 'shows what is in it, and asks'],
    ['npx golden sign 9004 --yes', 'for scripts'],
  ],
  async run({ arguments: [name], flags, env, progress, signal, result }) {
    if (name === undefined) throw new Failure('usage', 'which image?', 'Say one that "npx golden images" lists.')
    const { proxmox, site, folder } = await openProxmox(env, { progress, signal })
    try {
      if (!site.image.signed) throw new Failure('usage', 'image.signed in site.ts is false: nothing is signed', 'Set it to true.')
      await requireSigningKey({ site, folder })
      const { images } = await listImages(proxmox, site)
      const image = templateNamed(site, images, name)
      const { vmid, record } = image
      const disk = await diskOf(proxmox, image)
      if (flags.yes !== true) {
        const facts = [
          `${image.name} (${vmid}): ${record.base.os}, baked ${record.built.slice(0, 16).replace('T', ' ')} UTC for site ${record.site}`,
          ...Object.entries(record.services).map(([service, reference]) => `  ${service} ${reference}`),
          `  disk ${disk.volume}, ${sizeText(disk.bytes)}; channel ${image.channel ?? 'none'}; verification ${image.verification}`,
        ]
        progress.info(facts.join('\n'))
        await confirm(
          'You vouch for it, as it is now, to all who trust your key. Type yes: ',
          'yes',
          'Say --yes to go ahead without a question.',
        )
      }
      const changed = await vouch({ proxmox, site, folder, signal }, image)
      result(
        changed ? `Signed ${image.name} (${vmid}).` : `Nothing to do: ${image.name} (${vmid}) is signed, and its disk is the one that was.`,
        { outcome: changed ? 'signed' : 'unchanged', image: { vmid, name: image.name, fingerprint: record.fingerprint }, disk },
        afterImage(
          { ...image, fingerprint: record.fingerprint },
          site,
          await pinsNow(folder),
          newestFit(site.image, images)?.vmid === vmid,
        ),
      )
      return 0
    } finally {
      proxmox.close()
    }
  },
}
