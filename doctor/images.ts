/** Images: the one that the next VM would be made of, and those that are pinned. */
import { requireTrusted } from '../images/trust.ts'
import { checkImages, chooseImage, pinnedImage, refuseRevoked } from '../rollout/choose-image.ts'
import { pinnedSlots } from '../releases/deployment.ts'
import { slotNames } from '../settings/site.ts'
import type { Check } from './check.ts'
import { counted } from '../core/quantity.ts'
import { failureIn, fine, warn, warnOf } from './line.ts'

/** What is only not done yet. */
const notYet = ['no-image', 'image-not-verified', 'image-not-promoted']

export const imageChecks: readonly Check[] = [
  {
    id: 'images',
    section: 'Proxmox',
    looks: 'what is in the range of templates can be read',
    mends: '`npx golden setup`, or what the line names',
    needs: ['node', 'rights-pool'],
    limit: 'api',
    async run(facts) {
      const { images, bases, ignored } = await facts.images()
      const others =
        ignored.length === 0 ? '' : `, and ${ignored.map(({ vmid, name, reason }) => `${name} (${vmid}), which ${reason}`).join('; ')}`
      return fine(`${counted(images.length, 'image')}, ${counted(bases.length, 'base')}${others}`)
    },
  },
  {
    id: 'image',
    section: 'Proxmox',
    looks: 'there is an image for the next VM: of this base, version and place, verified, promoted and signed as the site asks',
    mends: '`npx golden bake`, `verify`, `promote` or `sign`',
    needs: ['images', 'lock', 'disks', 'signing'],
    limit: 'api',
    async run(facts) {
      const { site, folder } = await facts.site()
      try {
        const image = chooseImage(site, (await facts.images()).images)
        const by = await requireTrusted({ site, folder, proxmox: await facts.proxmox() }, image)
        return fine(`${image.name} (${image.vmid}), of ${image.record.built.slice(0, 10)}${by === null ? '' : `, signed by ${by}`}`)
      } catch (error) {
        if (!notYet.includes(failureIn(error).code)) throw error
        return warnOf(error)
      }
    },
  },
  {
    id: 'pinned-images',
    section: 'Proxmox',
    looks: 'what runs is of no image that was revoked, and pinned slots without a VM have their image still',
    mends: '`npx golden rollout`, or what the line names',
    needs: ['images', 'pins'],
    limit: 'api',
    async run(facts) {
      const deployment = await facts.deployment()
      const { images } = await facts.images()
      refuseRevoked(images, deployment)
      for (const [group, pins] of Object.entries(deployment.groups)) {
        const { seen, away } = await facts.group(group)
        const toMake = slotNames.filter((slot) => pins.slots[slot] !== undefined && seen.slots[slot].there === false)
        if (away !== true) checkImages(images, group, pins, toMake)
      }
      const pinned = pinnedSlots(deployment)
      const gone = pinned.filter(({ release }) => pinnedImage(images, release) === undefined)
      if (gone.length > 0)
        return warn(
          `gone is the image of ${gone.map(({ group, slot, release }) => `slot ${slot} of ${group}, ${release.image.name}`).join('; ')}: its VM can't be made again`,
          'Put that template back, or let another image take over: "npx golden rollout".',
        )
      return fine(pinned.length === 0 ? 'none' : [...new Set(pinned.map(({ release }) => release.image.name))].join(', '))
    },
  },
]
