/**
 * An old slot ends only when all that it has logged is in Loki: it writes a last line, and Loki is asked for that one. The
 * agent sends lines in their order, so that what came before it is there, too.
 */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { groupWithRole, type SlotName } from '../settings/site.ts'
import { readPins } from '../releases/pins.ts'
import type { GroupWork } from './context.ts'
import { isOfGuest, slotctl } from './guest.ts'
import { placesOf } from './observe.ts'
import { untilNextLook } from './reconcile.ts'

const answerSchema = z.object({ streams: z.array(z.object({ entries: z.array(z.unknown()) })) })

/** Emulated guests take minutes. */
const waitMs = 600_000

/**
 * @returns false where the line has not arrived in time; true also where there is no Loki, or nobody can tell: of a slot
 * that does not answer nothing more will come
 */
export async function lastLineArrives(work: GroupWork, group: string, slot: SlotName): Promise<boolean> {
  const { site, folder, proxmox, signal } = work
  const { groups } = await readPins(folder)
  const [own, loki] = [groups[group], groupWithRole(site, 'logging')]
  const [release, pinned] = [own?.slots[slot], loki === undefined ? undefined : groups[loki.name]]
  const keeper = pinned?.active === undefined ? undefined : pinned.slots[pinned.active]
  if (release?.seed.loki === undefined || keeper === undefined || loki === undefined) return true
  const { node } = placesOf(site, group, own)
  const mark = `golden-last-${randomBytes(8).toString('hex')}`
  try {
    const written = await proxmox.agentExec(
      node,
      release.vm.vmid,
      ['/usr/bin/logger', '-t', 'golden', `the last line of release ${release.id}: ${mark}`],
      { signal },
    )
    if (written.exitCode !== 0) return true
  } catch (error) {
    if (isOfGuest(error)) return true
    throw error
  }
  const until = performance.now() + waitMs
  for (;;) {
    const began = performance.now()
    const found = await slotctl(
      proxmox,
      keeper.vm.node,
      keeper.vm.vmid,
      ['logs', `{host="${release.seed.hostname}"} |= "${mark}"`, '60', '1'],
      signal,
    )
    const answer = answerSchema.safeParse(found)
    if (answer.success && answer.data.streams.some(({ entries }) => entries.length > 0)) return true
    if (performance.now() >= until) return false
    await untilNextLook(performance.now() - began, signal)
  }
}
