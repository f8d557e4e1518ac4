/** What runs: how each group is, and whether its data could be handed over. */
import { statusIn } from '../rollout/guest.ts'
import { describeGroup, type GroupStatus } from '../rollout/status.ts'
import type { Check } from './check.ts'
import type { Facts } from './facts.ts'
import { bad, fine, ofError, unknown, warn, type Outcome } from './line.ts'

/** A guest that is at work answers late. */
const guestMs = 15_000

export const guestChecks: readonly Check[] = [
  {
    id: 'guest',
    section: 'what runs',
    looks: 'each group runs its release, and its services are well, as its VM says itself',
    mends: '`npx golden deploy`, `rollout` or `rollback`; `npx golden status` tells more',
    needs: ['node', 'rights-pool', 'pins'],
    limit: guestMs,
    run: (facts) => eachGroup(facts, (group) => guestOutcome(facts, group)),
  },
  {
    id: 'handover',
    section: 'what runs',
    looks: 'no snapshot, HA or replication job is in the way of handing the data to another VM, and the data is where it should be',
    mends: 'the command on the node that the line names',
    needs: ['node', 'rights-pool', 'rights-depot-pool', 'pins'],
    limit: 'api',
    run: (facts) =>
      eachGroup(facts, async (group) => {
        const { obstacles = [], missing, seen, away } = await facts.group(group)
        if (away === true) return unknown('its node is away', undefined, group)
        if (missing !== undefined)
          return { ...bad('the data disk is in no place that is known', missing, group), code: 'data-disk-missing' }
        if (obstacles.length > 0)
          return bad(`the data can't be handed over: ${obstacles.join(' ')}`, 'What the line names, then "npx golden doctor" again.', group)
        return fine(
          seen.depot.there === true && seen.depot.claim !== undefined
            ? `nothing in the way, but ${seen.depot.claim.by} is at it (${seen.depot.claim.verb})`
            : 'nothing in the way',
          group,
        )
      }),
  },
]

const eachGroup = async (facts: Facts, look: (group: string) => Promise<Outcome>): Promise<Outcome[]> =>
  Promise.all((await facts.groups()).map((group) => look(group).catch((error: unknown) => ofError(error, group))))

async function guestOutcome(facts: Facts, group: string): Promise<Outcome> {
  const { site, folder } = await facts.site()
  const proxmox = await facts.proxmox()
  const pins = (await facts.deployment()).groups[group]
  const look = await facts.group(group)
  const release = pins?.active === undefined ? undefined : pins.slots[pins.active]
  const vm = pins?.active === undefined ? undefined : look.seen.slots[pins.active]
  const guest = await statusIn(proxmox, release, vm, facts.signal)
  const status = describeGroup({ site, folder, group, ...look, pins, guest, now: proxmox.now() })
  if (release === undefined && site.groups[group] !== undefined && look.wrong.length === 0)
    return warn('not deployed yet', 'Run "npx golden deploy".', group)
  return ofStatus(status)
}

/** Pure. */
export function ofStatus({ group, health, problems, activeSlot, release, image, vm, missing }: GroupStatus): Outcome {
  const why = problems.join('; ')
  switch (health) {
    case 'healthy':
      return fine(
        `slot ${activeSlot ?? 'none'}, release ${release ?? 'none'}, image ${image?.name ?? 'none'}${missing.length === 0 ? '' : `, without ${missing.join(', ')}`}`,
        group,
      )
    case 'unhealthy':
      return bad(
        why === '' ? 'not healthy' : why,
        `"npx golden status" tells more; "npx golden rollback ${group}" goes back to the slot before, "npx golden rollout ${group}" on to a new one.`,
        group,
      )
    case 'unreachable':
      return bad(
        why === '' ? `VM ${vm?.vmid ?? ''} runs, and its agent does not answer` : why,
        `Look at its console in Proxmox; "qm reset ${vm?.vmid ?? 'VMID'}" on the node restarts it.`,
        group,
      )
    case 'stopped':
      return bad([`VM ${vm?.vmid ?? ''} is off`, ...problems].join('; '), 'Start it in Proxmox, or run "npx golden deploy".', group)
    case 'absent':
      return bad(why === '' ? 'it has no VM' : why, 'Run "npx golden deploy".', group)
  }
}
