/**
 * The site that clones of an image are made for: the user's own, one VM for each set of roles, with other addresses, users
 * and projects, and without a way out. Pure.
 *
 * Of the LAN's addresses a site has one to spare, the build address. It is the service address of the clone that has it
 * instead of Serena's, so that this computer gets there as any client does. All others are of 198.18.0.0/15, which no router
 * forwards (RFC 2544), eight for each build address. The gateway and the name server that clones are told of are two of
 * those that nobody has: whatever a clone's own firewall does, it gets no farther than its LAN.
 */
import { addressNumber, overlap, parseNetwork } from '../settings/address.ts'
import type { Site } from '../settings/site.ts'
import { newRelease, type Release } from '../releases/deployment.ts'
import type { Flow } from '../releases/flows.ts'
import type { Image } from '../images/catalog.ts'
import { cloneName, cloneSeedName } from '../packer/names.ts'
import { tempting } from './targets.ts'

/** For sites whose own networks have the first. The second is what providers use between themselves and their customers (RFC 6598). */
const ranges = ['198.18.0.0/15', '100.64.0.0/10'] as const
const perRun = 8
const prefix = 29

const textOf = (number: number): string => [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')

export interface TrialNetwork {
  readonly subnet: string
  /** The `at`th address of it, from 1 to 6. */
  address(at: number): string
}

/** The network of the clones of a site: another one for each build address of a LAN. */
export function trialNetwork({ network, image }: Pick<Site, 'network' | 'image'>): TrialNetwork {
  const taken = [network.subnet, network.containers].flatMap((text) => parseNetwork(text) ?? [])
  const range = ranges.flatMap((text) => parseNetwork(text) ?? []).find((one) => !taken.some((other) => overlap(one, other)))
  if (range === undefined) throw new Error(`${network.subnet} and ${network.containers} leave no range free`)
  const size = range.last - range.first + 1
  const first = range.first + (((addressNumber(image.build.address) ?? 0) * perRun) % size)
  return { subnet: `${textOf(first)}/${prefix}`, address: (at) => textOf(first + at) }
}

export interface TrialGroup {
  readonly name: string
  readonly roles: Site['groups'][string]['roles']
}

/** A group for each set of roles that the site has: no role is in two, so that these are its groups. The one with the logs first, as when they are deployed. */
export const trialGroups = (site: Pick<Site, 'groups'>): TrialGroup[] =>
  Object.entries(site.groups)
    .map(([name, { roles }]) => ({ name, roles }))
    .sort((a, b) => Number(b.roles.includes('logging')) - Number(a.roles.includes('logging')))

export const trialUser = 'golden-check'
export const trialProject = 'golden-check'
/** Enough for what clones write, and little on a storage that gives it at once. */
const dataGiB = 4

/** @param vmids of the clones, in the order of `trialGroups` */
export function trialSite(site: Site, vmids: readonly number[]): Site {
  const { subnet, address } = trialNetwork(site)
  const nobody = address(6)
  const groups = Object.fromEntries(
    trialGroups(site).map(({ name, roles }, at) => {
      const group = site.groups[name]
      if (group === undefined) throw new Error(`the site has no group ${name}`)
      // The clone with Serena has the build address; of two, the other one is the first.
      const own = roles.includes('serena') ? [1, 2] : [3, 5]
      const slot = (of: number) => ({ vmid: vmids[at] ?? 0, address: address(own[of] ?? 0) })
      return [
        name,
        {
          ...group,
          service: roles.includes('serena') ? site.image.build.address : address(4),
          dataGiB: Math.min(group.dataGiB, dataGiB),
          slots: { blue: slot(0), green: slot(1) },
        },
      ]
    }),
  )
  const { certificate: _, ...publicly } = site.public
  return {
    ...site,
    name: 'verify',
    network: { ...site.network, subnet, gateway: nobody, nameservers: [nobody], ntp: [], outgoing: [] },
    public: publicly,
    serena: {
      ...site.serena,
      // The tools are tried over this one; whether the site's own are there is seen by their being healthy.
      transports: [...new Set(['streamable-http' as const, ...site.serena.transports])],
      interface: 'tools',
      projects: [{ name: trialProject }],
      users: [{ name: trialUser, password: { kind: 'env', name: 'UNUSED' } }],
    },
    ssh: { projectKeys: [], adminKeys: [] },
    groups,
  }
}

export interface TrialOrigin {
  readonly run: string
  /** Of the release; twelve hexadecimal digits. */
  readonly id: string
  readonly created: Date
  readonly image: Image
  readonly fullClone: boolean
}

/** What the `at`th clone runs: a release as a slot of the site would have it, but for the names and the ways to the other clone. */
export function trialRelease(site: Site, trial: Site, at: number, { run, image, ...origin }: TrialOrigin): Release {
  const { name } = trialGroups(trial)[at] ?? { name: '' }
  const made = newRelease(trial, name, 'blue', {
    ...origin,
    image: { vmid: image.vmid, name: image.name, fingerprint: image.record.fingerprint },
  })
  const others = Object.entries(trial.groups).flatMap(([other, { service, slots }]) =>
    other === name ? [] : [slots.blue.address, service],
  )
  // What the other one lets in is tried from here: this firewall must not be in the way.
  const way: Flow = {
    direction: 'out',
    remote: others,
    protocol: 'tcp',
    ports: tempting(site),
    hostOnly: true,
    purpose: 'to try the other clone',
  }
  return {
    ...made,
    vm: { ...made.vm, name: cloneName(site, run, at), seed: `${site.proxmox.storage.iso}:iso/${cloneSeedName(site, run, at)}` },
    flows: { ...made.flows, flows: [...made.flows.flows, ...(others.length === 0 ? [] : [way])] },
  }
}
