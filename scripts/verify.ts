/** `golden verify`: whether an image does all that a slot has to do. */
import { lookFirst } from '../doctor/first.ts'
import { duration } from './render.ts'
import { failedChecks, resultLines } from '../verify/report.ts'
import { planLines } from '../verify/plan.ts'
import { planVerification, verify } from '../verify/verify.ts'
import { Failure } from '../core/failure.ts'
import { afterImage, afterPlan } from './after.ts'
import { openProxmox } from './open.ts'
import { pinsNow } from './pins-now.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  operands: '[IMAGE]',
  options: { plan: { type: 'boolean' } },
  optionHelp: { plan: 'say which clones would be made and what would be checked, and do nothing' },
  changes: "the result in that template's description on the Proxmox host; the clones that it makes are gone afterwards",
  examples: [
    ['npx golden verify', "the newest image of the site's base"],
    ['npx golden verify 9004', 'another one'],
    ['npx golden verify --plan', 'which clones, with what, and what would be checked'],
  ],
  async run({ arguments: names, flags, env, progress, signal, result }) {
    const [image] = names
    const { site, folder, proxmox } = await openProxmox(env, { progress, signal })
    try {
      await lookFirst('verify', { site, folder, proxmox, env, progress, signal })
      const what = { site, proxmox, ...(image === undefined ? {} : { image }) }
      if (flags.plan === true) {
        const plan = await planVerification(what)
        result(planLines(plan).join('\n'), { plan }, afterPlan(image === undefined ? 'verify' : `verify ${image}`, true))
        return 0
      }
      const done = await verify({ ...what, folder, progress, signal })
      const { name } = done.image
      const failure = done.passed ? undefined : failed(name, failedChecks(done.checks))
      const head = done.passed ? `Verified ${name} in ${duration(done.ms)}.` : (failure?.toText() ?? '')
      result(
        [head, ...resultLines(done.checks)].join('\n'),
        { ...done, ...(failure === undefined ? {} : { errors: failure.toErrors() }) },
        afterImage(
          { ...done.image, channel: done.channel ?? undefined, verification: done.passed ? 'passed' : 'failed' },
          site,
          await pinsNow(folder),
        ),
      )
      return done.passed ? 0 : 1
    } finally {
      proxmox.close()
    }
  },
}

const failed = (image: string, names: readonly string[]): Failure =>
  new Failure(
    'verification-failed',
    `image ${image} does not do all that a slot has to do: ${names.join(', ')}`,
    'It is not deployed. See what the checks say; mend that, and bake another one.',
  )
