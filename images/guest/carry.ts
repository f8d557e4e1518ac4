/**
 * What nginx knows of its clients' work (images/nginx/keeper.ts) is kept with the data: for the other slot, and for an nginx that
 * is started again with its VM, as it remembers nothing itself. Nothing depends on it but that clients need not say it again.
 */
import { readCarry, writeCarry, type Carry } from './keeper-control.ts'
import type { Machine } from './machine.ts'
import { carryFile } from './places.ts'

/** For a slot that lets go. */
export async function leaveCarry(machine: Machine): Promise<void> {
  try {
    write(machine, await readCarry(machine))
  } catch (error) {
    machine.complain(`what nginx knows of its sessions is not handed on: ${(error as Error).message}`)
  }
}

/** What is with the data is nginx's. */
export async function takeCarry(machine: Machine): Promise<Carry | undefined> {
  const carry = readKept(machine)
  if (carry === undefined) return undefined
  try {
    await writeCarry(machine, carry)
    return carry
  } catch (error) {
    // It stays where it is: golden-watch tries again.
    machine.complain(`nginx is not told what the slot before knew of its sessions: ${(error as Error).message}`)
    return undefined
  }
}

function readKept({ files, complain }: Machine): Carry | undefined {
  if (!files.exists(carryFile)) return undefined
  try {
    return JSON.parse(files.read(carryFile)) as Carry
  } catch (error) {
    complain(`what the slot before knew of its sessions can't be read: ${(error as Error).message}`)
    // A power cut has left a part of it.
    files.remove(carryFile)
    return undefined
  }
}

/**
 * Only for a slot that lets clients in: to another one, what is with the data is news.
 * @returns `new`: nginx knows what is not with the data · `forgotten`: it knows nothing of what is
 */
export async function compareCarry(machine: Machine): Promise<'same' | 'new' | 'forgotten'> {
  const { files } = machine
  const carry = await readCarry(machine)
  const kept = files.exists(carryFile) ? files.read(carryFile) : undefined
  if (kept === render(carry)) return 'same'
  if (carry.project !== undefined) return 'new'
  return kept === undefined ? 'same' : 'forgotten'
}

const render = (carry: Carry): string => JSON.stringify(carry)

/** @throws the system's error */
function write({ files }: Machine, carry: Carry): void {
  try {
    files.write(carryFile, render(carry), 0o600)
  } catch (error) {
    // A full disk has taken a part of it.
    files.remove(carryFile)
    throw error
  }
}
