/** A slot that has got the data begins to serve: what clients had before is there again, and the gate is opened. */
import { trouble } from './health.ts'
import { handoverState, setHandoverState, writeCarry, type Carry } from './keeper-control.ts'
import type { Machine } from './machine.ts'
import { carryFile, claimFile, isEssential, presentContainers } from './places.ts'
import { openProject } from './active-project.ts'
import type { Slot } from './slot.ts'

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

/** What was with the data, if an earlier owner has left anything. */
async function takeCarry(machine: Machine): Promise<Carry | undefined> {
  if (!machine.files.exists(carryFile)) return undefined
  try {
    const carry = JSON.parse(machine.files.read(carryFile)) as Carry
    await writeCarry(machine, carry)
    return carry
  } catch (error) {
    machine.complain(`what the slot before knew of its sessions can't be used: ${(error as Error).message}`)
    return undefined
  } finally {
    machine.files.remove(carryFile)
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
