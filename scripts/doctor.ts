/** `golden doctor`: all that the other verbs need, in one table, before anything is touched. */
import { addressesOf } from '../core/host-addresses.ts'
import { Failure } from '../core/failure.ts'
import { whoHas } from '../core/neighbours.ts'
import { allChecks } from '../doctor/all.ts'
import { askOutside } from '../doctor/ask-outside.ts'
import { examine } from '../doctor/examine.ts'
import { factsOf } from '../doctor/facts.ts'
import { exitCodeOf, renderLines } from '../doctor/render.ts'
import { outsideHelper } from '../settings/site.ts'
import { lookForPrograms } from '../tools/index.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  options: { 'from-outside': { type: 'string' } },
  optionHelp: {
    'from-outside': 'for this run, the address of a helper on the internet that tries the way through your router (public.lookFromOutside)',
  },
  changes: 'nothing: neither the site folder, nor Proxmox, nor a VM',
  examples: [
    ['npx golden doctor', 'at any stage: before the first setup, before a bake, when something is wrong'],
    ['npx golden doctor --json', 'the lines for a program; exit code 1 when one of them is bad'],
    ['npx golden doctor --from-outside https://look.example.org/port', 'the way through your router, too'],
  ],
  async run({ flags, env, progress, signal, result }) {
    const outside = flags['from-outside']
    const parsed = outsideHelper.optional().safeParse(outside)
    if (!parsed.success)
      throw new Failure(
        'usage',
        `--from-outside ${String(outside)} ${parsed.error.issues[0]?.message ?? ''}`,
        'docs/doctor.md has what a helper is.',
      )
    // What no line waits for any more.
    const ended = new AbortController()
    const facts = factsOf({
      env,
      signal: AbortSignal.any([signal, ended.signal]),
      now: () => new Date(),
      whoHas,
      addressesOf,
      askOutside,
      programs: (engine, stop) => lookForPrograms(engine, { signal: stop }),
      outside: parsed.data,
    })
    try {
      const lines = await progress.step('look at all that the verbs need', () => examine(allChecks, facts))
      result(renderLines(lines), lines)
      return exitCodeOf(lines)
    } finally {
      ended.abort(new Error('the doctor has ended'))
      await facts.close()
    }
  },
}
