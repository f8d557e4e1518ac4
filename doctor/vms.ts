/** What is there by way of VMs: members of pools, depots, and whose the site's VMIDs are. */
import { observePoolMembers, sharedPool, strangersIn } from '../proxmox/pool-members.ts'
import { firstFree, rangeFull } from '../proxmox/vmid.ts'
import { Failure } from '../core/failure.ts'
import { counted } from '../core/quantity.ts'
import { checkDepot, checkSlot, placesOf } from '../rollout/observe.ts'
import { checkPins } from '../rollout/outdated.ts'
import { slotNames } from '../settings/site.ts'
import type { Check } from './check.ts'
import type { Facts } from './facts.ts'
import { fine, ofError, type Outcome } from './line.ts'

export const vmChecks: readonly Check[] = [
  {
    id: 'pools',
    section: 'Proxmox',
    looks: "the site's pools have nobody else's VMs, containers or storages: the token has rights over all that is in them",
    mends: '`proxmox.pool` or `proxmox.depotPool`, or taking those out',
    needs: ['node', 'rights-pool', 'rights-depot-pool'],
    limit: 'api',
    async run(facts) {
      const { site } = await facts.site()
      const { node, pool, depotPool } = site.proxmox
      const wanted = { node, pool, depotPool, depots: Object.values(site.groups).map(({ depot }) => ({ vmid: depot })) }
      const nodes = await facts.nodes()
      const members = await observePoolMembers(await facts.proxmox(), wanted, nodes, [pool, depotPool])
      const count = members.vms.filter((vm) => vm.pool !== undefined).length
      for (const setting of ['pool', 'depotPool'] as const) {
        const others = strangersIn(wanted, nodes, members, wanted[setting])
        const { code, message, hint } = sharedPool(setting, wanted[setting], others)
        if (others.length > 0) return ofError(new Failure(code, message, hint))
      }
      return fine(`${pool} and ${depotPool} have ${counted(count, 'VM')}, all of this project`)
    },
  },
  {
    id: 'depots',
    section: 'Proxmox',
    looks: 'each group has its depot: a protected VM that is off, and ours',
    mends: '`npx golden setup`',
    needs: ['node', 'rights-depot-pool', 'pins'],
    limit: 'api',
    run: (facts) =>
      eachGroup(facts, async (group) => {
        const { places, seen } = await lookedAt(facts, group)
        checkDepot(places, seen)
        return fine(`VM ${places.depot.vmid} (${places.depot.name})`, group)
      }),
  },
  {
    id: 'vmids',
    section: 'Proxmox',
    looks: 'VMIDs of slots are free or ours, what runs is what `deployment.json` says, and templates have a free VMID',
    mends: '`groups.….vmid`, `proxmox.templates`, or what the line names',
    needs: ['node', 'rights-pool', 'pins'],
    limit: 'api',
    async run(facts) {
      const { site } = await facts.site()
      const groups = await eachGroup(facts, async (group) => {
        const { places, seen, pins } = await lookedAt(facts, group)
        for (const slot of slotNames) checkSlot(places, slot, seen.slots[slot])
        checkPins(places, pins, seen)
        const vmids = slotNames.map((slot) => `${places.slots[slot].vmid} ${seen.slots[slot].there === true ? 'ours' : 'free'}`)
        return fine(vmids.join(', '), group)
      })
      const [free] = await firstFree(await facts.proxmox(), site.proxmox.templates, 1)
      return [
        ...groups,
        free === undefined ? ofError(rangeFull(site.proxmox.templates), 'templates') : fine(`${free} is free`, 'templates'),
      ]
    },
  },
]

/** Those of the site; one that is wrong does not hide another. */
async function eachGroup(facts: Facts, look: (group: string) => Promise<Outcome>): Promise<Outcome[]> {
  const { site } = await facts.site()
  return Promise.all(Object.keys(site.groups).map((group) => look(group).catch((error: unknown) => ofError(error, group))))
}

async function lookedAt(facts: Facts, group: string) {
  const { site } = await facts.site()
  const pins = (await facts.deployment()).groups[group]
  const { seen, away, wrong } = await facts.group(group)
  // Of a node that is away nothing is known; its group says so where it is told how it is.
  if (away === true) throw new Failure('node-offline', wrong.join('; '), 'Bring that node back.')
  return { pins, places: placesOf(site, group, pins), seen }
}
