/**
 * Which slot has the service address, decided by each slot for itself at each round of golden-watch, whether the computer
 * that runs the rollout is there or not. Pure.
 *
 * The data disk decides: Proxmox gives it to one slot at a time. A slot without it keeps the address until its peer
 * answers as an owner to whom clients can be sent; that one takes it when nobody answers for it any more.
 */
import type { HandoverState } from './handover.ts'
import type { OwnerReport } from './peer.ts'

export interface Standing {
  /** The data disk is mounted. */
  readonly disk: boolean
  /** The claim is there: the slot may hold the address (golden-address.service). */
  readonly mayHold: boolean
  /** With the disk, and what it is for answers. */
  readonly inService: boolean
  /** The address is on the network card. */
  readonly holds: boolean
  readonly handover: HandoverState | undefined
  readonly steers: boolean
}

/**
 * `take` is `claim` with steering: the peer answers, so that there may be connections at it. `refused`: the peer says that
 * it still has the address. `resume`: the disk has come back.
 */
export type Turn = 'leave' | 'take' | 'claim' | 'refused' | 'resume' | 'none'

/** Whether what to do depends on the other slot, which is asked only then. */
export const asksPeer = (here: Standing): boolean =>
  here.steers || here.handover === 'left' || (here.holds ? !here.disk : here.mayHold && here.inService)

export function turn(here: Standing, peer: OwnerReport | undefined): Turn {
  if (here.disk && here.mayHold) {
    if (here.holds) return here.handover === undefined ? 'none' : 'resume'
    if (!here.inService) return 'none'
    if (peer === undefined) return here.handover === undefined ? 'claim' : 'take'
    return peer.holds && !peer.owner ? 'refused' : 'take'
  }
  // Killed on its way, or put there by somebody else: it has been given away.
  if (here.holds && here.handover === 'left') return 'leave'
  if (here.holds && !here.disk && peer?.owner === true && peer.healthy) return 'leave'
  return 'none'
}

/** Whether the rounds are to follow each other closely: clients wait for what comes next. */
export const isUnderWay = (here: Standing): boolean =>
  here.handover !== undefined || here.steers || (here.mayHold && here.inService && !here.holds)
