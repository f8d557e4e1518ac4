/** `golden client --check`: what a client on this computer would see. */
import { checkClient, getsIn } from '../clients/check.ts'
import { accessOf, differsFromSite, notGiven } from '../clients/deployed.ts'
import { trustOf } from '../clients/look-at-certificate.ts'
import type { Step } from '../clients/step.ts'
import { publicUrl } from '../clients/url.ts'
import { readPins } from '../releases/pins.ts'
import { resolveSecret } from '../settings/resolve.ts'
import type { OpenSite } from './open.ts'
import { step } from './next-step.ts'
import { findUser } from './find-user.ts'
import type { VerbContext } from './verb.ts'

export async function checkFromHere({ site, folder }: OpenSite, { flags, env, progress, signal, result }: VerbContext): Promise<number> {
  const access = accessOf(site, await readPins(folder))
  const user = findUser(site, flags.user)
  const password = await resolveSecret(user.password, 'serena.users', folder, env)
  const stale = await notGiven(folder, access, user.name, password)
  const trust = await trustOf(folder, access)
  const notes = differsFromSite(access, site)
  for (const note of notes) progress.warn(note)
  const url = publicUrl(access, '/')
  const steps = await progress.step(`ask at ${url} as a client does`, (note) =>
    checkClient(
      { access, trust, user: user.name, password, ...(stale === undefined ? {} : { stale }) },
      { signal, onStep: ({ name, state }) => note(`${name}: ${state}`) },
    ),
  )
  const isIn = getsIn(steps)
  const next = isIn
    ? []
    : [access.deployed === undefined ? step('deploy', 'there is nothing to connect to yet') : step('status', 'what runs, and how it is')]
  result(renderSteps(steps), { schema: 1, url, user: user.name, deployed: access.deployed !== undefined, ok: isIn, steps, notes }, next)
  return isIn ? 0 : 1
}

/** One line a step, and what mends it below. */
export const renderSteps = (steps: readonly Step[]): string =>
  steps
    .flatMap(({ name, state, detail, mend }) => [
      `${state.padEnd(8)} ${name.padEnd(15)} ${detail}`,
      ...(mend === undefined ? [] : [`${' '.repeat(24)} → ${mend}`]),
    ])
    .join('\n')
