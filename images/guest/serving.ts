/** A slot that has got the data begins to serve: what clients had before is there again, and the gate is opened. */
import { trouble } from './health.ts'
import { compareCarry, leaveCarry, takeCarry } from './carry.ts'
import { inTurn } from './in-turn.ts'
import { handoverState, setHandoverState } from './keeper-control.ts'
import type { Machine } from './machine.ts'
import { claimFile, isEssential, presentContainers } from './places.ts'
import { openProject } from './active-project.ts'
import type { Slot } from './slot.ts'
import { fullOf } from './space.ts'

const lookMs = 200

/** @returns whether what the slot is for answers within that time */
export async function untilServing(machine: Machine, { seed, image }: Slot, seconds: number): Promise<boolean> {
  const needed = presentContainers(seed, image).filter((container) => container.unit !== 'edge' && isEssential(seed, container))
  const until = machine.uptime() + seconds * 1000
  for (;;) {
    const silent = await Promise.all(needed.map((container) => trouble(machine, container)))
    if (silent.every((reason) => reason === undefined)) return true
    if (machine.uptime() >= until) return false
    await machine.pause(lookMs)
  }
}

/**
 * Clients may come in: nothing to do where they may already. First of all the project that was active is active again, as
 * it is for Serena as a whole, so that clients without a session find it, too.
 */
export async function letIn(machine: Machine, { seed }: Pick<Slot, 'seed'>): Promise<void> {
  const carry = await takeCarry(machine)
  if (carry?.project !== undefined)
    await openProject(machine, seed, carry.project).catch((error: Error) =>
      machine.complain(`the active project is not opened: ${error.message}`),
    )
  const { state } = await handoverState(machine)
  // In this order: a slot that lets go loses the claim before clients are kept waiting (handover.ts).
  if (state !== 'open' && machine.files.exists(claimFile)) await setHandoverState(machine, 'open')
}

/**
 * golden-watch's part, round after round while the slot has the data and answers: clients that were kept waiting or sent away
 * come in, and find what they had before.
 */
export async function takeIn(machine: Machine, slot: Pick<Slot, 'seed'>): Promise<void> {
  if ((await missing(machine, slot)) === 'nothing') return
  await inTurn(machine, 'golden-watch', async () => {
    // Whoever had the turn may have changed it.
    const now = await missing(machine, slot)
    if (now === 'clients' || now === 'project') await letIn(machine, slot)
    if (now === 'note of the project') await leaveCarry(machine)
  })
}

async function missing(machine: Machine, { seed }: Pick<Slot, 'seed'>): Promise<'clients' | 'project' | 'note of the project' | 'nothing'> {
  if ((await handoverState(machine)).state !== 'open') return 'clients'
  if (!seed.roles.includes('serena')) return 'nothing'
  const carry = await compareCarry(machine)
  if (carry === 'forgotten') return 'project'
  return carry === 'new' && !fullOf(machine.files).data ? 'note of the project' : 'nothing'
}
