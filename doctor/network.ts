/** The network that VMs are in: the bridge, who has the site's addresses, and whether Proxmox's firewall is in force. */
import { bridgeProblem } from '../proxmox/place.ts'
import { activeReleases, pinnedSlots, type Deployment } from '../releases/deployment.ts'
import { firewallNotice, firewallState } from '../rollout/firewall.ts'
import type { GroupLook } from '../rollout/status.ts'
import { macOf, placeOf, slotNames, type Site } from '../settings/site.ts'
import type { Presence } from '../core/neighbours.ts'
import type { Check } from './check.ts'
import type { Facts } from './facts.ts'
import { bad, fine, ofError, unknown, warn, type Outcome } from './line.ts'

export const networkChecks: readonly Check[] = [
  {
    id: 'bridge',
    section: 'Proxmox',
    looks: 'the bridge or vnet is there, and the token may use it',
    mends: '`proxmox.bridge`, or `npx golden setup`',
    needs: ['node', 'rights-bridge'],
    limit: 'api',
    async run(facts) {
      const { site } = await facts.site()
      const problem = await bridgeProblem(await facts.proxmox(), placeOf(site))
      const { bridge, vlan } = site.proxmox
      return problem === undefined ? fine(`${bridge}${vlan === undefined ? '' : `, VLAN ${vlan}`}`) : ofError(problem)
    },
  },
  {
    id: 'firewall',
    section: 'Proxmox',
    looks: "Proxmox's datacenter firewall is on, without which the VMs' rules there do nothing",
    mends: '`npx golden setup --enable-datacenter-firewall`',
    needs: ['token'],
    limit: 'api',
    async run(facts) {
      const state = await firewallState(await facts.proxmox())
      const notice = firewallNotice(state)
      if (notice === undefined) return fine('in force')
      return warn(
        state === 'off' ? "off: only the guests' own firewalls are in force" : 'whether it is on is not for this token to see',
        state === 'off'
          ? '"npx golden setup --enable-datacenter-firewall" shows what turning it on would close, and asks.'
          : 'Run "npx golden setup" again.',
      )
    },
  },
  {
    id: 'addresses',
    section: 'Proxmox',
    looks: 'addresses of services, slots and the build VM are free or ours: asked by ARP from this computer, if it is in their network',
    mends: 'another address in `site.ts`, or the machine that has it',
    needs: ['node', 'pins', 'images'],
    // An address that nobody has does not answer.
    limit: 5000,
    async run(facts) {
      const { site } = await facts.site()
      const wanted = await addressesOf(facts)
      const asked = await Promise.all(
        wanted.map(async (one) => ({
          ...one,
          presence: one.ours === undefined ? await facts.whoHas(one.address, facts.signal) : undefined,
        })),
      )
      return addressOutcome(asked, site.network.subnet)
    },
  },
]

export interface SiteAddress {
  /** e.g. `groups.serena.service` */
  readonly setting: string
  readonly address: string
  /** Which VM of ours has it at the moment; undefined: none that is known. */
  readonly ours: string | undefined
  /** MAC addresses of those that may have it. */
  readonly macs: readonly string[]
}

async function addressesOf(facts: Facts): Promise<SiteAddress[]> {
  const { site } = await facts.site()
  const deployment = await facts.deployment()
  const looks = new Map<string, GroupLook>()
  for (const group of Object.keys(site.groups)) looks.set(group, await facts.group(group))
  // Packer's VM and clones that are tried out: in the range of templates, and none.
  const building = (await facts.images()).ignored.find(
    ({ name }) => name.startsWith(`golden-build-${site.name}-`) || name.startsWith(`golden-verify-${site.name}-`),
  )
  return [
    ...slotAddresses(site, deployment, looks),
    { setting: 'image.build.address', address: site.image.build.address, ours: building?.name, macs: [] },
  ]
}

/** Pure. What runs has the addresses of its release, whatever the site says by now. */
export function slotAddresses(site: Site, deployment: Deployment, looks: ReadonlyMap<string, GroupLook>): SiteAddress[] {
  const runs = (group: string, slot: (typeof slotNames)[number]): boolean => {
    const vm = looks.get(group)?.seen.slots[slot]
    return vm?.there === true && vm.running
  }
  const running = pinnedSlots(deployment).filter(({ group, slot }) => runs(group, slot))
  const holderOf = (address: string): string | undefined =>
    running.find(({ release }) => release.seed.address === address || release.seed.service === address)?.release.vm.name
  return Object.entries(site.groups).flatMap(([group, { service, slots }]) => {
    const macs = [
      ...slotNames.map((slot) => macOf(slots[slot].vmid, slots[slot].address)),
      ...activeReleases(deployment)
        .filter((one) => one.group === group)
        .map(({ release }) => release.vm.mac),
    ]
    return [
      { setting: `groups.${group}.service`, address: service, ours: holderOf(service), macs },
      ...slotNames.map((slot) => ({
        setting: `groups.${group}.slots.${slot}.address`,
        address: slots[slot].address,
        ours: holderOf(slots[slot].address),
        macs,
      })),
    ]
  })
}

/** Pure. @param presence undefined: it was not asked for, being ours */
export function addressOutcome(asked: readonly (SiteAddress & { readonly presence: Presence | undefined })[], subnet: string): Outcome {
  const ours = asked.filter(({ ours, presence, macs }) => ours !== undefined || (presence?.is === 'there' && macs.includes(presence.mac)))
  const taken = asked.filter((one) => one.presence?.is === 'there' && !ours.includes(one))
  if (taken.length > 0)
    return bad(
      taken
        .map(
          ({ setting, address, presence }) =>
            `${address} (${setting}) is somebody else's${presence?.is === 'there' ? `, with the MAC address ${presence.mac}` : ''}`,
        )
        .join('; '),
      'Choose another address in site.ts, outside of what the router gives away by DHCP; or take it from the machine that has it.',
    )
  const free = asked.filter(({ presence }) => presence?.is === 'silent')
  const known = [
    ...(ours.length === 0 ? [] : [`ours: ${ours.map(({ address }) => address).join(', ')}`]),
    ...(free.length === 0 ? [] : [`free: ${free.map(({ address }) => address).join(', ')}`]),
  ]
  const unasked = asked.flatMap(({ address, presence }) => (presence?.is === 'unasked' ? [{ address, why: presence.why }] : []))
  if (unasked.length === 0) return fine(known.join('; '))
  return unknown(
    [
      ...known,
      `could not be asked from here: ${unasked.map(({ address }) => address).join(', ')} (${[...new Set(unasked.map(({ why }) => why))].join('; ')})`,
    ].join('; '),
    `Ask from a computer in ${subnet}, or on the node: "arping -c 2 ${unasked[0]?.address ?? ''}" gets no answer where nobody has it.`,
  )
}
