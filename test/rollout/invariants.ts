/** What must be so at every moment of a handover, as the host's files and the guests tell it, whoever is killed when. */
import { dataFolder } from '../../images/guest/places.ts'
import type { Guest } from '../../lab/compute/fake/guest.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import type { GroupPlaces } from '../../rollout/observe.ts'
import { slotNames } from '../../settings/site.ts'

export interface Watcher {
  /** VMs that the host has lost by accident: nobody could protect them first. */
  readonly excused: Set<number>
  /** What was wrong, each once. */
  readonly broken: ReadonlySet<string>
  /** How often it has looked. */
  readonly looks: () => number
  stop(): Promise<void>
}

const isDisk = (key: string, value: unknown): boolean => /^(scsi1|unused\d+)$/.test(key) && typeof value === 'string'

/** @param root sees every VM @param needsData containers that have no business without the data disk */
export function watchInvariants(
  root: Proxmox,
  places: GroupPlaces,
  guestOf: (vmid: number) => Guest | undefined,
  needsData: readonly string[],
  service: string,
): Watcher {
  const broken = new Set<string>()
  const excused = new Set<number>()
  let looks = 0
  let going = true
  const configOf = (vmid: number): Promise<Record<string, unknown> | undefined> =>
    root.get<Record<string, unknown>>(`/nodes/${places.node}/qemu/${vmid}/config`, { current: 1 }).catch(() => undefined)

  /** One after another: between two looks the disk may have moved on, so that of two owners the first is looked at again. */
  async function lookAtHost(): Promise<void> {
    const owners: number[] = []
    for (const vmid of [places.depot.vmid, ...slotNames.map((slot) => places.slots[slot].vmid)]) {
      const config = await configOf(vmid)
      if (config === undefined) continue
      const owns = Object.entries(config).some(([key, value]) => isDisk(key, value))
      if (owns) owners.push(vmid)
      if (vmid === places.depot.vmid) {
        if (config.protection !== 1) broken.add('the depot was not protected')
      } else if (owns && config.protection !== 1) {
        const { status } = await root.get<{ status: string }>(`/nodes/${places.node}/qemu/${vmid}/status/current`)
        const now = await configOf(vmid)
        const stillOwns = Object.entries(now ?? {}).some(([key, value]) => isDisk(key, value))
        // Proxmox detaches no disk of a protected VM, and destroys none that runs.
        if (stillOwns && now?.protection !== 1 && status !== 'running' && !excused.has(vmid))
          broken.add(`VM ${vmid} owned the data, unprotected, and did not run`)
      }
    }
    if (owners.length < 2) return
    const first = await configOf(owners[0] ?? 0)
    const second = await configOf(owners[1] ?? 0)
    const both = [first, second].every((config) => Object.entries(config ?? {}).some(([key, value]) => isDisk(key, value)))
    const third = await configOf(owners[0] ?? 0)
    if (both && Object.entries(third ?? {}).some(([key, value]) => isDisk(key, value))) broken.add(`VMs ${owners.join(' and ')} owned data`)
  }

  /** In one go: nothing happens in between. */
  function lookAtGuests(): void {
    const guests = slotNames.flatMap((slot) => guestOf(places.slots[slot].vmid) ?? [])
    const holders = guests.filter((guest) =>
      guest.interfaces.some((card) => card.up && card.addresses.some(({ address }) => address === service)),
    )
    if (holders.length > 1) broken.add(`two VMs held ${service}`)
    const users = guests.filter((guest) => guest.vfs.mounts.some(({ target }) => target === dataFolder))
    if (users.length > 1) broken.add('two VMs had the data mounted')
    for (const guest of guests) {
      if (users.includes(guest)) continue
      for (const name of guest.docker.well()) if (needsData.includes(name)) broken.add(`${name} ran on ${guest.hostname} without the data`)
    }
  }

  const loop = (async () => {
    while (going) {
      lookAtGuests()
      // A host that is switched off has no answer.
      await lookAtHost().catch(() => {})
      lookAtGuests()
      looks += 1
    }
  })()
  return {
    excused,
    broken,
    looks: () => looks,
    async stop() {
      going = false
      await loop
    },
  }
}
