/** What a verb looks at before it begins: its part of what the doctor looks at, by the very same checks. */
import type { Progress } from '../core/progress.ts'
import { Failure } from '../core/failure.ts'
import type { Site } from '../settings/site.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { whoHas } from '../core/neighbours.ts'
import { addressesOf } from '../core/host-addresses.ts'
import { lookForPrograms } from '../tools/look.ts'
import { askOutside } from './ask-outside.ts'
import { examine } from './examine.ts'
import { factsOf } from './facts.ts'
import { hostChecks } from './host.ts'
import { rightsChecks } from './rights.ts'

const always = ['token', 'version', 'clock', 'node']
const making = ['rights-pool', 'rights-disks', 'rights-iso', 'rights-bridge']

/** By verb. Node, storages, bridge, VMIDs and images each of them looks at itself, at its own moment. */
export const firstLooks = {
  bake: [...always, ...making, 'rights-node'],
  verify: [...always, ...making],
  deploy: [...always, ...making, 'rights-depot-pool'],
  rollout: [...always, ...making, 'rights-depot-pool'],
} as const satisfies Readonly<Record<string, readonly string[]>>

export interface FirstLook {
  readonly site: Site
  readonly folder: string
  readonly proxmox: Proxmox
  readonly env: NodeJS.ProcessEnv
  readonly progress: Pick<Progress, 'warn'>
  readonly signal: AbortSignal
}

/** An API that is away is waited for as long as the verb would. @throws Failure of the first thing that it would fail at */
export async function lookFirst(verb: keyof typeof firstLooks, { progress, signal, env, ...opened }: FirstLook): Promise<void> {
  const ids: readonly string[] = firstLooks[verb]
  const facts = factsOf({
    env,
    signal,
    opened,
    now: () => new Date(),
    whoHas,
    addressesOf,
    askOutside,
    programs: (engine, stop) => lookForPrograms(engine, { signal: stop }),
  })
  const checks = [...hostChecks, ...rightsChecks].filter(({ id }) => ids.includes(id)).map((check) => ({ ...check, limit: Infinity }))
  for (const { state, note, mend = '', code = 'bug', of } of await examine(checks, facts)) {
    const message = of === undefined ? note : `${of}: ${note}`
    if (state === 'bad') throw new Failure(code, message, mend)
    if (state === 'warn') progress.warn(`${message}. ${mend}`)
  }
}
