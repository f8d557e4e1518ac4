/** Takes, keeps or gives up the service address, a step at each round of golden-watch, as succession.ts decides. */
import type { Seed } from '../contract/seed.ts'
import { announce, claim, holds } from './address.ts'
import { isMounted } from './disk.ts'
import { connections, leave, resume, settle, settleMs, take } from './handover-address.ts'
import { readHandover } from './handover.ts'
import { inTurn } from './in-turn.ts'
import type { Machine } from './machine.ts'
import { askPeer, writeOwner, type OwnerReport } from './peer.ts'
import { addressReport, claimFile } from './places.ts'
import { steersSince } from './steer.ts'
import { asksPeer, isUnderWay, turn, type Standing } from './succession.ts'

/** So long after its last answer the peer is taken for gone, with the connections that it had. */
const goneMs = 30_000

/** What is remembered of the service address' moves from one round to the next. */
export interface Succession {
  /** When the peer last answered, or was first asked, of the machine's uptime; undefined: before the first round. */
  heard: number | undefined
  /** nginx has been told to send everything to the peer. */
  forwards: boolean
  /** The LAN has been told that the address is here: by this program, since it was started. */
  announced: boolean
  /** Who was last left to finish first (in-turn.ts). */
  waitsFor: string | undefined
}

/** Tells nginx where its clients go (keeper-control.ts). Rejects where it does not hear. */
export type Tell = (machine: Machine, state: 'forward') => Promise<unknown>

export const newSuccession = (): Succession => ({ heard: undefined, forwards: false, announced: false, waitsFor: undefined })

/** How this slot stands to the service address. The disk is looked at anew: it may have left since the round began. */
function stand(machine: Machine, seed: Seed, inService: boolean): Standing {
  const { files } = machine
  const disk = isMounted(files)
  return {
    disk,
    mayHold: files.exists(claimFile),
    inService: disk && inService,
    holds: holds(machine, seed.service),
    handover: readHandover(files)?.state,
    steers: steersSince(machine) !== undefined,
  }
}

/**
 * @param inService whether the data disk is here and what the slot is for answers
 * @returns whether the service address is on its way, so that the next round is to be soon
 */
export async function succeed(machine: Machine, seed: Seed, inService: boolean, memory: Succession, tell: Tell): Promise<boolean> {
  const here = stand(machine, seed, inService)
  const peer = asksPeer(here) ? await askPeer(machine) : undefined
  if (peer !== undefined || !here.steers) memory.heard = machine.uptime()
  memory.heard ??= machine.uptime()
  let waits = false
  if (hasToDo(here, peer, memory)) {
    const came = await inTurn(machine, 'golden-watch', () => step({ machine, seed, inService, memory, tell }, here, peer))
    if (!came.came && memory.waitsFor !== came.by) machine.say(`the service address waits: ${came.by} is at work`)
    memory.waitsFor = came.came ? undefined : came.by
    waits = !came.came
  } else machine.files.write(addressReport, '[]')
  const settled = stand(machine, seed, inService)
  writeOwner(machine, await reportOf(machine, seed, settled))
  return waits || isUnderWay(settled)
}

/** Mostly nothing: the address is where it belongs, and everybody has been told. */
const hasToDo = (here: Standing, peer: OwnerReport | undefined, memory: Succession): boolean =>
  turn(here, peer) !== 'none' || here.handover === 'left' || here.steers || memory.forwards || here.holds !== memory.announced

interface Doing {
  readonly machine: Machine
  readonly seed: Seed
  readonly inService: boolean
  readonly memory: Succession
  readonly tell: Tell
}

/** @param before what was decided from; whoever had a turn in between may have changed it, which the next round sees */
async function step({ machine, seed, inService, memory, tell }: Doing, before: Standing, peer: OwnerReport | undefined): Promise<void> {
  const { files } = machine
  const here = stand(machine, seed, inService)
  if (JSON.stringify(here) !== JSON.stringify(before)) return
  let refused = ''
  const next = turn(here, peer)
  switch (next) {
    case 'resume':
      machine.say('the data disk is back: the service address stays here')
      await resume(machine, seed)
      break
    case 'leave':
      machine.say(`the peer slot has the data disk and answers: the service address ${seed.service} goes there`)
      memory.forwards = await forwards(machine, tell)
      await leave(machine, seed)
      break
    case 'take':
    case 'claim':
      // Told by `slotctl status`: otherwise one would only see that the slot does not get ready.
      if (!(next === 'take' ? await take(machine, seed) : await claim(machine, seed.service)) && files.exists(claimFile))
        refused = `another machine in the network answers for the service address ${seed.service}`
      break
    case 'refused':
      refused = `the peer slot has not yet given up the service address ${seed.service}`
      break
    case 'none':
  }
  files.write(addressReport, JSON.stringify(refused === '' ? [] : [refused]))
  const after = stand(machine, seed, inService)
  // A golden-watch that was killed may have taken it and said nothing.
  if (after.holds && after.mayHold && !memory.announced && next !== 'take' && next !== 'claim') await announce(machine, seed.service)
  memory.announced = after.holds
  if (after.handover === 'left' && !memory.forwards) memory.forwards = await forwards(machine, tell)
  if (after.handover !== 'left') memory.forwards = false
  if (after.handover === 'left' || after.steers) await settle(machine, seed, { peer, limitMs: limitOf(machine, after, memory) })
}

/** Connections of a peer that is gone are gone too: clients had better be told. */
const limitOf = (machine: Machine, here: Standing, { heard }: Succession): number =>
  here.handover !== 'left' && heard !== undefined && machine.uptime() - heard > goneMs ? 0 : settleMs

/** Whether nginx forwards. That it does not is no reason to keep the address from a peer that can serve clients. */
const forwards = (machine: Machine, tell: Tell): Promise<boolean> =>
  tell(machine, 'forward').then(
    () => true,
    (error: Error) => {
      machine.complain(`nginx does not forward to the peer slot: ${error.message}`)
      return false
    },
  )

async function reportOf(machine: Machine, seed: Seed, here: Standing): Promise<OwnerReport> {
  const { release, slot } = seed
  const open = here.handover === undefined ? (here.disk ? null : 0) : ((await connections(machine, seed)) ?? null)
  return { release, slot, owner: here.disk, healthy: here.inService, holds: here.holds, connections: open }
}
