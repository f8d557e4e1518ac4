/** `golden revoke IMAGE --reason TEXT`: it is not to be deployed again, nor what was made from it. */
import { Failure } from '../core/failure.ts'
import { who } from '../core/who.ts'
import { listImages, templateNamed, type Base, type Image } from '../images/catalog.ts'
import { reasonProblem } from '../images/record.ts'
import { planRevocation, revoke } from '../images/revoke.ts'
import { listUsers, usesOf, useText } from '../rollout/image-uses.ts'
import { readPins } from '../releases/pins.ts'
import { newestFit } from '../images/channels.ts'
import { afterRevoke } from './after.ts'
import { openProxmox } from './open.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: 'IMAGE',
  options: { reason: { type: 'string' } },
  optionHelp: { reason: 'why, for whoever meets it: one line' },
  changes: 'tags and description of that template, and of all that were made from it, on the Proxmox host; what runs goes on',
  examples: [
    ['npx golden revoke 9004 --reason "the key in it is known"', 'deploy and rollout refuse it, and status shows who runs it'],
    ['npx golden revoke 9000 --reason "withdrawn upstream"', 'a base: all images of it, too'],
  ],
  async run({ arguments: [name], flags, env, progress, signal, result }) {
    if (name === undefined) throw new Failure('usage', 'which image, or base?', 'Say one that "npx golden images" lists.')
    const reason = typeof flags.reason === 'string' ? flags.reason.trim() : ''
    const problem = reasonProblem(reason)
    if (problem !== undefined)
      throw new Failure('usage', `a reason ${reason === '' ? 'is needed' : problem}`, 'Say --reason "…", for whoever meets it.')
    const { proxmox, site, folder } = await openProxmox(env, { progress, signal })
    try {
      const { images, bases } = await listImages(proxmox, site)
      const plan = planRevocation(templateNamed<Image | Base>(site, [...images, ...bases], name), images, bases)
      const templates = await revoke({ proxmox, by: who(), signal }, plan, reason)
      const users = await listUsers(proxmox, site, await readPins(folder))
      const listed = plan.templates.map((template, index) => ({ ...templates[index], uses: usesOf(template, users) }))
      const lines = listed.flatMap(({ kind, name: one, vmid, outcome, uses }) => [
        `${kind === 'base' ? 'base ' : ''}${one} (${vmid}) ${outcome === 'already' ? 'was revoked before' : 'is revoked'}`,
        ...(uses.length === 0 ? [] : [`  still used by ${uses.map(useText).join(', ')}`]),
      ])
      const isUsed = listed.some(({ uses }) => uses.length > 0)
      const gone = new Set(plan.templates.map(({ vmid }) => vmid))
      const fit = newestFit(
        site.image,
        images.filter(({ vmid }) => !gone.has(vmid)),
      )
      result(
        [...lines, ...(isUsed ? ['What runs goes on.'] : [])].join('\n'),
        { reason, templates: listed },
        afterRevoke(fit !== undefined, isUsed),
      )
      return 0
    } finally {
      proxmox.close()
    }
  },
}
